/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Maglev's "Populate" (Eisenbud et al., NSDI 2016, section 3.4) with weights: the loop of hashing.fill(), a slot in 20 ns.
 *
 * Freestanding: no library, no allocation, no header but the compiler's own. */
#include <stdint.h>

#define NO_SERVER 0xFFFF

/* One server's walk over the slots. credit: turns it has saved up, in parts of the heaviest weight. */
struct walk {
	uint32_t position;
	uint32_t skip;
	uint32_t weight;
	uint32_t credit;
};

/* Fills `table`, all NO_SERVER before, with indices of walks. At least one walk, skips coprime to `slots`. */
void fill(struct walk *walks, uint32_t count, uint16_t *table, uint32_t slots)
{
	uint32_t heaviest = 0, left = slots;

	for (uint32_t i = 0; i < count; i++)
		if (walks[i].weight > heaviest)
			heaviest = walks[i].weight;
	for (;;) {
		for (uint32_t i = 0; i < count; i++) {
			struct walk *walk = &walks[i];
			uint32_t position = walk->position, skip = walk->skip;

			walk->credit += walk->weight;
			if (walk->credit < heaviest)
				continue;
			walk->credit -= heaviest;
			while (table[position] != NO_SERVER) {
				position += skip;
				if (position >= slots)
					position -= slots;
			}
			table[position] = i;
			if (!--left)
				return;
			position += skip;
			walk->position = position >= slots ? position - slots : position;
		}
	}
}
