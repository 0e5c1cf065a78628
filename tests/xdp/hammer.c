// SPDX-License-Identifier: GPL-2.0-or-later
/* Decides the same frames again and again, in bursts, while somebody else changes the tables. What leaves is counted by the
 * last byte of its destination's MAC address, what does not leave by its verdict. */
#include <stdint.h>
#include <string.h>

#include "../../dataplane/native/decision/decision.h"

#define HEADROOM 64
#define ROOM 2048
#define BURST 32

struct calls {
	enum verdict (*decide)(struct worker *worker, struct frame *frame);
	void (*worker_online)(struct worker *worker, uint64_t now);
	void (*worker_offline)(struct worker *worker);
};

/* frames: number of them side by side, each of so many bytes. */
void hammer(const struct calls *calls, struct worker *worker, const char *frames, uint32_t number, uint32_t length,
	    uint32_t interface, uint64_t *sent, uint64_t *verdicts, const volatile int *ending)
{
	char buffer[ROOM];

	for (uint32_t n = 0; !*ending;) {
		calls->worker_online(worker, 0);
		for (int at = 0; at < BURST; at++, n = (n + 1) % number) {
			struct frame frame = {buffer + HEADROOM, length, HEADROOM, 0, interface, 0};
			enum verdict verdict;

			memcpy(buffer + HEADROOM, frames + n * length, length);
			verdict = calls->decide(worker, &frame);
			verdicts[verdict]++;
			if (verdict == SENT)
				sent[((uint8_t *)frame.start)[5]]++;
		}
		calls->worker_offline(worker);
	}
}
