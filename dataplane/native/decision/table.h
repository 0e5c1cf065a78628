/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How tables are read and written. sharedmaps.h describes them. */
#ifndef AVI_TABLE_H
#define AVI_TABLE_H

#include "sharedmaps.h"

/* A set of a table. */
#define SEATS 8

/* A table's file begins with a bit for every set that was ever in use. A reader of the whole table passes over the other
 * sets, so that these take no memory. */
static __always_inline __u64 sets_begin(__u64 sets)
{
	return ((sets + 63) / 64 * 8 + 0xFFF) & ~0xFFFull;
}

struct set {
	__u32 lock;  /* who holds it */
	__u32 clock; /* counts the looks at entries */
	__u32 used[SEATS]; /* when each entry was looked at, by that clock; 0: the seat is free */
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

/* Where a key is or would be. */
struct where {
	struct set *set;
	__u16 tag;
	__u64 number; /* of the set */
	__u64 *used;  /* bits of all sets */
};

static __always_inline struct where set_of(char *table, const void *key, struct shape shape, __u64 sets, __u64 seed)
{
	__u64 hash = hash_of(key, shape.key, seed), number = hash >> 32 & (sets - 1);

	return (struct where){(void *)(table + sets_begin(sets) + number * set_size(shape)), hash >> 16 | 1, number,
			      (__u64 *)table};
}

static __always_inline char *seat_at(struct set *set, __u32 seat, struct shape shape)
{
	return set->entries + seat * seat_size(shape);
}

#define TRIES 1000

/* Tries to take the lock. Returns whether it has it. A holder keeps a lock for less time than a try takes, unless its
 * process stands still. */
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

/* The seat of a key, or SEATS. The caller holds the set's lock. */
static __always_inline __u32 seat_of(struct where where, const void *key, struct shape shape)
{
	__u32 seat;

	for (seat = 0; seat < SEATS; seat++)
		if (where.set->tags[seat] == where.tag && where.set->used[seat] &&
		    same(seat_at(where.set, seat, shape), key, shape.key))
			break;
	return seat;
}

/* Marks a seat as the one that was looked at last. */
static __always_inline void touch(struct set *set, __u32 seat)
{
	if (!++set->clock) { /* once in four thousand million looks */
		for (int i = 0; i < SEATS; i++)
			set->used[i] = !!set->used[i];
		set->clock = 2;
	}
	set->used[seat] = set->clock;
}

/* The seat for a new key: a free one, or the one that was not looked at for longest; SEATS if there is none. */
static __always_inline __u32 seat_for(struct set *set, struct shape shape)
{
	__u32 oldest = 0;

	for (__u32 seat = 0; seat < SEATS; seat++)
		if (set->used[seat] < set->used[oldest])
			oldest = seat;
	return set->used[oldest] && !shape.evicts ? SEATS : oldest;
}

/* An entry's value, or NULL. The caller reads and writes it in place, after the lock is free again. As in the kernel's
 * table, another worker may have given the place to another entry by then. */
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

/* Adds or replaces an entry. Returns 0, or -1 if there is no room, or if it is to be new and is there already. */
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
		if (!where.set->clock)
			__atomic_fetch_or(&where.used[where.number / 64], 1ull << where.number % 64, __ATOMIC_SEQ_CST);
		where.set->used[seat] = 0; /* a process that is killed here leaves a free seat */
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

static __always_inline __u64 sets_of(struct shape shape)
{
	return chains(shape.entries) / SEATS;
}

#endif
