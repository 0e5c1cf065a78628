/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Turns a pool's table into the form that the program reads while not every slot is stable, and back. These are the loops
 * of tablerecord.py. A slot takes less than a nanosecond. */
#include <stdint.h>

#define NO_SERVER 0xFFFF
#define NO_TARGET 0x7FFF
#define MARK 0x8000 /* UNSETTLED in the table, IN_TRANSITION in the formers */

enum { STABLE, TRANSITION, TRACKED };

static inline uint16_t unmarked(uint16_t held)
{
	uint16_t owner = held & NO_TARGET;

	return owner == NO_TARGET ? NO_SERVER : owner;
}

/* owners, fallback, phases: those of a pool. table, formers: as in dataplane/forwarding/program/layout.h. No two overlap. */
void mark(const uint16_t *restrict owners, const uint16_t *restrict fallback, const uint8_t *restrict phases,
	  uint16_t *restrict table, uint16_t *restrict formers, uint32_t slots)
{
	for (uint32_t i = 0; i < slots; i++) {
		table[i] = (owners[i] & NO_TARGET) | (phases[i] == STABLE ? 0 : MARK);
		formers[i] = (fallback[i] & NO_TARGET) | (phases[i] == TRANSITION ? MARK : 0);
	}
}

/* The reverse. */
void unmark(const uint16_t *restrict table, const uint16_t *restrict formers, uint16_t *restrict owners,
	    uint16_t *restrict fallback, uint8_t *restrict phases, uint32_t slots)
{
	for (uint32_t i = 0; i < slots; i++) {
		owners[i] = unmarked(table[i]);
		fallback[i] = unmarked(formers[i]);
		phases[i] = !(table[i] & MARK) ? STABLE : formers[i] & MARK ? TRANSITION : TRACKED;
	}
}
