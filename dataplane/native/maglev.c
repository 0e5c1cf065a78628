/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Maglev's "Populate" (Eisenbud et al., NSDI 2016, section 3.4) with weights: the loop of maglev.fill_here(). A slot takes
 * 7 ns.
 *
 * Most of the time is lost when the processor guesses wrong how far a walk goes to the next free slot. So several places
 * of a walk are looked at together, more of them the fuller the table is: mostly one look finds a free one. Whether a slot
 * is taken is a byte, so that one instruction looks at it. Walks would search longest for the last slots. So of the
 * slots that are left, the one that comes first on the walk is chosen.
 *
 * Freestanding: no library, no allocation, no header but the compiler's own. */
#include <stdint.h>

#define LAST 64 /* so many last slots are chosen from what is left */

/* One server's walk over the slots. credit: the turns that it has saved, in parts of the heaviest weight. owner: its number
 * in the table. */
struct walk {
	uint32_t position;
	uint32_t skip;
	uint32_t weight;
	uint32_t credit;
	uint32_t owner;
};

/* The place `by` slots further on. Both numbers are below `slots`. */
static inline uint32_t step(uint32_t place, uint32_t by, uint32_t slots)
{
	uint32_t sum = place + by, less = sum - slots;

	return less < sum ? less : sum; /* the difference wraps around where the sum is a place */
}

/* Whether it is this walk's turn. */
static inline int turn(struct walk *walk, uint32_t heaviest)
{
	walk->credit += walk->weight;
	if (walk->credit < heaviest)
		return 0;
	walk->credit -= heaviest;
	return 1;
}

/* The first free place of a walk. There must be one. width: 2, 4 or 8 places are looked at together. */
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

/* Makes whole rounds of turns while more than `until` slots are left. `until` is at least the number of walks. Returns how
 * many slots are left. */
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

/* The inverse of `number` modulo `slots`, by Euclid's algorithm. The two are coprime. */
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

/* The free slot that comes first on a walk. */
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

/* Fills `table` with the walks' owners. There is at least one walk; places and skips are below `slots`, skips are coprime to
 * it. taken: a byte for each slot, all zero before. The widths, and the shares of free slots at which they change, are the
 * fastest that were found. */
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

#define BLOCK 128		 /* bytes of a block of BLAKE2b */
#define ROUNDS 12
#define DIGEST 16
#define KEY 8

static const uint64_t start[8] = {
	0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
	0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179,
};

static inline uint64_t rotated(uint64_t word, int by)
{
	return word >> by | word << (64 - by);
}

#define MIX(a, b, c, d, x, y)                                                                                          \
	do {                                                                                                           \
		a += b + (x);                                                                                          \
		d = rotated(d ^ a, 32);                                                                                \
		c += d;                                                                                                \
		b = rotated(b ^ c, 24);                                                                                \
		a += b + (y);                                                                                          \
		d = rotated(d ^ a, 16);                                                                                \
		c += d;                                                                                                \
		b = rotated(b ^ c, 63);                                                                                \
	} while (0)

#define ROUND(a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, b0, b1, b2, b3, b4, b5)                                          \
	do {                                                                                                           \
		MIX(v[0], v[4], v[8], v[12], WORD(a0), WORD(a1));                                                      \
		MIX(v[1], v[5], v[9], v[13], WORD(a2), WORD(a3));                                                      \
		MIX(v[2], v[6], v[10], v[14], WORD(a4), WORD(a5));                                                     \
		MIX(v[3], v[7], v[11], v[15], WORD(a6), WORD(a7));                                                     \
		MIX(v[0], v[5], v[10], v[15], WORD(a8), WORD(a9));                                                     \
		MIX(v[1], v[6], v[11], v[12], WORD(b0), WORD(b1));                                                     \
		MIX(v[2], v[7], v[8], v[13], WORD(b2), WORD(b3));                                                      \
		MIX(v[3], v[4], v[9], v[14], WORD(b4), WORD(b5));                                                      \
	} while (0)

/* Keys and addresses fill only the first word of a block. */
#define WORD(at) ((at) ? 0 : first)

