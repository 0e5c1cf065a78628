/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What becomes of slots when their pool changes and when time passes. dataplane/forwarding/slotphases.py defines these
 * loops. Most slots do not change: they are passed over eight at a time.
 *
 * Freestanding: no library, no allocation, no header but the compiler's own. */
#include <stdint.h>

#define NO_SERVER 0xFFFF
#define WIDE 8
#define RUN 64

/* Marks of slots. A mark from WINDOW on means: in transition, in the window of that number. */
enum { STABLE, TRACKED, WINDOW };
enum { PHASE_STABLE, PHASE_TRANSITION, PHASE_TRACKED };

static inline uint64_t words(const void *at)
{
	uint64_t found;

	__builtin_memcpy(&found, at, sizeof(found));
	return found;
}

/* Gives every owner its new number. numbers: the new one for each old one; NO_SERVER if the owner is gone. */
void renumber(const uint16_t *owners, const uint16_t *numbers, uint16_t *renumbered, uint32_t slots)
{
	for (uint32_t slot = 0; slot < slots; slot++)
		renumbered[slot] = owners[slot] == NO_SERVER ? NO_SERVER : numbers[owners[slot]];
}

/* Whether two runs of `RUN` owners differ. */
static inline int differ(const uint16_t *one, const uint16_t *other)
{
	uint64_t different = 0;

	for (int i = 0; i < RUN; i += sizeof(uint64_t) / sizeof(*one))
		different |= words(one + i) ^ words(other + i);
	return different != 0;
}

/* Puts slots whose owner changed into transition in `window`, if the former owner serves on. serves: a byte for each
 * member. Returns how many slots these are. Slots that differ are found first, because the processor guesses them wrong. */
uint32_t begin(const uint16_t *before, const uint16_t *after, const uint8_t *serves, uint8_t *marks, uint16_t *former,
	       uint32_t slots, uint32_t window)
{
	uint32_t begun = 0;

	for (uint32_t first = 0; first < slots; first += RUN) {
		uint32_t number = slots - first < RUN ? slots - first : RUN, count = 0, changed[RUN];

		if (number == RUN && !differ(before + first, after + first))
			continue;
		for (uint32_t slot = first; slot < first + number; slot++) {
			changed[count] = slot;
			count += before[slot] != after[slot];
		}
		for (uint32_t i = 0; i < count; i++) {
			uint32_t slot = changed[i];

			if (marks[slot] == STABLE && (before[slot] == NO_SERVER || !serves[before[slot]]))
				continue;
			if (marks[slot] < WINDOW)
				former[slot] = before[slot];
			marks[slot] = window;
			begun++;
		}
	}
	return begun;
}

/* The slots' phases by their marks, with the numbers of forwarding.py. */
void phases(const uint8_t *restrict marks, uint8_t *restrict phases, uint32_t slots)
{
	for (uint32_t slot = 0; slot < slots; slot++) {
		uint8_t unsettled = marks[slot] == TRACKED ? PHASE_TRACKED : PHASE_TRANSITION;

		phases[slot] = marks[slot] == STABLE ? PHASE_STABLE : unsettled;
	}
}

/* Passes over stable slots, eight at a time. Returns the first slot that may not be stable. */
static inline uint32_t past_stable(const uint8_t *marks, uint32_t slot, uint32_t slots)
{
	while (slot + WIDE <= slots && !words(marks + slot))
		slot += WIDE;
	return slot;
}

/* Has slots in transition tracked if their former owner does not serve. Returns how many these are. */
uint32_t end_unserved(uint8_t *marks, const uint16_t *former, const uint8_t *serves, uint32_t slots)
{
	uint32_t ended = 0;

	for (uint32_t slot = 0; (slot = past_stable(marks, slot, slots)) < slots; slot++) {
		if (marks[slot] < WINDOW || (former[slot] != NO_SERVER && serves[former[slot]]))
			continue;
		marks[slot] = TRACKED;
		ended++;
	}
	return ended;
}

/* Makes tracked slots stable, except those that are kept (a byte for each slot). Returns how many these are. */
uint32_t settle(uint8_t *marks, const uint8_t *kept, uint32_t slots)
{
	uint32_t settled = 0;

	for (uint32_t slot = 0; (slot = past_stable(marks, slot, slots)) < slots; slot++) {
		if (marks[slot] != TRACKED || kept[slot])
			continue;
		marks[slot] = STABLE;
		settled++;
	}
	return settled;
}

/* The former owners of slots that are not stable. Stable slots have none. */
void formers(const uint8_t *marks, const uint16_t *former, uint16_t *kept, uint32_t slots)
{
	for (uint32_t slot = 0; slot < slots; slot++)
		kept[slot] = marks[slot] == STABLE ? NO_SERVER : former[slot];
}
