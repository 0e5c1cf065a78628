/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Step 8: which server gets a packet, and what is remembered about flows and fragments. The same as
 * dataplane/forwarding/tracking.py. */
#ifndef AVI_TRACKING_H
#define AVI_TRACKING_H

#include "lookup.h"

#define SECOND 1000000000ull
#define FRAGMENT_LIFE (30 * SECOND)
#define REPLIES_A_SECOND 100

/* What a packet means for its flow. */
enum flow_role {
	CONTINUES,
	BEGINS,	 /* a SYN without ACK */
	REPORTS /* a message about the flow: nothing is remembered or renewed */
};

static __always_inline __u64 now(void)
{
	__u64 clock = own.clock;

	return clock ? clock : bpf_ktime_get_ns();
}

/* Whether ARP for owned VIPs is still to be answered. */
static __always_inline int answers(void)
{
	__u64 until = own.answers_until;

	return !until || now() < until;
}

static __always_inline int may_reply(void)
{
	__u32 second = now() / SECOND;

	if (own.second != second) {
		own.second = second;
		own.replies = 0;
	}
	return __sync_fetch_and_add(&own.replies, 1) < REPLIES_A_SECOND;
}

/* The id of a pool that has at least one target. */
static __always_inline __u64 id_of(__u64 word)
{
	__u32 place = POOL_FIRST(word) - HEAD_PLACES;
	struct detail *head = bpf_map_lookup_elem(&details, &place);

	return head ? ((struct pool_head *)head)->id : 0;
}

/* The place of a pool's member, if it lives. A member remembered in another pool of the same family counts too. */
static __always_inline __u32 place_of(const struct life *life, __u64 pool)
{
	struct life key = *life;
	int alike = FAMILY(key.pool) == FAMILY(pool);
	__u32 *place;

	key.pool = pool;
	place = alike ? bpf_map_lookup_elem(&lives, &key) : 0;
	return place ? *place : NOWHERE;
}

static __always_inline int may_serve(__u32 place)
{
	return EGRESS(next_hop_of(target_at(place))) & TARGET_SERVES;
}

/* The place of the member that an entry names, if entry and member are still valid. */
static __always_inline __u32 known(const struct flow_entry *entry, const struct service *service, __u64 pool, __u64 at)
{
	__u32 place;

	if (!entry)
		return NOWHERE;
	if (service->idle_timeout && (__s64)(at - entry->seen) > (__s64)(service->idle_timeout * SECOND))
		return NOWHERE;
	place = place_of(&entry->life, pool);
	return place != NOWHERE && may_serve(place) ? place : NOWHERE;
}

static __always_inline void remember(void *table, const struct flow *flow, __u32 place, __u64 at)
{
	struct flow_entry entry = {.seen = at};
	struct detail *detail = bpf_map_lookup_elem(&details, &place);

	if (!detail)
		return;
	entry.life = detail->life;
	bpf_map_update_elem(table, flow, &entry, BPF_ANY);
}

/* The place of the member that gets a packet of a flow whose slot is not stable, or NOWHERE. word: the pool's word. held:
 * the slot's value. */
__noinline __u32 unsettled(const struct flow *asked, const struct service *service, __u64 word, __u32 held, __u32 role)
{
	__u32 owner = (held & NO_TARGET) == NO_TARGET ? NOWHERE : POOL_FIRST(word) + (held & NO_TARGET);
	__u32 former, found = NOWHERE;
	struct flow copy, *flow = &copy;
	struct flow_entry *entry;
	__u64 at = now(), id;

	if (!asked || !service)
		return NOWHERE;
	if (!(held & UNSETTLED) || !POOL_FORMERS(word) || service->flags & SERVICE_PER_PACKET)
		return owner;
	copy = *asked;
	id = id_of(word);
	if (role == BEGINS) {
		bpf_map_delete_elem(&elder, flow);
	} else {
		entry = bpf_map_lookup_elem(&elder, flow);
		found = known(entry, service, id, at);
		if (entry && found != NOWHERE) {
			if (role == CONTINUES)
				entry->seen = at; /* the lookup itself saves it from being evicted next */
			return found;
		}
	}
	former = read_slot(POOL_FORMERS(word), slot_of(service, flow->client, flow->client_port));
	if (!(former & IN_TRANSITION))
		return owner;
	former &= NO_TARGET;
	found = known(bpf_map_lookup_elem(&young, flow), service, id, at);
	if (found != NOWHERE) {
		if (role == CONTINUES)
			bpf_map_delete_elem(&young, flow);
	} else {
		found = owner;
		if (role != BEGINS && former != NO_TARGET && may_serve(POOL_FIRST(word) + former))
			found = POOL_FIRST(word) + former;
	}
	if (found == NOWHERE || role == REPORTS)
		return found;
	if (role == BEGINS)
		remember(&young, flow, found, at);
	else
		remember(&elder, flow, found, at);
	return found;
}

/* Step 8: the place of the server, or NOWHERE. */
static __always_inline __u32 find_server(const struct service *service, __be32 client, __be16 client_port, __be16 port,
					 enum flow_role role)
{
	__u64 word = pool_word(service);
	__u32 held = read_slot(POOL_TABLE(word), slot_of(service, client, client_port));
	struct flow flow = {0};

	if (likely(held < NO_TARGET))
		return POOL_FIRST(word) + held;
	flow.client = client;
	flow.vip = service->key;
	flow.client_port = client_port;
	flow.port = port;
	flow.protocol = service->key >> 48;
	return unsettled(&flow, service, word, held, role);
}

static __always_inline void fragment_key_of(const struct packet *p, struct fragment_key *key)
{
	key->source = p->ip->source;
	key->destination = p->ip->destination;
	key->id = p->ip->id;
	key->protocol = p->ip->protocol;
	key->unused = 0;
}

static __always_inline void remember_fragments(const struct packet *p, service_key service, __u16 port_end,
					       const struct life *life)
{
	struct fragment_key key;
	struct fragment where = {.service = service, .port_end = port_end};

	fragment_key_of(p, &key);
	where.life = *life;
	where.until = now() + FRAGMENT_LIFE;
	bpf_map_update_elem(&fragments, &key, &where, BPF_ANY);
}

/* The place of the member that got the packet's first fragment, and the service; or NOWHERE. */
static __always_inline __u32 find_fragment(const struct packet *p, struct service **found)
{
	struct fragment_key key;
	struct fragment *where;
	struct service *service;
	__u64 word;
	__u32 place;

	fragment_key_of(p, &key);
	where = bpf_map_lookup_elem(&fragments, &key);
	if (!where || (__s64)(now() - where->until) > 0)
		return NOWHERE;
	service = bpf_ntohs(where->service >> 32) == where->port_end ? find_service(where->service) :
								       find_range(where->service);
	if (!service || service->key != where->service || service->port_end != where->port_end)
		return NOWHERE;
	word = pool_word(service);
	place = POOL_FIRST(word) ? place_of(&where->life, id_of(word)) : NOWHERE;
	if (place != NOWHERE)
		*found = service;
	return place;
}

#endif
