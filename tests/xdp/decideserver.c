// SPDX-License-Identifier: GPL-2.0-or-later
/* The native decision in a process of its own, on the maps in a folder: a frame in, what becomes of it out, on standard
 * input and output. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "../../dataplane/native/decision/decision.h"

#define MOST 65536

/* The frame follows. */
struct asked {
	uint64_t now; /* 0: hashes of sampled flows are below `length` from here on, and nothing follows */
	uint32_t length;
	uint32_t interface;
	uint32_t headroom;
	uint32_t unused;
};

/* The frame follows; of SLOW its struct slow_frame before it. */
struct told {
	uint32_t verdict;
	uint32_t length;
	uint32_t interface;
};

int main(int argc, char **argv)
{
	static char sent[MOST], left[MOST];
	struct maps *maps = argc == 3 ? maps_open(argv[1]) : 0;
	struct worker *worker = maps ? worker_begin(maps, 0, atoi(argv[2])) : 0;
	struct asked asked;

	if (!worker) {
		perror("decideserver FOLDER LISTENS");
		return 1;
	}
	while (fread(&asked, sizeof(asked), 1, stdin) == 1) {
		struct frame frame = {0, asked.length, asked.headroom, 0, asked.interface, 0};
		struct told told;

		if (!asked.now) {
			worker_sample(worker, asked.length);
			continue;
		}
		if (asked.length + asked.headroom > MOST || fread(sent, 1, asked.length, stdin) != asked.length)
			return 1;
		told.verdict = decide_copy(worker, sent, asked.now, &frame, left);
		told.length = frame.length;
		told.interface = frame.interface;
		fwrite(&told, sizeof(told), 1, stdout);
		if (told.verdict == SLOW)
			fwrite(slow_frame_of(worker), SLOW_FRAME_SIZE, 1, stdout);
		fwrite(left, 1, frame.length, stdout);
		fflush(stdout);
	}
	worker_end(worker);
	maps_close(maps);
	return 0;
}
