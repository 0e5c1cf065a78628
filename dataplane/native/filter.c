/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A filter of 65,536 bits and how often each of them is used: a start adds the addresses of a hundred thousand servers.
 *
 * Freestanding: no library, no allocation, no header but the compiler's own. */
#include <stdint.h>

#define FACTOR 0x9E3779B1u

/* Of each key four bytes, which stand `at` its beginning or behind. */
void add(const char *keys, uint32_t count, uint32_t size, uint32_t at, uint32_t *places, uint8_t *bits)
{
	for (uint32_t i = 0; i < count; i++) {
		uint32_t word, place;

		__builtin_memcpy(&word, keys + (uint64_t)size * i + at, sizeof(word));
		place = word * FACTOR >> 16;
		places[place]++;
		bits[place / 8] |= 1 << place % 8;
	}
}
