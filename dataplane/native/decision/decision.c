// SPDX-License-Identifier: GPL-2.0-or-later
/* The XDP program's source, compiled for this processor. Here are the kernel's functions that it calls, and the functions
 * that programs which move frames call (decision.h). */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

#include "../../forwarding/program/parse.h"
#include "hash.h"
#include "table.h"

/* What the program sees. Its address is never taken, so that the compiler may keep in registers what it read. */
static __thread struct {
	__u64 life; /* the worker that it belongs to */
	char *at[NUMBER_OF_MAPS]; /* the maps' memory; of counts: the worker's own part */
	struct member *member;
	__u64 seed, flow_sets, now;
	struct slow_frame *slow;
	struct capture *capture;
	struct tally *tallies[2]; /* the last two tallies that counted something */
	__u64 before;		  /* bytes that the last one had before */
	__u32 who, surplus, sampled_below, egress;
	__u32 event; /* the last event that the frame was counted as */
	int listens, handed_over;
} view;

struct worker {
	struct maps *maps;
	__u64 life; /* unique among all workers that this process ever had */
	__u64 now;
	__u32 number;
	__u32 sampled_below;
	int listens;
	struct slow_frame slow;
};

_Static_assert(sizeof(struct slow_frame) == SLOW_FRAME_SIZE, "decision.h says it");

void *unknown_map(void) __attribute__((error("ALL_MAPS of sharedmaps.h lacks a map")));

static __always_inline __u64 sets_in(__u32 map, struct shape shape)
{
	return map == MAP_elder || map == MAP_young ? view.flow_sets : sets_of(shape);
}

static __always_inline void *lookup_in(__u32 map, __u32 type, struct shape shape, const void *key)
{
	char *at = view.at[map];

	if (type == BPF_MAP_TYPE_LPM_TRIE)
		return prefix_lookup(at, key, shape, view.seed);
	if (shape.kind == HASH)
		return hash_lookup(at, key, shape, view.seed);
	if (shape.kind == TABLE) {
		struct where where = set_of(at, key, shape, sets_in(map, shape), view.seed);
		char *found = table_lookup(where, key, shape, map, view.member, view.who);

		return found && shape.copies > 1 ? found + (view.who - 1) * (__u64)rounded(shape.value) : found;
	}
	if (*(const __u32 *)key >= shape.entries)
		return 0;
	at += (__u64) * (const __u32 *)key * shape.value;
	if (map == MAP_counters) { /* the service's tally comes first, then the server's */
		view.tallies[0] = view.tallies[1];
		view.tallies[1] = (void *)at;
		view.before = view.tallies[1]->bytes;
		view.tallies[1]->bytes += view.surplus;
	}
	return at;
}

