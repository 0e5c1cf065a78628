/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The maps of dataplane/forwarding/program/maps.h in memory that processes share, a file each.
 *
 * array	values side by side
 * counts	an array for each worker, one behind the other
 * hash		written by the engine alone. An entry never changes while it can be found: a change is another entry in its
 *		place. A place is used again when every worker that is online has begun a burst since (RCU).
 * table	written by workers. Sets of SEATS entries, each with a lock; what finds no room takes the place of what was
 *		longest not looked at in its set (in `service_drops`: finds none).
 *
 * Whoever is killed leaves nothing half done that others would wait for: an entry of a hash is found by one store, a
 * table's lock is tried for a moment and then gone without, and what a former process of the same kind held is let go. */
#ifndef AVI_SHAREDMAPS_H
#define AVI_SHAREDMAPS_H

#include "../../forwarding/program/capture.h"
#include "../../forwarding/program/maps.h"
#include "decision.h"

#define ALL_MAPS(EACH)                                                                                                 \
	EACH(egress)                                                                                                   \
	EACH(addresses)                                                                                                \
	EACH(services)                                                                                                 \
	EACH(ranges)                                                                                                   \
	EACH(details)                                                                                                  \
	EACH(lives)                                                                                                    \
	EACH(source_macs)                                                                                              \
	EACH(counters)                                                                                                 \
	EACH(events)                                                                                                   \
	EACH(service_drops)                                                                                            \
	EACH(elder)                                                                                                    \
	EACH(young)                                                                                                    \
	EACH(openings)                                                                                                 \
	EACH(handshakes)                                                                                               \
	EACH(fragments)                                                                                                \
	EACH(identifications)                                                                                          \
	EACH(used_identifications)                                                                                     \
	EACH(slow_counters)                                                                                            \
	EACH(slow_events)                                                                                              \
	EACH(slow_service_drops)

/* Their numbers; then what is otherwise in the kernel: the slabs one behind the other, the program's memory and its own
 * life; what is captured; and what is known of the workers. */
enum map_number {
#define NUMBER(name) MAP_##name,
	ALL_MAPS(NUMBER)
#undef NUMBER
	MAP_slabs,
	MAP_bss,
	MAP_data,
	MAP_capture,
	MAP_workers,
	NUMBER_OF_MAPS,
};

enum map_kind {
	ARRAY,
	COUNTS,
	HASH,
	TABLE,
};

struct shape {
	enum map_kind kind;
	__u32 key, value; /* bytes */
	__u32 entries;
	__u32 copies; /* of a table's value: one a worker */
	int evicts;   /* a table: what finds no room takes another's */
};

#define TYPE(name) (sizeof(*(name).type) / sizeof(int))
#define KIND(name)                                                                                                     \
	(TYPE(name) == BPF_MAP_TYPE_PERCPU_ARRAY ? COUNTS :                                                            \
	 TYPE(name) == BPF_MAP_TYPE_HASH || TYPE(name) == BPF_MAP_TYPE_LPM_TRIE ? HASH :                               \
	 TYPE(name) == BPF_MAP_TYPE_LRU_HASH || TYPE(name) == BPF_MAP_TYPE_PERCPU_HASH ? TABLE : ARRAY)
#define SHAPE_OF(name)                                                                                                 \
	{                                                                                                              \
		KIND(name), sizeof(*(name).key), sizeof(*(name).value), sizeof(*(name).max_entries) / sizeof(int),     \
			TYPE(name) == BPF_MAP_TYPE_PERCPU_HASH ? MAX_WORKERS : 1, TYPE(name) == BPF_MAP_TYPE_LRU_HASH  \
	}
#define SHAPE(name) ((struct shape)SHAPE_OF(name))

#define OFFLINE (~0ull)
#define ENGINE MAX_WORKERS /* its place among the workers */

/* One of the processes that hold locks. Who it is: the place, and 1. */
struct member {
	__u64 seen;    /* the epoch in which it began its burst, or OFFLINE */
	__u64 holding; /* the lock that it is about to take, or last had: number of the map << 32 | set; and 1 */
	__u64 unused[6];
};

_Static_assert(sizeof(struct member) == 64, "a cache line each");

/* The file `workers`. */
struct workers {
	__u64 layout; /* a hash of all shapes */
	__u64 seed;   /* of all hashes */
	__u32 number; /* of workers that there are counters for */
	__u32 flow_sets;
	__u64 unused[5];
	__u64 epoch;
	__u64 unused_too[7];
	struct member members[MAX_WORKERS + 1];
};

#define CAPTURE_RING (1 << 20) /* bytes, a power of two */
#define CAPTURE_SKIP (~0u)     /* in place of a length: the next record is at the ring's beginning */

/* What one worker captured: records, each behind its length in 8 bytes, none of them in two pieces. The worker alone moves
 * `end`, the engine alone `begin`. */
struct capture_ring {
	__u64 end; /* bytes written, ever */
	__u64 lost; /* records that found no room */
	__u64 unused[6];
	__u64 begin; /* bytes read, ever */
	__u64 unused_too[503];
	char bytes[CAPTURE_RING];
};

_Static_assert(sizeof(struct capture_ring) == 4096 + CAPTURE_RING, "pages");

/* The file `capture`. */
struct capture {
	struct capture_filter filter;
	char unused[4096 - sizeof(struct capture_filter)];
	struct capture_ring rings[MAX_WORKERS];
};

struct maps {
	char *at[NUMBER_OF_MAPS];
	__u64 sizes[NUMBER_OF_MAPS];
	struct workers *workers;
	struct writer *writers[NUMBER_OF_MAPS]; /* of the hashes, for the engine */
};

/* Bytes, each a multiple of eight. */
static __always_inline __u32 rounded(__u32 bytes)
{
	return (bytes + 7) & ~7u;
}

static __always_inline __u64 hash_of(const void *key, __u32 size, __u64 seed)
{
	__u64 hash = seed;

	for (__u32 at = 0; at < size; at += 8) {
		__u64 word = 0;

		__builtin_memcpy(&word, (const char *)key + at, size - at < 8 ? 4 : 8);
		hash = (hash ^ word) * 0x9E3779B97F4A7C15ull;
		hash ^= hash >> 32;
	}
	return hash * 0xD6E8FEB86659FD93ull;
}

/* Keys are multiples of four bytes. */
static __always_inline int same(const void *one, const void *other, __u32 size)
{
	__u32 different = 0;

	for (__u32 at = 0; at < size; at += 4)
		different |= *(const __u32 *)((const char *)one + at) ^ *(const __u32 *)((const char *)other + at);
	return !different;
}

/* The power of two that is as large, or next: as many chains has a hash. */
static __always_inline __u32 chains(__u32 entries)
{
	__u32 chains = 1;

	while (chains < entries)
		chains *= 2;
	return chains;
}

/* In the file `slabs` each begins a page, of any processor's pages. */
#define SLAB_BYTES ((SLAB_TABLES * sizeof(struct table) + 0xFFFF) & ~0xFFFFul)

/* Of what a process that was killed held in this one's place, nothing is held any more. The member is offline. */
void member_begins(struct maps *maps, __u32 number);

#endif
