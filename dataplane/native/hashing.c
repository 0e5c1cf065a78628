/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Maglev's "Populate" (Eisenbud et al., NSDI 2016, section 3.4) with weights: the loop of hashing.fill_here(), a slot in
 * 9 ns.
 *
 * What is taken is a bitmap that stays in the first cache; four places of a walk are looked at together, so that the
 * processor need not guess after each. The last slots, which walks would look for longest, are found from their side:
 * of those that are left the one that comes first on the walk.
 *
 * Freestanding: no library, no allocation, no header but the compiler's own. */
#include <stdint.h>

#define LAST 64 /* so many slots are looked for from their side */

/* One server's walk over the slots. credit: turns it has saved up, in parts of the heaviest weight; owner: what stands in
 * the table for it. */
struct walk {
	uint32_t position;
	uint32_t skip;
	uint32_t weight;
	uint32_t credit;
	uint32_t owner;
};

/* The place `by` further on; both below `slots`. */
static inline uint32_t step(uint32_t place, uint32_t by, uint32_t slots)
{
	uint32_t sum = place + by;

	return sum >= slots ? sum - slots : sum;
}

static inline uint32_t is_free(const uint64_t *taken, uint32_t place)
{
	return ~(taken[place / 64] >> (place % 64)) & 1;
}

/* The first free place of a walk; there is one. */
static inline uint32_t next_free(const uint64_t *taken, uint32_t place, uint32_t skip, uint32_t slots)
{
	uint32_t twice, four, a, b, c, d;

	if (is_free(taken, place))
		return place;
	twice = step(skip, skip, slots);
	four = step(twice, twice, slots);
	a = step(place, skip, slots);
	b = step(place, twice, slots);
	c = step(a, twice, slots);
	d = step(place, four, slots);
	for (;;) {
		uint32_t found = is_free(taken, a) | is_free(taken, b) << 1 | is_free(taken, c) << 2 |
				 is_free(taken, d) << 3;

		if (found) {
			uint32_t first = d;

			first = found & 4 ? c : first;
			first = found & 2 ? b : first;
			return found & 1 ? a : first;
		}
		a = step(a, four, slots);
		b = step(b, four, slots);
		c = step(c, four, slots);
		d = step(d, four, slots);
	}
}

/* The number that a multiple of `number` leaves 1 of, modulo `slots`; they are coprime (Euclid's algorithm). */
static uint32_t inverse(uint32_t number, uint32_t slots)
{
	int64_t before = 0, factor = 1;
	uint32_t larger = slots, smaller = number % slots;

	while (smaller) {
		uint32_t times = larger / smaller, rest = larger % smaller;
		int64_t next = before - times * factor;

		before = factor;
		factor = next;
		larger = smaller;
		smaller = rest;
	}
	return before < 0 ? before + slots : before;
}

/* Which of the free slots comes first on a walk. */
static uint32_t first_of(const uint32_t *free, uint32_t count, const struct walk *walk, uint32_t slots)
{
	uint32_t first = 0, least = slots;
	uint64_t steps_a_slot = inverse(walk->skip, slots);

	for (uint32_t i = 0; i < count; i++) {
		uint32_t ahead = step(free[i], slots - walk->position, slots);
		uint32_t steps = ahead * steps_a_slot % slots;

		if (steps < least) {
			least = steps;
			first = i;
		}
	}
	return first;
}

static uint32_t free_slots(const uint64_t *taken, uint32_t slots, uint32_t *free)
{
	uint32_t count = 0;

	for (uint32_t slot = 0; slot < slots; slot++)
		if (is_free(taken, slot))
			free[count++] = slot;
	return count;
}

/* Fills `table` with the walks' owners. At least one walk, places and skips below `slots`, skips coprime to it. taken: a
 * bit a slot, all zero before. */
void fill(struct walk *walks, uint32_t count, uint16_t *table, uint32_t slots, uint64_t *taken)
{
	uint32_t heaviest = 0, left = slots, known = 0, free[LAST];

	for (uint32_t i = 0; i < count; i++)
		if (walks[i].weight > heaviest)
			heaviest = walks[i].weight;
	for (;;) {
		for (uint32_t i = 0; i < count; i++) {
			struct walk *walk = &walks[i];
			uint32_t place;

			walk->credit += walk->weight;
			if (walk->credit < heaviest)
				continue;
			walk->credit -= heaviest;
			if (left > LAST) {
				place = next_free(taken, walk->position, walk->skip, slots);
				taken[place / 64] |= 1ull << (place % 64);
			} else {
				uint32_t at;

				if (!known)
					known = free_slots(taken, slots, free);
				at = first_of(free, known, walk, slots);
				place = free[at];
				free[at] = free[--known];
			}
			table[place] = walk->owner;
			if (!--left)
				return;
			walk->position = step(place, walk->skip, slots);
		}
	}
}

/* How many slots every server owns. counts: zero before; of what is not below `servers`, nothing is counted. */
void count(const uint16_t *table, uint32_t slots, uint32_t *counts, uint32_t servers)
{
	for (uint32_t slot = 0; slot < slots; slot++)
		if (table[slot] < servers)
			counts[table[slot]]++;
}