static __always_inline void *lookup(const void *map, const void *key)
{
#define CASE(name)                                                                                                     \
	if (map == &name)                                                                                              \
		return lookup_in(MAP_##name, TYPE(name), SHAPE(name), key);
	ALL_MAPS(CASE)
#undef CASE
	if (map == &slabs)
		return *(const __u32 *)key < MAX_SLABS ?
			       view.at[MAP_slabs] + (__u64) * (const __u32 *)key * SLAB_BYTES : 0;
	return unknown_map();
}

/* Looks up in a slab that was found in `slabs`. */
static __always_inline void *lookup_in_slab(void *tables, const void *key)
{
	__u32 within = *(const __u32 *)key;

	return within < SLAB_TABLES ? (struct table *)tables + within : 0;
}

#define bpf_map_lookup_elem(map, key) _Generic((map), void * : lookup_in_slab, default : lookup)(map, key)

static __always_inline long update_in(__u32 map, struct shape shape, const void *key, const void *value, __u64 flags)
{
	struct where where = set_of(view.at[map], key, shape, sets_in(map, shape), view.seed);

	return table_update(where, key, value, shape, map, view.member, view.who, flags == BPF_NOEXIST);
}

static __always_inline long delete_in(__u32 map, struct shape shape, const void *key)
{
	struct where where = set_of(view.at[map], key, shape, sets_in(map, shape), view.seed);

	table_delete(where, key, shape, map, view.member, view.who);
	return 0;
}

/* The program writes only maps that are tables. */
static __always_inline long bpf_map_update_elem(const void *map, const void *key, const void *value, __u64 flags)
{
#define CASE(name)                                                                                                     \
	if (map == &name && KIND(name) == TABLE)                                                                 \
		return update_in(MAP_##name, SHAPE(name), key, value, flags);
	ALL_MAPS(CASE)
#undef CASE
	unknown_map();
	return -1;
}

static __always_inline long bpf_map_delete_elem(const void *map, const void *key)
{
#define CASE(name)                                                                                                     \
	if (map == &name && KIND(name) == TABLE)                                                                 \
		return delete_in(MAP_##name, SHAPE(name), key);
	ALL_MAPS(CASE)
#undef CASE
	unknown_map();
	return -1;
}

static __always_inline long bpf_redirect_map(const void *map, __u64 key, __u64 flags)
{
	__u32 place = key, *found = lookup(map, &place);

	view.egress = found ? *found : 0;
	return view.egress ? XDP_REDIRECT : flags;
}

/* Here every frame is in one piece. */
static __always_inline __u64 bpf_xdp_get_buff_len(struct xdp_md *ctx)
{
	return ctx->data_end - ctx->data;
}

static __always_inline long bpf_xdp_adjust_head(struct xdp_md *ctx, int delta)
{
	__u64 begin = ctx->data + delta;

	if (begin < ctx->first || begin + sizeof(struct eth) > ctx->data_end)
		return -EINVAL;
	ctx->data = begin;
	return 0;
}

static __always_inline long bpf_xdp_adjust_tail(struct xdp_md *ctx, int delta)
{
	__u64 end = ctx->data_end + delta;

	if (end > ctx->last || end < ctx->data + sizeof(struct eth))
		return -EINVAL;
	ctx->data_end = end;
	return 0;
}

static __always_inline long bpf_perf_event_output(struct xdp_md *ctx, const void *map, __u64 flags, const void *data,
						  __u64 size)
{
	(void)ctx, (void)map, (void)flags;
	if (!view.listens)
		return -ENOENT;
	__builtin_memcpy(view.slow, data, size);
	view.handed_over = 1;
	return 0;
}

static __always_inline __u64 bpf_ktime_get_ns(void)
{
	struct timespec now;

	if (view.now)
		return view.now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ull + now.tv_nsec;
}

/* The program's global data is in shared memory here. */
#define state (*(struct state *)view.at[MAP_bss])
#define own (*(typeof(own) *)view.at[MAP_data])
#define sampled_below view.sampled_below
#define NOTE_EVENT(number) (view.event = (number))

#include "../../forwarding/program/dsr.c"

#undef state
#undef own
#undef sampled_below

struct worker *worker_begin(struct maps *maps, unsigned number, int listens)
{
	static __u64 lives;
	struct worker *worker;

	if (number >= maps->workers->number) {
		errno = EINVAL;
		return 0;
	}
	worker = calloc(1, sizeof(*worker));
	if (!worker)
		return 0;
	*worker = (struct worker){.maps = maps, .number = number, .sampled_below = sampled_below, .listens = listens};
	worker->life = __atomic_add_fetch(&lives, 1, __ATOMIC_RELAXED);
	member_begins(maps, number);
	return worker;
}

void worker_end(struct worker *worker)
{
	worker_offline(worker);
	free(worker);
}

void worker_sample(struct worker *worker, uint32_t below)
{
	worker->sampled_below = below;
	view.life = 0;
}

void worker_online(struct worker *worker, uint64_t now)
{
	struct workers *workers = worker->maps->workers;

	worker->now = now;
	__atomic_store_n(&workers->members[worker->number].seen, __atomic_load_n(&workers->epoch, __ATOMIC_SEQ_CST),
			 __ATOMIC_SEQ_CST);
}

void worker_offline(struct worker *worker)
{
	__atomic_store_n(&worker->maps->workers->members[worker->number].seen, OFFLINE, __ATOMIC_RELEASE);
}

static void look_through(struct worker *worker)
{
	struct maps *maps = worker->maps;

	for (int map = 0; map < NUMBER_OF_MAPS; map++)
		view.at[map] = maps->at[map];
	view.at[MAP_counters] += worker->number * (__u64)MAX_COUNTERS * sizeof(struct tally);
	view.at[MAP_events] += worker->number * (__u64)MAX_EVENTS * sizeof(__u64);
	view.member = &maps->workers->members[worker->number];
	view.seed = maps->workers->seed;
	view.flow_sets = maps->workers->flow_sets;
	view.slow = &worker->slow;
	view.capture = (void *)maps->at[MAP_capture];
	view.who = worker->number + 1;
	view.listens = worker->listens;
	view.sampled_below = worker->sampled_below;
	view.life = worker->life;
}

static __always_inline enum verdict decided(struct frame *frame)
{
	struct xdp_md ctx;
	int action;

	view.surplus = frame->surplus;
	view.tallies[0] = 0;
	view.tallies[1] = 0;
	view.handed_over = 0;
	ctx.data = (__u64)(long)frame->start;
	ctx.data_end = ctx.data + frame->length;
	ctx.ingress_ifindex = frame->interface;
	ctx.first = ctx.data - frame->headroom;
	ctx.last = ctx.data_end + frame->tailroom;
	action = dsr(&ctx);
	if (action == XDP_PASS)
		return HOSTS;
	if (unlikely(action != XDP_TX && action != XDP_REDIRECT))
		return view.handed_over ? SLOW : DROPPED;
	if (action == XDP_REDIRECT)
		frame->interface = view.egress;
	frame->start = (void *)(long)ctx.data;
	frame->length = ctx.data_end - ctx.data;
	frame->headroom = ctx.data - ctx.first;
	frame->tailroom = ctx.last - ctx.data_end;
	return SENT;
}

#include "capturing.h"

enum verdict decide(struct worker *worker, struct frame *frame)
{
	if (unlikely(view.life != worker->life))
		look_through(worker);
	view.now = worker->now;
	if (unlikely(__atomic_load_n(&view.capture->filter.until, __ATOMIC_RELAXED)))
		return decide_captured(worker, frame);
	return decided(frame);
}

/* Whether the calling thread's last decide() was for this worker. */
struct sent sent_counters(const struct worker *worker)
{
	struct sent sent = {view.tallies[0], view.tallies[1], 0};

	(void)worker;
	if (sent.server)
		sent.bytes = view.tallies[1]->bytes - view.before;
	return sent;
}

static void uncount(struct tally *tally, __u32 bytes)
{
	tally->packets--;
	tally->bytes -= bytes;
}

void not_sent(struct worker *worker, const struct sent *what)
{
	__u64 *events;

	if (unlikely(view.life != worker->life))
		look_through(worker);
	if (what->server) {
		uncount(what->service, what->bytes);
		uncount(what->server, what->bytes);
		drop_of_service((struct tally *)what->service - (struct tally *)view.at[MAP_counters], TRANSMIT_FAILED);
		return;
	}
	events = (void *)view.at[MAP_events];
	events[ANSWERED]--;
	events[TRANSMIT_FAILED]++;
}

const void *slow_frame_of(const struct worker *worker)
{
	return &worker->slow;
}

int decide_copy(struct worker *worker, const void *sent, uint64_t now, struct frame *frame, void *result)
{
	__u32 room = frame->headroom + frame->length + frame->tailroom;
	char *block = malloc(room ? room : 1);
	int verdict;

	if (!block)
		return -1;
	__builtin_memcpy(block + frame->headroom, sent, frame->length);
	frame->start = block + frame->headroom;
	worker_online(worker, now);
	verdict = decide(worker, frame);
	worker_offline(worker);
	__builtin_memcpy(result, frame->start, frame->length);
	free(block);
	return verdict;
}