/* BLAKE2b (RFC 7693 section 3.2) of a block of one word and zeros. bytes: the number of bytes up to this block's end. last:
 * ~0 for the last block. */
static inline void compress(uint64_t state[8], uint64_t first, uint64_t bytes, uint64_t last)
{
	uint64_t v[16];

	for (int i = 0; i < 8; i++) {
		v[i] = state[i];
		v[i + 8] = start[i];
	}
	v[12] ^= bytes;
	v[14] ^= last;
	ROUND(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
	ROUND(14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3);
	ROUND(11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4);
	ROUND(7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8);
	ROUND(9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13);
	ROUND(2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9);
	ROUND(12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11);
	ROUND(13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10);
	ROUND(6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5);
	ROUND(10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0);
	ROUND(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
	ROUND(14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3);
	for (int i = 0; i < 8; i++)
		state[i] ^= v[i] ^ v[i + 8];
}

/* Sorts servers by their addresses. Runs are merged into longer ones, from `walks` to `room` and back. Returns where the
 * sorted servers are. */
static struct walk *sorted(struct walk *walks, struct walk *room, uint32_t count)
{
	for (uint32_t width = 1; width < count; width *= 2) {
		struct walk *from = walks;

		for (uint32_t at = 0; at < count; at += 2 * width) {
			uint32_t one = at, middle = at + width < count ? at + width : count;
			uint32_t other = middle, end = at + 2 * width < count ? at + 2 * width : count;

			for (uint32_t to = at; to < end; to++) {
				int first = one < middle && (other >= end || from[one].position <= from[other].position);

				room[to] = first ? from[one++] : from[other++];
			}
		}
		walks = room;
		room = from;
	}
	return walks;
}

/* Makes the servers' walks as maglev._walk() does, in the order of their addresses. Before, a walk's position is its
 * server's address, as a number in network byte order. key: the seed's bytes. room: for as many walks. Returns where the
 * walks are. */
static struct walk *walks_of(struct walk *walks, struct walk *room, uint32_t count, uint64_t key, uint32_t slots)
{
	uint64_t keyed[8];
	int is_sorted = 1;

	for (int i = 0; i < 8; i++)
		keyed[i] = start[i];
	keyed[0] ^= 0x01010000 ^ KEY << 8 ^ DIGEST;
	compress(keyed, key, BLOCK, 0);
	for (uint32_t i = 1; i < count; i++)
		is_sorted &= walks[i - 1].position <= walks[i].position;
	if (!is_sorted)
		walks = sorted(walks, room, count);
	for (uint32_t i = 0; i < count; i++) {
		uint64_t state[8];

		for (int n = 0; n < 8; n++)
			state[n] = keyed[n];
		compress(state, __builtin_bswap32(walks[i].position), BLOCK + sizeof(uint32_t), ~0ull);
		walks[i].position = __builtin_bswap64(state[0]) % slots;
		walks[i].skip = __builtin_bswap64(state[1]) % (slots - 1) + 1;
	}
	return walks;
}

/* Fills `table` for servers, at least one. Each has an address of four bytes, a weight, and a number that stands for it in
 * the table. seed: eight bytes. room: for two walks a server. taken: a byte for each slot, all zero before. */
void build(const uint32_t *addresses, const uint32_t *weights, const uint32_t *owners, uint32_t count, const uint64_t *seed,
	   struct walk *room, uint16_t *table, uint32_t slots, uint8_t *taken)
{
	for (uint32_t i = 0; i < count; i++)
		room[i] = (struct walk){__builtin_bswap32(addresses[i]), 0, weights[i], 0, owners[i]};
	fill(walks_of(room, room + count, count, *seed, slots), count, table, slots, taken);
}

/* Counts the slots of every server. counts: zero before. An owner that is not below `servers` is not counted. */
void count(const uint16_t *table, uint32_t slots, uint32_t *counts, uint32_t servers)
{
	for (uint32_t slot = 0; slot < slots; slot++)
		if (table[slot] < servers)
			counts[table[slot]]++;
}
