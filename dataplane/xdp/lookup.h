/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From a packet to interface, service and server. */
#ifndef AVI_LOOKUP_H
#define AVI_LOOKUP_H

#include "count.h"
#include "parse.h"

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

static __always_inline int may_hold(const struct filter *filter, __u16 tail)
{
	return filter->bits[tail / 8] >> (tail % 8) & 1;
}

/* ADDRESS_… bits. */
static __always_inline __u32 address_flags(__be32 address)
{
	__u32 *flags = bpf_map_lookup_elem(&addresses, &address);

	return flags ? *flags : 0;
}

static __always_inline service_key key_of(const struct packet *p)
{
	return p->ip->destination | (__u64)(p->ports >> 16) << 32 | (__u64)p->ip->protocol << 48;
}

/* The short way, which nearly every packet goes. */
static __always_inline struct service *find_indexed(const struct packet *p)
{
	service_key key = key_of(p);
	__u32 place = key * INDEX_FACTOR >> (64 - INDEX_BITS);

#pragma unroll
	for (int i = 0; i < 2; i++, place ^= 1) {
		struct service *found = &state.entries[state.index[place] % MAX_ENTRIES];

		if (likely(found->key == key))
			return found;
	}
	return 0;
}

/* The long way: services that have no place in the index, and port ranges. flags: of the VIP. */
static __always_inline struct service *find_service(const struct packet *p, __u32 flags)
{
	service_key key = key_of(p);
	struct service *found = bpf_map_lookup_elem(&services, &key);
	struct range_key range = {
		.bits = 64,
		.vip = p->ip->destination,
		.protocol = p->ip->protocol,
		.port = p->ports >> 16,
	};

	if (found || !(flags & ADDRESS_VIP_RANGES))
		return found;
	return bpf_map_lookup_elem(&ranges, &range);
}

/* What is known of a packet's source. */
static __always_inline __u32 source_flags(const struct packet *p)
{
	if (likely(!may_hold(&state.addresses, p->ip->source >> 16)))
		return 0;
	return address_flags(p->ip->source);
}

/* Whether a frame comes from a member of the pool, but with an address that is not the member's. */
static __always_inline int from_member(const struct packet *p, __u32 pool)
{
	struct member key = {.pool = pool};

	if (likely(!may_hold(&state.members, p->eth->src[2])))
		return 0;
	put_mac(key.mac, p->eth->src);
	if (!bpf_map_lookup_elem(&members, &key))
		return 0;
	key.address = p->ip->source;
	return !bpf_map_lookup_elem(&members, &key);
}

static __always_inline __u32 rotate(__u32 word, int by)
{
	return word << by | word >> (32 - by);
}

/* jhash_2words() of the kernel's include/linux/jhash.h; the same as hashing.flow_hash(). */
static __always_inline __u32 flow_hash(__u32 address, __u32 port, __u32 seed)
{
	__u32 start = seed + 0xDEADBEEF + (2 << 2);
	__u32 a = address + start, b = port + start, c = start;

	c = (c ^ b) - rotate(b, 14);
	a = (a ^ c) - rotate(c, 11);
	b = (b ^ a) - rotate(a, 25);
	c = (c ^ b) - rotate(b, 16);
	a = (a ^ c) - rotate(c, 4);
	b = (b ^ a) - rotate(a, 14);
	return (c ^ b) - rotate(b, 24);
}

/* Step 8: the owner of the flow's slot. */
static __always_inline struct target *find_target(const struct packet *p, const struct service *service)
{
	__u32 port = service->flags & SERVICE_BY_PORT ? bpf_ntohs(p->ports & 0xFFFF) : 0;
	__u32 hash = flow_hash(bpf_ntohl(p->ip->source), port, service->seed);
	__u32 slot = (__u64)hash * service->slots >> 32;
	void *place = bpf_map_lookup_elem(&pools, &service->pool);
	struct pool *pool;
	__u32 zero = 0, owner;

	if (!place)
		return 0;
	pool = bpf_map_lookup_elem(place, &zero);
	if (!pool || slot >= MAX_SLOTS)
		return 0;
	owner = pool->table[slot];
	if (owner == NO_SERVER)
		return 0;
	return &state.targets[(pool->first + owner) % MAX_TARGETS];
}

#endif
