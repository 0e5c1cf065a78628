/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tells by sums over them whether two sets of keys are the same. After a restart the maps hold a hundred thousand members.
 * They are right unless a process was killed while it wrote.
 *
 * Freestanding: no library, no allocation, no header but the compiler's own. */
#include <stdint.h>

#define TARGET_MAC 0x4000
#define FILTER_FACTOR 0x9E3779B1u

/* The number of some keys and the sum of their hashes. Each key counts once. */
struct sum {
	uint64_t keys;
	uint64_t hashes;
};

/* struct source_mac of dataplane/forwarding/program/layout.h */
struct source_mac {
	uint32_t pool;
	uint32_t address;
	uint8_t mac[6];
	uint8_t unused[2];
};

/* union target */
struct target {
	uint8_t mac[6];
	uint16_t egress;
	uint32_t address;
	uint32_t counter;
};

static inline uint64_t word(const void *at)
{
	uint64_t found;

	__builtin_memcpy(&found, at, sizeof(found));
	return found;
}

/* Stafford's mixer (variant 13). Every bit of the result depends on every bit of the word. */
static inline uint64_t mixed(uint64_t word)
{
	word = (word ^ word >> 30) * 0xBF58476D1CE4E5B9ull;
	word = (word ^ word >> 27) * 0x94D049BB133111EBull;
	return word ^ word >> 31;
}

/* Adds a key of 16 bytes with its value. */
static inline void add(struct sum *sum, const void *key, uint32_t value)
{
	sum->keys++;
	sum->hashes += mixed(mixed(mixed(word(key)) ^ word((const char *)key + 8)) ^ value);
}

/* Adds entries of a map: keys of 16 bytes side by side, and values of 4 bytes side by side. */
void entries(const char *keys, const uint32_t *values, uint32_t count, struct sum *sum)
{
	for (uint32_t i = 0; i < count; i++)
		add(sum, keys + 16 * i, values[i]);
}

/* Adds what `lives` holds of a pool: the first 16 of the 32 bytes of each detail, with the place of the target. */
void lives(const char *details, uint32_t first, uint32_t count, struct sum *sum)
{
	for (uint32_t i = 0; i < count; i++)
		add(sum, details + 32 * i, first + i);
}

/* Adds what `source_macs` holds of a layer-2 pool. Counts how often each of the filter's 65,536 places is used. */
void source_macs(const struct target *targets, uint32_t pool, uint32_t count, struct sum *sum, uint32_t *places)
{
	for (uint32_t i = 0; i < count; i++) {
		struct source_mac key = {.pool = pool};
		uint32_t tail;

		if (!(targets[i].egress & TARGET_MAC))
			continue;
		__builtin_memcpy(key.mac, targets[i].mac, sizeof(key.mac));
		add(sum, &key, 1);
		key.address = targets[i].address;
		add(sum, &key, 1);
		__builtin_memcpy(&tail, targets[i].mac + 2, sizeof(tail));
		places[tail * FILTER_FACTOR >> 16] += 2;
	}
}
