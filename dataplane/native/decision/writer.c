// SPDX-License-Identifier: GPL-2.0-or-later
/* Writing and reading the maps by their keys, for the engine. */
#include <errno.h>
#include <stdlib.h>

#include "hash.h"
#include "table.h"
#include "writer.h"

/* What the process that writes a hash knows about it. */
struct writer {
	__u32 free; /* how many free places `places` begins with */
	__u32 first, retired; /* the first retired place in the ring `resting`, and how many there are */
	__u32 *places;
	struct resting {
		__u32 place;
		__u64 epoch;
	} *resting;
};

/* A place is in use if a chain leads to it. All other places are free, whatever a killed process did with them. */
static struct writer *writer_of(char *hash, struct shape shape)
{
	struct hash *header = (void *)hash;
	__u32 *heads = (void *)(hash + HASH_BEGIN);
	struct writer *writer = calloc(1, sizeof(*writer));
	char *used = calloc(1, header->end + 1);

	if (writer) {
		writer->places = malloc(4ull * shape.entries);
		writer->resting = malloc(sizeof(*writer->resting) * (__u64)shape.entries);
	}
	if (!writer || !used || !writer->places || !writer->resting) {
		free(used);
		return writer; /* without free places: the hash is full */
	}
	for (__u32 chain = 0; header->end && chain < chains(shape.entries); chain++)
		for (__u32 *link = &heads[chain]; *link;) {
			if (*link > header->end || used[*link]) {
				*link = 0;
				break;
			}
			used[*link] = 1;
			link = &entry_at(hash, *link, shape)->next;
		}
	for (__u32 place = 1; place <= header->end; place++) {
		entry_at(hash, place, shape)->live = used[place];
		if (!used[place])
			writer->places[writer->free++] = place;
	}
	free(used);
	return writer;
}

static void writer_ends(struct writer *writer)
{
	if (!writer)
		return;
	free(writer->places);
	free(writer->resting);
	free(writer);
}

/* A free place for an entry, or 0. */
static __u32 take_place(struct maps *maps, __u32 map)
{
	struct writer *writer = maps->writers[map];
	struct hash *header = (void *)maps->at[map];
	struct resting *oldest;

	if (!writer || !writer->places || !writer->resting)
		return 0;
	if (writer->free)
		return writer->places[--writer->free];
	oldest = &writer->resting[writer->first];
	if (!writer->retired || (header->end < shapes[map].entries && !passed(maps, oldest->epoch)))
		return header->end < shapes[map].entries ? ++header->end : 0;
	settled(maps, oldest->epoch, 1000);
	writer->first = (writer->first + 1) % shapes[map].entries;
	writer->retired--;
	return oldest->place;
}

static void retire(struct maps *maps, __u32 map, __u32 place)
{
	struct writer *writer = maps->writers[map];

	entry_at(maps->at[map], place, shapes[map])->live = 0;
	writer->resting[(writer->first + writer->retired++) % shapes[map].entries] =
		(struct resting){place, next_epoch(maps)};
}

/* The link that leads to a key's entry. If there is no entry, the link at the end of its chain, which leads nowhere. */
static __u32 *link_to(struct maps *maps, __u32 map, const void *key)
{
	char *hash = maps->at[map];
	__u32 *link = chain_of(hash, key, shapes[map], maps->workers->seed);

	while (*link) {
		struct entry *entry = entry_at(hash, *link, shapes[map]);

		if (same(entry->key, key, shapes[map].key))
			break;
		link = &entry->next;
	}
	return link;
}

static int hash_update(struct maps *maps, __u32 map, const void *key, const void *value)
{
	struct shape shape = shapes[map];
	__u32 *link = link_to(maps, map, key), before = *link, place = take_place(maps, map);
	struct entry *entry;

	if (!place)
		return ENOSPC;
	entry = entry_at(maps->at[map], place, shape);
	__builtin_memcpy(entry->key, key, shape.key);
	__builtin_memcpy(value_of(entry, shape), value, shape.value);
	entry->next = before ? entry_at(maps->at[map], before, shape)->next : 0;
	entry->live = 1;
	if (map == MAP_ranges && !before)
		((struct hash *)maps->at[map])->prefixes[*(const __u32 *)key]++;
	__atomic_store_n(link, place, __ATOMIC_SEQ_CST);
	if (before)
		retire(maps, map, before);
	return 0;
}

static void hash_delete(struct maps *maps, __u32 map, const void *key)
{
	__u32 *link = link_to(maps, map, key), place = *link;

	if (!place)
		return;
	__atomic_store_n(link, entry_at(maps->at[map], place, shapes[map])->next, __ATOMIC_SEQ_CST);
	if (map == MAP_ranges)
		((struct hash *)maps->at[map])->prefixes[*(const __u32 *)key]--;
	retire(maps, map, place);
}

static struct where where_is(struct maps *maps, __u32 map, const void *key)
{
	return set_of(maps->at[map], key, shapes[map], sets_of_map(maps, map), maps->workers->seed);
}

