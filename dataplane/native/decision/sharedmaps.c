// SPDX-License-Identifier: GPL-2.0-or-later
/* Opening the maps, and the workers that look at them, with their epochs. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "../../forwarding/program/parse.h"
#include "hash.h"
#include "table.h"
#include "writer.h"

static const char *const names[NUMBER_OF_MAPS + 1] = {
#define NAME(name) #name,
	ALL_MAPS(NAME)
#undef NAME
	"slabs", "bss", "data", "capture", "workers", "",
};

static const struct shape shapes[NUMBER_OF_MAPS] = {
#define ITS_SHAPE(name) SHAPE_OF(name),
	ALL_MAPS(ITS_SHAPE)
#undef ITS_SHAPE
	{ARRAY, 4, SLAB_BYTES, MAX_SLABS, 1, 0},
	{ARRAY, 4, sizeof(struct state), 1, 1, 0},
	{ARRAY, 4, sizeof(own), 1, 1, 0},
	{ARRAY, 4, sizeof(struct capture), 1, 1, 0},
	{ARRAY, 4, sizeof(struct workers), 1, 1, 0},
};

/* writer.c */
static struct writer *writer_of(char *hash, struct shape shape);
static void writer_ends(struct writer *writer);

static __u64 sets_of_map(const struct maps *maps, __u32 map)
{
	return map == MAP_elder || map == MAP_young ? maps->workers->flow_sets : sets_of(shapes[map]);
}

static struct set *set_at(const struct maps *maps, __u32 map, __u64 number)
{
	return (void *)(maps->at[map] + sets_begin(sets_of_map(maps, map)) + number * set_size(shapes[map]));
}

struct told map_told(__u32 map, __u32 flows)
{
	struct shape shape = shapes[map < NUMBER_OF_MAPS ? map : 0];
	struct told told = {names[map < NUMBER_OF_MAPS ? map : NUMBER_OF_MAPS],
			    (__u64)shape.value * shape.entries,
			    shape.kind,
			    shape.key,
			    shape.value,
			    shape.entries,
			    shape.copies};

	if (map == MAP_elder || map == MAP_young)
		told.entries = flows;
	if (shape.kind == COUNTS)
		told.size *= MAX_WORKERS;
	else if (shape.kind == HASH)
		told.size = HASH_BEGIN + 4ull * chains(shape.entries) + (shape.entries + 1) * entry_size(shape);
	else if (shape.kind == TABLE)
		told.size = sets_begin(chains(told.entries) / SEATS) + chains(told.entries) / SEATS * set_size(shape);
	return told;
}

static __u64 layout(void)
{
	return hash_of(shapes, sizeof(shapes), sizeof(struct workers)) | 1;
}

static struct maps *attached(const int *files)
{
	struct maps *maps = calloc(1, sizeof(*maps));

	for (__u32 map = 0; maps && map < NUMBER_OF_MAPS; map++) {
		off_t size = lseek(files[map], 0, SEEK_END);
		void *at = MAP_FAILED;

		if (size > 0)
			at = mmap(0, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, files[map], 0);
		if (at == MAP_FAILED) {
			int reason = size > 0 ? errno : EPROTO;

			maps_close(maps);
			errno = reason;
			return 0;
		}
		maps->at[map] = at;
		maps->sizes[map] = size;
	}
	if (maps)
		maps->workers = (void *)maps->at[MAP_workers];
	return maps;
}

static int of_this_layout(const struct maps *maps)
{
	if (maps->sizes[MAP_workers] < sizeof(struct workers) || maps->workers->layout != layout())
		return 0;
	for (__u32 map = 0; map < NUMBER_OF_MAPS; map++)
		if (maps->sizes[map] != map_told(map, maps->workers->flow_sets * SEATS).size)
			return 0;
	return 1;
}

