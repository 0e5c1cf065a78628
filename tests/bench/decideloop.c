// SPDX-License-Identifier: GPL-2.0-or-later
/* Measures the native decision: it puts the same frame into a buffer and decides on it, again and again. */
#include <stdint.h>
#include <string.h>
#include <time.h>

#include "../../dataplane/native/decision/decision.h"

#define HEADROOM 64
#define ROOM 2048

typedef enum verdict decide_fn(struct worker *worker, struct frame *frame);

static enum verdict nothing(struct worker *worker, struct frame *frame)
{
	(void)worker;
	(void)frame;
	return HOSTS;
}

static uint64_t now(void)
{
	struct timespec told;

	clock_gettime(CLOCK_MONOTONIC, &told);
	return told.tv_sec * 1000000000ull + told.tv_nsec;
}

/* Nanoseconds for so many frames. decided: NULL: the loop alone is measured. Flows differ in the last two bytes of their
 * source addresses. The checksum stays right: what is added to the address is subtracted from the identification. */
uint64_t took(decide_fn *decided, struct worker *worker, const char *sent, uint32_t length, uint32_t interface,
	      uint32_t times, uint32_t flows)
{
	decide_fn *volatile called = decided ? decided : nothing;
	_Alignas(64) char buffer[ROOM]; /* aligned as by DPDK; unaligned on the stack, times differed by half between runs */
	uint64_t begun = now();

	for (uint32_t n = 0; n < times; n++) {
		struct frame frame = {buffer + HEADROOM, length, HEADROOM, 0, interface, 0};

		memcpy(buffer + HEADROOM, sent, length);
		if (flows > 1) {
			uint16_t more = n % flows, half;

			memcpy(&half, buffer + HEADROOM + 14 + 14, sizeof(half)); /* the lower half of the source */
			half += more;
			memcpy(buffer + HEADROOM + 14 + 14, &half, sizeof(half));
			memcpy(&half, buffer + HEADROOM + 14 + 4, sizeof(half)); /* the identification */
			half -= more + (half < more); /* one's complement */
			memcpy(buffer + HEADROOM + 14 + 4, &half, sizeof(half));
		}
		called(worker, &frame);
	}
	return now() - begun;
}
