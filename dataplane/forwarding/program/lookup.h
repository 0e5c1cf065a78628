/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From a packet to interface, service and server. */
#ifndef AVI_LOOKUP_H
#define AVI_LOOKUP_H

#include "counters.h"
#include "packet.h"

#define NOWHERE 0xFFFFFFFF /* no place */

static __always_inline struct interface *find_interface(__u32 index)
{
#pragma unroll
	for (int i = 0; i < INTERFACE_PROBES; i++) {
		struct interface *found = &state.interfaces[(index + i) % MAX_INTERFACES];

		if (likely(found->index == index))
			return found;
	}
	return 0;
}

static __always_inline int may_hold(const struct filter *filter, __u32 word)
{
	__u32 hash = word * FILTER_FACTOR >> 16;

	return filter->words[hash / 64 % FILTER_WORDS] >> (hash % 64) & 1;
}

/* Returns ADDRESS_… bits. */
static __always_inline __u32 address_flags(__be32 address)
{
	__u32 *flags = bpf_map_lookup_elem(&addresses, &address);

	return flags ? *flags : 0;
}

static __always_inline service_key key_of(__be32 vip, __u8 protocol, __be16 port)
{
	return (__u64)vip | (__u64)port << 32 | (__u64)protocol << 48;
}

/* Finds a service that has a place in `index`. */
static __always_inline struct service *indexed_service(service_key key)
{
	__u32 place = key * INDEX_FACTOR >> (64 - INDEX_BITS);

#pragma unroll
	for (int i = 0; i < 2; i++, place ^= 1) {
		struct service *found = &state.entries[state.index[place % (1 << INDEX_BITS)] % MAX_ENTRIES];

		if (likely(found->key == key))
			return found;
	}
	return 0;
}

static __always_inline struct service *find_service(service_key key)
{
	struct service *found = indexed_service(key);

	return found ? found : bpf_map_lookup_elem(&services, &key);
}

static __always_inline struct service *find_range(service_key key)
{
	struct range_key range = {
		.bits = 64,
		.vip = key,
		.protocol = key >> 48,
		.port = key >> 32,
	};

	return bpf_map_lookup_elem(&ranges, &range);
}

/* Step 2: whether an address is zero, loopback, multicast or limited broadcast (RFC 1122 section 3.2.1.3). */
static __always_inline int bad_source(__be32 source)
{
	__u32 first = bpf_ntohl(source) >> 24;

	return first == 127 || (first & 0xF0) == 0xE0 || source == 0 || source == 0xFFFFFFFF;
}

/* Step 3: whether a server of the pool sent the frame back. Then the source MAC address is the server's, and the source
 * address is not. */
static __always_inline int sent_on_by_server(const struct eth *eth, __be32 source, __u32 pool)
{
	struct source_mac key = {.pool = pool};

	if (likely(!may_hold(&state.source_macs, *(const __u32 *)&eth->src[1])))
		return 0;
	__builtin_memcpy(key.mac, eth->src, sizeof(key.mac));
	if (!bpf_map_lookup_elem(&source_macs, &key))
		return 0;
	key.address = source;
	return !bpf_map_lookup_elem(&source_macs, &key);
}

/* The same as flow_hash() of dataplane/forwarding/maglev.py. */
static __always_inline __u32 flow_hash(__u32 address, __u32 port, __u32 seed)
{
	__u64 word = (__u64)address << 16 ^ port ^ (__u64)seed << 32;

	word *= 0x9E3779B97F4A7C15ull;
	word ^= word >> 32;
	word *= 0xD6E8FEB86659FD93ull;
	return word >> 32;
}

static __always_inline __u32 slot_of(const struct service *service, __be32 client, __be16 client_port)
{
	__u32 port = service->flags & SERVICE_BY_PORT ? bpf_ntohs(client_port) : 0;

	return (__u64)flow_hash(bpf_ntohl(client), port, service->seed) * service->slots >> 32;
}

/* The current word of a pool. A packet reads it once. */
static __always_inline __u64 pool_word(const struct service *service)
{
	return *(volatile __u64 *)&state.pools[service->pool % MAX_POOLS];
}

/* Reads a slot of a table. */
static __always_inline __u32 read_slot(__u32 number, __u32 slot)
{
	__u32 slab = number / SLAB_TABLES, within = number % SLAB_TABLES;
	void *tables = bpf_map_lookup_elem(&slabs, &slab);
	struct table *table;

	if (!tables)
		return NO_TARGET;
	table = bpf_map_lookup_elem(tables, &within);
	if (!table)
		return NO_TARGET;
	hide(slot); /* keeps it in one register: older verifiers do not see that a copy is bounded too */
	if (slot >= TABLE_SLOTS)
		return NO_TARGET;
	return table->slots[slot];
}

/* place: never NOWHERE. */
static __always_inline union target *target_at(__u32 place)
{
	return &state.targets[place % MAX_TARGETS];
}

/* The current MAC address and egress of a target. place: never NOWHERE. */
static __always_inline __u64 next_hop_of(const union target *target)
{
	return *(volatile const __u64 *)&target->next_hop;
}

#define EGRESS(next_hop) ((__u32)((next_hop) >> 48))

#endif