static struct member *engine(struct maps *maps)
{
	return &maps->workers->members[ENGINE];
}

int map_lookup(struct maps *maps, __u32 map, const void *key, void *value)
{
	struct shape shape = shapes[map];
	struct where where;
	__u32 seat;

	if (shape.kind == HASH) {
		const void *found = hash_lookup(maps->at[map], key, shape, maps->workers->seed);

		if (found)
			__builtin_memcpy(value, found, shape.value);
		return !!found;
	}
	where = where_is(maps, map, key);
	if (!take(engine(maps), ENGINE + 1, map, where))
		return 0;
	seat = seat_of(where, key, shape);
	if (seat < SEATS)
		__builtin_memcpy(value, seat_at(where.set, seat, shape) + rounded(shape.key),
				 (__u64)shape.value * shape.copies);
	let_go(where.set);
	return seat < SEATS;
}

int map_update(struct maps *maps, __u32 map, const void *key, const void *value)
{
	if (shapes[map].kind == HASH)
		return hash_update(maps, map, key, value);
	return table_update(where_is(maps, map, key), key, value, shapes[map], map, engine(maps), ENGINE + 1, 0) ?
		       ENOSPC :
		       0;
}

int map_update_all(struct maps *maps, __u32 map, const char *keys, const char *values, __u32 number)
{
	int result = 0;

	for (__u32 at = 0; at < number && !result; at++)
		result = map_update(maps, map, keys + at * (__u64)shapes[map].key, values + at * (__u64)shapes[map].value);
	return result;
}

void map_delete(struct maps *maps, __u32 map, const void *key)
{
	if (shapes[map].kind == HASH)
		hash_delete(maps, map, key);
	else
		table_delete(where_is(maps, map, key), key, shapes[map], map, engine(maps), ENGINE + 1);
}

static __u32 hash_batch(struct maps *maps, __u32 map, uint64_t *position, char *keys, char *values, __u32 most)
{
	struct shape shape = shapes[map];
	__u32 end = ((struct hash *)maps->at[map])->end, found = 0;
	__u64 place = *position + 1;

	for (; place <= end && found < most; place++) {
		struct entry *entry = entry_at(maps->at[map], place, shape);

		if (!entry->live)
			continue;
		__builtin_memcpy(keys + found * (__u64)shape.key, entry->key, shape.key);
		__builtin_memcpy(values + found * (__u64)shape.value, value_of(entry, shape), shape.value);
		found++;
	}
	*position = place > end ? 0 : place - 1;
	return found;
}

/* Passes over a set whose lock is held by a process that stands still. */
static __u32 table_batch(struct maps *maps, __u32 map, uint64_t *position, char *keys, char *values, __u32 most)
{
	struct shape shape = shapes[map];
	__u64 number = *position, sets = sets_of_map(maps, map), size = (__u64)shape.value * shape.copies;
	__u32 found = 0;

	for (; number < sets && found + SEATS <= most; number++) {
		struct where where = {set_at(maps, map, number), 0, number, (__u64 *)maps->at[map]};

		if (!(__atomic_load_n(&where.used[number / 64], __ATOMIC_ACQUIRE) >> number % 64 & 1) ||
		    !take(engine(maps), ENGINE + 1, map, where))
			continue;
		for (__u32 seat = 0; seat < SEATS; seat++) {
			char *at = seat_at(where.set, seat, shape);

			if (!where.set->used[seat])
				continue;
			__builtin_memcpy(keys + found * (__u64)shape.key, at, shape.key);
			__builtin_memcpy(values + found * size, at + rounded(shape.key), size);
			found++;
		}
		let_go(where.set);
	}
	*position = number < sets ? number : 0;
	return found;
}

uint32_t map_batch(struct maps *maps, uint32_t map, uint64_t *position, char *keys, char *values, __u32 most)
{
	if (shapes[map].kind == HASH)
		return hash_batch(maps, map, position, keys, values, most);
	return table_batch(maps, map, position, keys, values, most);
}

void counts_read(struct maps *maps, __u32 map, __u32 first, __u32 number, char *values)
{
	__u32 workers = maps->workers->number, size = shapes[map].value;

	for (__u32 worker = 0; worker < workers; worker++) {
		const char *block = maps->at[map] + (worker * (__u64)shapes[map].entries + first) * size;

		for (__u32 at = 0; at < number; at++)
			__builtin_memcpy(values + (at * (__u64)workers + worker) * size, block + at * (__u64)size, size);
	}
}

void counts_write(struct maps *maps, __u32 map, __u32 element, const char *values)
{
	__u32 workers = maps->workers->number, size = shapes[map].value;

	for (__u32 worker = 0; worker < workers; worker++)
		__builtin_memcpy(maps->at[map] + (worker * (__u64)shapes[map].entries + element) * size,
				 values + worker * (__u64)size, size);
}
