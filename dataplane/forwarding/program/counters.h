/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Step 11: counting. Plain additions are enough: each processor has its own counters, and softirqs are off under XDP. */
#ifndef AVI_COUNTERS_H
#define AVI_COUNTERS_H

#include "maps.h"

/* capture.c replaces this, to learn what a frame was counted as. */
#ifndef NOTE_EVENT
#define NOTE_EVENT(event) (void)0
#endif

static __always_inline void count_event(__u32 event)
{
	__u64 *count = bpf_map_lookup_elem(&events, &event);

	NOTE_EVENT(event);
	if (count)
		(*count)++;
}

static __always_inline int drop(enum event reason)
{
	count_event(reason);
	return XDP_DROP;
}

/* Drops a packet of a known service (step 8 and later). service: its counter. This is a function of its own, so that it
 * costs forwarded frames nothing. */
__noinline int drop_of_service(__u32 service, __u32 reason)
{
	struct service_drop key = {service, reason};
	__u64 *count, none = 0;

	count_event(reason);
	count = bpf_map_lookup_elem(&service_drops, &key);
	if (!count) {
		bpf_map_update_elem(&service_drops, &key, &none, BPF_NOEXIST); /* another processor may be first */
		count = bpf_map_lookup_elem(&service_drops, &key);
	}
	if (count)
		(*count)++;
	return XDP_DROP;
}

static __always_inline void count_packet(const __u32 *counter, __u32 bytes)
{
	struct tally *tally = bpf_map_lookup_elem(&counters, counter);

	if (tally) {
		tally->packets++;
		tally->bytes += bytes;
	}
}

#endif
