/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Frames that the decision leaves to the engine. They go from a worker to the first thread, and from there on as text. */
#ifndef AVI_SLOW_H
#define AVI_SLOW_H

#include <stdbool.h>
#include <stddef.h>

struct slow {
	size_t size;
	unsigned char data[];
};

/* Hands over a frame, with `head` in front of it. False: nobody takes it. */
bool slow_hand_over(const void *head, size_t head_size, const void *frame, size_t frame_size);

/* A sample in base64 (RFC 4648). The caller frees it. */
char *slow_text(const struct slow *sample);

#endif
