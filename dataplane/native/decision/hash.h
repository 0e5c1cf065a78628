/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How hashes are read. sharedmaps.h describes them. */
#ifndef AVI_HASH_H
#define AVI_HASH_H

#include "sharedmaps.h"

/* The beginning of a hash's file. The heads of the chains follow, then the entries. The first entry stays empty. */
#define HASH_BEGIN 4096

struct hash {
	__u32 end;	  /* entries that were ever in use */
	__u32 prefixes[65]; /* for `ranges`: how many keys have so many bits */
};

struct entry {
	__u32 next;
	__u32 live; /* for a reader of all entries: whether this one is in use */
	char key[]; /* the value follows the key */
};

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

/* An entry's value, or NULL. The walk ends even if a killed writer left the chain in a circle. */
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

/* The entry with the longest prefix that fits. key: a range_key of 64 bits. */
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

#endif
