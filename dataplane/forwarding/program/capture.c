/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The program of dsr.c with a capture before and after the decision. It replaces dsr.c's program on an interface while
 * frames are captured there, and uses the same maps. A record is a struct captured, followed by the frame. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "capture.h"

#define RING (4 << 20)
#define PROCESSORS 1024 /* a power of two; for processors beyond it the reason may be wrong */

/* For each processor: the event that its current frame was counted as. */
struct {
	__u8 event[PROCESSORS];
} noted SEC(".data.noted");

#define NOTED noted.event[bpf_get_smp_processor_id() & (PROCESSORS - 1)]
#define NOTE_EVENT(number) (NOTED = (number))
#define ENTRY static __always_inline /* dsr.c's entry is an ordinary function here */
#include "dsr.c"

/* What is wanted. The engine renews `until`, so a capture ends by itself when the engine has gone. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct capture_filter);
} filters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, RING);
} records SEC(".maps");

/* How many records found no room. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} lost SEC(".maps");

/* For each processor: the record of its current frame, in the making. */
struct making {
	struct captured head;
	__u8 bytes[2 * (CAPTURE_MOST + 1)];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct making);
} makings SEC(".maps");

/* The number of bytes to copy: at least 1, at most `most`. mask: 2^n − 1. It shows the verifier both limits, 1 and 2^n:
 * that of Linux 6.1 learns neither from a comparison. */
static __always_inline __u32 at_most(__u32 bytes, __u32 most, __u32 mask)
{
	__u32 kept = bytes < most ? bytes : most;

	hide(kept);
	return ((kept - 1) & mask) + 1;
}

/* Whether a frame is wanted. If it is, its beginning is kept. */
__noinline int before(struct xdp_md *ctx)
{
	const __u32 first = 0;
	struct capture_filter *filter = bpf_map_lookup_elem(&filters, &first);
	struct making *it = bpf_map_lookup_elem(&makings, &first);
	__u32 size = frame_length(ctx), kept;
	__u64 now;

	if (!filter || !it || size < sizeof(struct eth))
		return 0;
	kept = at_most(size, CAPTURE_HEAD, 127);
	if (bpf_xdp_load_bytes(ctx, 0, it->bytes, kept) || !capture_wanted(filter, it->bytes, size))
		return 0;
	now = bpf_ktime_get_ns();
	if (now > filter->until)
		return 0;
	kept = at_most(size, filter->most, CAPTURE_MOST);
	if (bpf_xdp_load_bytes(ctx, 0, it->bytes, kept))
		return 0;
	NOTED = UNCOUNTED;
	it->head = (struct captured){.time = now, .interface = ctx->ingress_ifindex, .size = size, .kept = kept};
	return 1;
}

/* Records what became of a wanted frame. */
__noinline int after(struct xdp_md *ctx, int action)
{
	const __u32 first = 0;
	struct capture_filter *filter = bpf_map_lookup_elem(&filters, &first);
	struct making *it = bpf_map_lookup_elem(&makings, &first);
	__u32 kept, left = 0;
	__u64 *missed;

	if (!filter || !it)
		return 0;
	it->head.action = action;
	it->head.event = NOTED;
	if (filter->flags & CAPTURE_DROPS && action != XDP_DROP)
		return 0;
	kept = it->head.kept & CAPTURE_MOST;
	if (action == XDP_TX || action == XDP_REDIRECT) {
		it->head.left_size = frame_length(ctx);
		left = at_most(it->head.left_size, filter->most, CAPTURE_MOST);
		if (bpf_xdp_load_bytes(ctx, 0, it->bytes + kept, left))
			left = 0;
	}
	it->head.left_kept = left;
	if (bpf_ringbuf_output(&records, it, sizeof(it->head) + kept + left, BPF_RB_NO_WAKEUP)) {
		missed = bpf_map_lookup_elem(&lost, &first);
		if (missed)
			(*missed)++;
	}
	return 0;
}

/* This is a function of its own, so that its stack is free again while the steps run. */
__noinline int fast(struct xdp_md *ctx)
{
	return fast_path(ctx);
}

SEC("xdp.frags")
int capture(struct xdp_md *ctx)
{
	int wanted = before(ctx), action = fast(ctx);

	if (action == STEPWISE)
		action = stepwise(ctx);
	if (wanted)
		after(ctx, action);
	return action;
}