struct maps *maps_open(const char *folder)
{
	int files[NUMBER_OF_MAPS], at = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC), reason = at < 0 ? errno : 0;
	struct maps *maps = 0;
	__u32 opened = 0;

	for (; !reason && opened < NUMBER_OF_MAPS; opened++) {
		files[opened] = openat(at, names[opened], O_RDWR | O_CLOEXEC | O_NOFOLLOW);
		if (files[opened] < 0) {
			reason = errno;
			break;
		}
	}
	if (!reason) {
		maps = attached(files);
		reason = errno;
	}
	if (maps && !of_this_layout(maps)) {
		maps_close(maps);
		maps = 0;
		reason = EPROTO;
	}
	while (opened--)
		close(files[opened]);
	if (at >= 0)
		close(at);
	errno = reason;
	return maps;
}

void maps_close(struct maps *maps)
{
	for (__u32 map = 0; map < NUMBER_OF_MAPS; map++) {
		if (maps->at[map])
			munmap(maps->at[map], maps->sizes[map]);
		writer_ends(maps->writers[map]);
	}
	free(maps);
}

unsigned maps_workers(const struct maps *maps)
{
	return maps->workers->number;
}

void member_begins(struct maps *maps, __u32 number)
{
	struct member *member = &maps->workers->members[number];
	__u64 holding = member->holding - 1;
	__u32 map = holding >> 32, set = holding;

	member->seen = OFFLINE;
	if (member->holding && map < NUMBER_OF_MAPS && shapes[map].kind == TABLE && set < sets_of_map(maps, map)) {
		struct set *held = set_at(maps, map, set);
		__u32 who = number + 1;

		__atomic_compare_exchange_n(&held->lock, &who, 0, 0, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
	}
	member->holding = 0;
}

void workers_ended(struct maps *maps)
{
	for (__u32 number = 0; number < MAX_WORKERS; number++)
		__atomic_store_n(&maps->workers->members[number].seen, OFFLINE, __ATOMIC_SEQ_CST);
}

/* Whether every online worker began its burst in this epoch or a later one. */
static int passed(const struct maps *maps, __u64 epoch)
{
	for (__u32 number = 0; number < MAX_WORKERS; number++)
		if (__atomic_load_n(&maps->workers->members[number].seen, __ATOMIC_SEQ_CST) < epoch)
			return 0;
	return 1;
}

static __u64 next_epoch(struct maps *maps)
{
	return __atomic_add_fetch(&maps->workers->epoch, 1, __ATOMIC_SEQ_CST);
}

static int settled(const struct maps *maps, __u64 epoch, __u32 patience)
{
	struct timespec pause = {0, 50000};

	for (__u32 waited = 0; !passed(maps, epoch); waited++) {
		if (waited / 20 >= patience)
			return 0;
		nanosleep(&pause, 0);
	}
	return 1;
}

int maps_settle(struct maps *maps, __u32 patience)
{
	return settled(maps, next_epoch(maps), patience);
}

struct maps *maps_attach(const int *files, uint32_t flows, uint32_t number, uint64_t seed, int writes)
{
	struct maps *maps = attached(files);

	if (!maps)
		return 0;
	if (!maps->workers->layout) {
		*maps->workers = (struct workers){.seed = seed, .flow_sets = chains(flows) / SEATS, .epoch = 1};
		for (__u32 member = 0; member <= MAX_WORKERS; member++)
			maps->workers->members[member].seen = OFFLINE;
		__atomic_store_n(&maps->workers->layout, layout(), __ATOMIC_RELEASE);
	}
	if (!of_this_layout(maps)) {
		maps_close(maps);
		errno = EPROTO;
		return 0;
	}
	if (!writes)
		return maps;
	if (maps->workers->number < number)
		maps->workers->number = number;
	member_begins(maps, ENGINE);
	for (__u32 map = 0; map < NUMBER_OF_MAPS; map++)
		if (shapes[map].kind == HASH)
			maps->writers[map] = writer_of(maps->at[map], shapes[map]);
	return maps;
}
