/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The maps of dataplane/forwarding/program/maps.h in memory that processes share. Each is a file.
 *
 * array	values side by side
 * counts	an array for each worker, one after the other
 * hash		written by the engine alone. An entry never changes while it can be found: another entry replaces it. A place
 *		is used again when every online worker has begun a burst since (RCU).
 * table	written by workers. It has sets of SEATS entries, each with a lock. A new entry in a full set replaces the one
 *		that was not looked at for longest (in `service_drops` it is not stored).
 *
 * A killed process leaves nothing half done for which others would wait. One store makes an entry of a hash visible. A
 * table's lock is tried for a moment only, then the work is left out. A new process frees what its predecessor held. */
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

/* The maps' numbers. After the maps come the files for what the kernel holds otherwise: the slabs one after the other, the
 * program's memory and its life. Then come the captures, and what is known about the workers. */
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
	__u32 copies; /* how many copies of a value a table holds: one for each worker */
	int evicts;   /* a table: in a full set, a new entry replaces another */
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
#define ENGINE MAX_WORKERS /* the engine's place among the workers */

/* One of those that hold locks. In a lock it is its place plus 1. */
struct member {
	__u64 seen;    /* the epoch in which it began its burst, or OFFLINE */
	__u64 holding; /* the lock that it is about to take, or had last: (number of the map << 32 | set) + 1 */
	__u64 unused[6];
};

_Static_assert(sizeof(struct member) == 64, "a cache line each");

/* The file `workers`. */
struct workers {
	__u64 layout; /* a hash of all shapes */
	__u64 seed;   /* of all hashes */
	__u32 number; /* how many workers there are counters for */
	__u32 flow_sets;
	__u64 unused[5];
	__u64 epoch;
	__u64 unused_too[7];
	struct member members[MAX_WORKERS + 1];
};

#define CAPTURE_RING (1 << 20) /* bytes, a power of two */
#define CAPTURE_SKIP (~0u)     /* instead of a length: the next record is at the ring's beginning */

/* The records that one worker captured. Its length in 8 bytes stands before each record. No record is in two pieces. Only
 * the worker moves `end`, only the engine `begin`. */
struct capture_ring {
	__u64 end; /* all bytes ever written */
	__u64 lost; /* how many records found no room */
	__u64 unused[6];
	__u64 begin; /* all bytes ever read */
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
	struct writer *writers[NUMBER_OF_MAPS]; /* what the engine writes the hashes with */
};

/* Sizes in bytes. Each is a multiple of eight. */
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

/* A key's size is a multiple of four bytes. */
static __always_inline int same(const void *one, const void *other, __u32 size)
{
	__u32 different = 0;

	for (__u32 at = 0; at < size; at += 4)
		different |= *(const __u32 *)((const char *)one + at) ^ *(const __u32 *)((const char *)other + at);
	return !different;
}

/* The number of a hash's chains: the smallest power of two that is at least as large. */
static __always_inline __u32 chains(__u32 entries)
{
	__u32 chains = 1;

	while (chains < entries)
		chains *= 2;
	return chains;
}

/* In the file `slabs` each slab begins a page, whatever the processor's page size. */
#define SLAB_BYTES ((SLAB_TABLES * sizeof(struct table) + 0xFFFF) & ~0xFFFFul)

/* Frees the locks that a killed process held in this member's place, and sets the member offline. */
void member_begins(struct maps *maps, __u32 number);

#endif
