/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Maglev's "Populate" (Eisenbud et al., NSDI 2016, section 3.4) with weights: the loop of maglev.fill_here(), a slot in
 * 7 ns.
 *
 * Most of the time goes where the processor guesses wrong how far a walk goes to the next free slot. So several places
 * of a walk are looked at together, the more the fuller the table is: one look mostly finds one. What is taken is a byte
 * a slot, which one instruction looks at. The last slots, which walks would look for longest, are found from their side:
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
	uint32_t sum = place + by, less = sum - slots;

	return less < sum ? less : sum; /* the difference wraps around where the sum is a place */
}

/* Whether it is a walk's turn. */
static inline int turn(struct walk *walk, uint32_t heaviest)
{
	walk->credit += walk->weight;
	if (walk->credit < heaviest)
		return 0;
	walk->credit -= heaviest;
	return 1;
}

/* The first free place of a walk; there is one. width: 2, 4 or 8 places are looked at together. */
static inline __attribute__((always_inline)) uint32_t next_free(const uint8_t *taken, uint32_t place, uint32_t skip,
								uint32_t slots, const int width)
{
	uint32_t places[8], by = skip;

	places[0] = place;
	for (int known = 1; known < width; known *= 2, by = step(by, by, slots))
		for (int i = 0; i < known; i++)
			places[known + i] = step(places[i], by, slots);
	for (;;) {
		uint32_t first = places[width - 1];
		uint8_t held[8], full = 1;

		for (int i = 0; i < width; i++) {
			held[i] = taken[places[i]];
			full &= held[i];
		}
		if (!full) {
			for (int i = width - 2; i >= 0; i--)
				first = held[i] ? first : places[i];
			return first;
		}
		for (int i = 0; i < width; i++)
			places[i] = step(places[i], by, slots);
	}
}

/* Whole rounds of turns while more than `until` slots are left, which is at least as many as there are walks. Returns how
 * many are left. */
static inline __attribute__((always_inline)) uint32_t rounds(struct walk *restrict walks, uint32_t count,
							     uint32_t heaviest, uint16_t *restrict table, uint32_t slots,
							     uint8_t *restrict taken, uint32_t left, uint32_t until,
							     const int width)
{
	while (left > until) {
		for (uint32_t i = 0; i < count; i++) {
			struct walk *walk = &walks[i];
			uint32_t place;

			if (!turn(walk, heaviest))
				continue;
			place = next_free(taken, walk->position, walk->skip, slots, width);
			taken[place] = 1;
			table[place] = walk->owner;
			walk->position = step(place, walk->skip, slots);
			left--;
		}
	}
	return left;
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

static uint32_t free_slots(const uint8_t *taken, uint32_t slots, uint32_t *free)
{
	uint32_t count = 0;

	for (uint32_t slot = 0; slot < slots; slot++)
		if (!taken[slot])
			free[count++] = slot;
	return count;
}

static inline uint32_t larger(uint32_t one, uint32_t other)
{
	return one > other ? one : other;
}

/* Fills `table` with the walks' owners. At least one walk, places and skips below `slots`, skips coprime to it. taken: a
 * byte a slot, all zero before. The widths, and the shares of free slots at which they change, are the fastest found. */
void fill(struct walk *walks, uint32_t count, uint16_t *table, uint32_t slots, uint8_t *taken)
{
	uint32_t heaviest = 0, left = slots, known = 0, free[LAST], few = larger(count, LAST);

	for (uint32_t i = 0; i < count; i++)
		heaviest = larger(heaviest, walks[i].weight);
	left = rounds(walks, count, heaviest, table, slots, taken, left, larger(slots / 10 * 6, few), 2);
	left = rounds(walks, count, heaviest, table, slots, taken, left, larger(slots / 4, few), 4);
	left = rounds(walks, count, heaviest, table, slots, taken, left, larger(slots / 10, few), 8);
	left = rounds(walks, count, heaviest, table, slots, taken, left, few, 4);
	for (;;) {
		for (uint32_t i = 0; i < count; i++) {
			struct walk *walk = &walks[i];
			uint32_t place;

			if (!turn(walk, heaviest))
				continue;
			if (left > LAST) {
				place = next_free(taken, walk->position, walk->skip, slots, 4);
				taken[place] = 1;
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
