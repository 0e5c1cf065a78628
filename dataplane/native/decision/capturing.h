/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A part of decision.c: captures frames before and after the decision (program/capture.h), into the worker's ring. */
#ifndef AVI_CAPTURING_H
#define AVI_CAPTURING_H

/* Where the next record goes, of so many bytes. The engine does not see it yet. NULL: there is no room. */
static char *room_in(struct capture_ring *ring, __u32 bytes)
{
	__u64 end = ring->end, begin = __atomic_load_n(&ring->begin, __ATOMIC_ACQUIRE);
	__u32 at = end & (CAPTURE_RING - 1), left = CAPTURE_RING - at;

	if (left < bytes) {
		if (end + left + bytes - begin > CAPTURE_RING)
			return 0;
		*(__u32 *)(ring->bytes + at) = CAPTURE_SKIP;
		ring->end = end += left; /* may be published before the record, or together with it */
	}
	return end + bytes - begin > CAPTURE_RING ? 0 : ring->bytes + (end & (CAPTURE_RING - 1));
}

static __u32 kept_of(__u32 bytes, __u32 most)
{
	most = most < CAPTURE_MOST ? most : CAPTURE_MOST;
	return bytes < most ? bytes : most;
}

/* Decides on a frame while a capture runs, and records what was decided. */
static __attribute__((noinline)) enum verdict decide_captured(struct worker *worker, struct frame *frame)
{
	static const __u8 actions[] = {[HOSTS] = XDP_PASS, [DROPPED] = XDP_DROP, [SENT] = XDP_TX, [SLOW] = XDP_DROP};
	struct capture_ring *ring = &view.capture->rings[worker->number];
	const struct capture_filter *filter = &view.capture->filter;
	__u32 most = filter->most, flags = filter->flags;
	struct captured head = {.interface = frame->interface, .size = frame->length};
	enum verdict verdict;
	char *room, *bytes;
	__u32 length;

	head.time = view.now ? view.now : bpf_ktime_get_ns();
	if (head.time > filter->until || !capture_wanted(filter, frame->start, frame->length))
		return decided(frame);
	head.kept = kept_of(frame->length, most);
	room = room_in(ring, 8 + sizeof(head) + 2 * (CAPTURE_MOST + 1));
	bytes = room + 8 + sizeof(head);
	if (room)
		__builtin_memcpy(bytes, frame->start, head.kept);
	view.event = UNCOUNTED;
	verdict = decided(frame);
	if (flags & CAPTURE_DROPS && verdict != DROPPED)
		return verdict;
	if (!room) {
		ring->lost++;
		return verdict;
	}
	head.action = actions[verdict];
	head.event = view.event;
	if (verdict == SENT) {
		head.left_size = frame->length;
		head.left_kept = kept_of(frame->length, most);
		__builtin_memcpy(bytes + head.kept, frame->start, head.left_kept);
	}
	length = sizeof(head) + head.kept + head.left_kept;
	__builtin_memcpy(room + 8, &head, sizeof(head));
	*(__u32 *)room = length;
	__atomic_store_n(&ring->end, ring->end + 8 + rounded(length), __ATOMIC_RELEASE);
	return verdict;
}

#endif
