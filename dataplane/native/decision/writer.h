/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the engine does with the maps, by their numbers. Python calls it (maps.py). Python maps and writes arrays itself. */
#ifndef AVI_WRITER_H
#define AVI_WRITER_H

#include <stdint.h>

struct maps;

#pragma GCC visibility push(default)

/* A map's name ("" after the last map), its kind (enum map_kind), and its shape as in sharedmaps.h. */
struct told {
	const char *name;
	uint64_t size; /* of the file */
	uint32_t kind, key, value, entries, copies;
};
struct told map_told(uint32_t map, uint32_t flows);

/* Attaches the maps. files: in the order of the numbers, each of its size; they may be closed afterwards. flows: entries of
 * each table of flows, a power of two. workers: at least so many. seed: of the hashes, if the files are new. writes: this
 * is the one process that writes the maps; it mends what a former one left half done. NULL: errno tells why. */
struct maps *maps_attach(const int *files, uint32_t flows, uint32_t workers, uint64_t seed, int writes);

/* Hashes and tables, by key. lookup returns whether the key is there, and gives all copies of the value. update returns 0,
 * ENOSPC or EBUSY. */
int map_lookup(struct maps *maps, uint32_t map, const void *key, void *value);
int map_update(struct maps *maps, uint32_t map, const void *key, const void *value);
int map_update_all(struct maps *maps, uint32_t map, const char *keys, const char *values, uint32_t number);
void map_delete(struct maps *maps, uint32_t map, const void *key);

/* Reads as many entries as fit, from a position on; 0 is the first. Returns how many. After the last entry the position is
 * 0 again. most: at least eight. */
uint32_t map_batch(struct maps *maps, uint32_t map, uint64_t *position, char *keys, char *values, uint32_t most);

/* Reads the first elements of counts, each with all workers' values side by side; and writes them. */
void counts_read(struct maps *maps, uint32_t map, uint32_t first, uint32_t number, char *values);
void counts_write(struct maps *maps, uint32_t map, uint32_t element, const char *values);

/* Waits until every online worker has begun another burst. Returns whether that took less than so many milliseconds. */
int maps_settle(struct maps *maps, uint32_t patience);

/* Sets all workers offline. Call it when their process is known to have ended. */
void workers_ended(struct maps *maps);

#pragma GCC visibility pop

#endif
