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
 * life; and what is known of the workers. */
enum map_number {
#define NUMBER(name) MAP_##name,
	ALL_MAPS(NUMBER)
#undef NUMBER
	MAP_slabs,
	MAP_bss,
	MAP_data,
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

/* The beginning of a hash's file; heads of chains follow, then entries, of which the first stays empty. */
#define HASH_BEGIN 4096

struct hash {
	__u32 end;	  /* entries that were ever in use */
	__u32 prefixes[65]; /* of `ranges`: keys by their bits */
};

struct entry {
	__u32 next;
	__u32 live; /* for whoever reads all of them */
	char key[]; /* the value follows */
};

static __always_inline __u32 chains(__u32 entries)
{
	__u32 chains = 1;

	while (chains < entries)
		chains *= 2;
	return chains;
}

static __always_inline __u64 entry_size(struct shape shape)
{
	return sizeof(struct entry) + rounded(shape.key) + rounded(shape.value);
}

static __always_inline __u32 *chain_of(char *hash, const void *key, struct shape shape, __u64 seed)
{
	return (__u32 *)(hash + HASH_BEGIN) + (hash_of(key, shape.key, seed) >> 32 & (chains(shape.entries) - 1));
}

static __always_inline struct entry *entry_at(char *hash, __u32 number, struct shape shape)
{
	return (void *)(hash + HASH_BEGIN + 4ull * chains(shape.entries) + number * entry_size(shape));
}

static __always_inline void *value_of(struct entry *entry, struct shape shape)
{
	return entry->key + rounded(shape.key);
}

/* An entry's value, or NULL. A chain is as long as chance has it; one that a killed writer left in a circle ends. */
static __always_inline void *hash_lookup(char *hash, const void *key, struct shape shape, __u64 seed)
{
	__u32 number = __atomic_load_n(chain_of(hash, key, shape, seed), __ATOMIC_ACQUIRE);

	while (number && number <= shape.entries) {
		struct entry *entry = entry_at(hash, number, shape);

		if (same(entry->key, key, shape.key))
			return value_of(entry, shape);
		number = __atomic_load_n(&entry->next, __ATOMIC_ACQUIRE);
	}
	return 0;
}

/* The longest prefix of an address that there is. key: a range_key of 64 bits. */
static __always_inline void *prefix_lookup(char *hash, const struct range_key *asked, struct shape shape, __u64 seed)
{
	const __u32 *prefixes = ((struct hash *)hash)->prefixes;

	for (__u32 bits = 64; bits >= 48; bits--) {
		struct range_key key = *asked;
		void *found;

		if (!__atomic_load_n(&prefixes[bits], __ATOMIC_ACQUIRE))
			continue;
		key.bits = bits;
		key.port = bpf_htons(bpf_ntohs(key.port) & 0xFFFF0000u >> (bits - 48));
		found = hash_lookup(hash, &key, shape, seed);
		if (found)
			return found;
	}
	return 0;
}

/* In the file `slabs` each begins a page, of any processor's pages. */
#define SLAB_BYTES ((SLAB_TABLES * sizeof(struct table) + 0xFFFF) & ~0xFFFFul)

/* A set of a table. */
#define SEATS 8

struct set {
	__u32 lock;  /* who holds it */
	__u32 clock; /* counts what was looked at */
	__u32 used[SEATS]; /* when it was, by that clock; 0: free */
	__u16 tags[SEATS];
	__u64 unused;
	char entries[]; /* keys with their values */
};

_Static_assert(sizeof(struct set) == 64, "a cache line");

static __always_inline __u64 seat_size(struct shape shape)
{
	return rounded(shape.key) + (__u64)rounded(shape.value) * shape.copies;
}

static __always_inline __u64 set_size(struct shape shape)
{
	return sizeof(struct set) + SEATS * seat_size(shape);
}

/* Where a key is, or may be. */
struct where {
	struct set *set;
	__u16 tag;
	__u64 number; /* of the set */
};

static __always_inline struct where set_of(char *table, const void *key, struct shape shape, __u64 sets, __u64 seed)
{
	__u64 hash = hash_of(key, shape.key, seed), number = hash >> 32 & (sets - 1);

	return (struct where){(void *)(table + number * set_size(shape)), hash >> 16 | 1, number};
}

static __always_inline char *seat_at(struct set *set, __u32 seat, struct shape shape)
{
	return set->entries + seat * seat_size(shape);
}

#define TRIES 1000

/* Whether the lock was had. Who holds one does so for less time than a try takes, unless it stands still. */
static __always_inline int take(struct member *member, __u32 who, __u32 map, struct where where)
{
	__atomic_store_n(&member->holding, ((__u64)map << 32 | where.number) + 1, __ATOMIC_RELEASE);
	for (int i = 0; i < TRIES; i++) {
		__u32 nobody = 0;

		if (__atomic_compare_exchange_n(&where.set->lock, &nobody, who, 0, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
			return 1;
#ifdef __x86_64__
		__builtin_ia32_pause();
#endif
	}
	return 0;
}

static __always_inline void let_go(struct set *set)
{
	__atomic_store_n(&set->lock, 0, __ATOMIC_RELEASE);
}

/* The seat of a key, or SEATS. The set is held. */
static __always_inline __u32 seat_of(struct where where, const void *key, struct shape shape)
{
	__u32 seat;

	for (seat = 0; seat < SEATS; seat++)
		if (where.set->tags[seat] == where.tag && where.set->used[seat] &&
		    same(seat_at(where.set, seat, shape), key, shape.key))
			break;
	return seat;
}

/* A seat is the one that was looked at last. */
static __always_inline void touch(struct set *set, __u32 seat)
{
	if (!++set->clock) { /* once in four thousand million */
		for (int i = 0; i < SEATS; i++)
			set->used[i] = !!set->used[i];
		set->clock = 2;
	}
	set->used[seat] = set->clock;
}

/* The seat for a new key: a free one, or that of what was longest not looked at; SEATS where there is none. */
static __always_inline __u32 seat_for(struct set *set, struct shape shape)
{
	__u32 oldest = 0;

	for (__u32 seat = 0; seat < SEATS; seat++)
		if (set->used[seat] < set->used[oldest])
			oldest = seat;
	return set->used[oldest] && !shape.evicts ? SEATS : oldest;
}

/* An entry's value, or NULL. It is read and written where it stands, when the lock is free again: as in the kernel's
 * table, another worker may have taken its place by then. */
static __always_inline char *table_lookup(struct where where, const void *key, struct shape shape, __u32 map,
					  struct member *member, __u32 who)
{
	char *found = 0;
	__u32 seat;

	if (!take(member, who, map, where))
		return 0;
	seat = seat_of(where, key, shape);
	if (seat < SEATS) {
		touch(where.set, seat);
		found = seat_at(where.set, seat, shape) + rounded(shape.key);
	}
	let_go(where.set);
	return found;
}

/* Adds or replaces. Returns 0, or -1 where there is no room or, if it is to be new, where it is there. */
static __always_inline int table_update(struct where where, const void *key, const void *value, struct shape shape,
					__u32 map, struct member *member, __u32 who, int new)
{
	int result = -1;
	__u32 seat;

	if (!take(member, who, map, where))
		return -1;
	seat = seat_of(where, key, shape);
	if (seat < SEATS && new)
		goto done;
	if (seat == SEATS) {
		char *at;

		seat = seat_for(where.set, shape);
		if (seat == SEATS)
			goto done;
		at = seat_at(where.set, seat, shape);
		where.set->used[seat] = 0; /* who is killed here leaves a free one */
		where.set->tags[seat] = where.tag;
		__builtin_memcpy(at, key, shape.key);
		if (shape.copies > 1)
			__builtin_memset(at + rounded(shape.key), 0, (__u64)rounded(shape.value) * shape.copies);
	}
	__builtin_memcpy(seat_at(where.set, seat, shape) + rounded(shape.key), value, shape.value);
	touch(where.set, seat);
	result = 0;
done:
	let_go(where.set);
	return result;
}

static __always_inline void table_delete(struct where where, const void *key, struct shape shape, __u32 map,
					 struct member *member, __u32 who)
{
	__u32 seat;

	if (!take(member, who, map, where))
		return;
	seat = seat_of(where, key, shape);
	if (seat < SEATS)
		where.set->used[seat] = 0;
	let_go(where.set);
}

/* Of what a process that was killed held in this one's place, nothing is held any more. The member is offline. */
void member_begins(struct maps *maps, __u32 number);

static __always_inline __u64 sets_of(struct shape shape)
{
	return chains(shape.entries) / SEATS;
}

#endif
