/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Maglev's "Populate" as in the paper (Eisenbud et al., NSDI 2016, section 3.4), for comparison. All servers have the same
 * weight, and their offsets and skips are given. */
#include <stdint.h>

void populate(const uint32_t *offsets, const uint32_t *skips, uint32_t servers, uint16_t *table, uint32_t slots,
	      uint32_t *next)
{
	uint32_t filled = 0;

	for (uint32_t slot = 0; slot < slots; slot++)
		table[slot] = UINT16_MAX;
	for (uint32_t i = 0; i < servers; i++)
		next[i] = 0;
	for (;;) {
		for (uint32_t i = 0; i < servers; i++) {
			uint32_t slot = (offsets[i] + (uint64_t)next[i] * skips[i]) % slots;

			while (table[slot] != UINT16_MAX) {
				next[i]++;
				slot = (offsets[i] + (uint64_t)next[i] * skips[i]) % slots;
			}
			table[slot] = i;
			next[i]++;
			if (++filled == slots)
				return;
		}
	}
}
