/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the engine does with the maps, by their numbers: called from Python (maps.py). Arrays it maps and writes itself. */
#ifndef AVI_WRITER_H
#define AVI_WRITER_H

#include <stdint.h>

struct maps;

#pragma GCC visibility push(default)

/* What a map is: its name ("" behind the last), kind (enum map_kind), and what sharedmaps.h calls its shape. */
struct told {
	const char *name;
	uint64_t size; /* of the file */
	uint32_t kind, key, value, entries, copies;
};
struct told map_told(uint32_t map, uint32_t flows);

/* The maps in files of the sizes told, in the order of the numbers; NULL: errno tells. The files may be closed. flows: of
 * each table of flows, a power of two; workers: at least so many; seed: of hashes, where the files are new. writes: for
 * the one process that writes them; what a former one left half done is mended. */
struct maps *maps_attach(const int *files, uint32_t flows, uint32_t workers, uint64_t seed, int writes);

/* Hashes and tables, by key. lookup: whether it was there; all copies of the value. update: 0, or ENOSPC or EBUSY. */
int map_lookup(struct maps *maps, uint32_t map, const void *key, void *value);
int map_update(struct maps *maps, uint32_t map, const void *key, const void *value);
int map_update_all(struct maps *maps, uint32_t map, const char *keys, const char *values, uint32_t number);
void map_delete(struct maps *maps, uint32_t map, const void *key);

/* Entries from a position on, as many as fit; position 0: from the first. Returns how many; the position is 0 behind the
 * last. most: at least eight. */
uint32_t map_batch(struct maps *maps, uint32_t map, uint64_t *position, char *keys, char *values, uint32_t most);

/* The first elements of counts, and of each all workers' values side by side; and back. */
void counts_read(struct maps *maps, uint32_t map, uint32_t first, uint32_t number, char *values);
void counts_write(struct maps *maps, uint32_t map, uint32_t element, const char *values);

/* Waits until every worker that is online has begun a burst since. Returns whether that took less than so many
 * milliseconds. */
int maps_settle(struct maps *maps, uint32_t patience);

/* Nobody is online any more of those workers that were: for when their process is known to have ended. */
void workers_ended(struct maps *maps);

#pragma GCC visibility pop

#endif
