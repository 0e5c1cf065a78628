/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "forwarder.h"
#include "slow.h"

bool slow_hand_over(const void *head, size_t head_size, const void *frame, size_t frame_size)
{
	uint64_t one = 1;
	struct slow *sample;

	if (!atomic_load_explicit(&forwarder.heard, memory_order_relaxed))
		return false;
	sample = malloc(sizeof(*sample) + head_size + frame_size);
	if (!sample)
		return false;
	sample->size = head_size + frame_size;
	memcpy(sample->data, head, head_size);
	memcpy(sample->data + head_size, frame, frame_size);
	if (rte_ring_enqueue(forwarder.slow, sample)) {
		free(sample);
		return false;
	}
	return write(forwarder.wake, &one, sizeof(one)) == sizeof(one);
}

char *slow_text(const struct slow *sample)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	char *text = malloc((sample->size + 2) / 3 * 4 + 1), *to = text;

	for (size_t at = 0; text && at < sample->size; at += 3) {
		size_t left = sample->size - at;
		uint32_t three = (uint32_t)sample->data[at] << 16;

		if (left > 1)
			three |= (uint32_t)sample->data[at + 1] << 8;
		if (left > 2)
			three |= sample->data[at + 2];
		*to++ = digits[three >> 18];
		*to++ = digits[three >> 12 & 63];
		*to++ = left > 1 ? digits[three >> 6 & 63] : '=';
		*to++ = left > 2 ? digits[three & 63] : '=';
	}
	if (text)
		*to = 0;
	return text;
}
