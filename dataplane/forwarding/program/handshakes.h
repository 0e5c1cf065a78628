/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Step 11 for one TCP flow in 64: whether the client gets the server's answers, which do not pass this host. The same as
 * dataplane/forwarding/handshakes.py, where it is explained. */
#ifndef AVI_HANDSHAKES_H
#define AVI_HANDSHAKES_H

#include "tracking.h"

#define SAMPLE_FACTOR 0x9E3779B1u
#define TCP_SYN 0x02
#define TCP_ACK 0x10
#define UNANSWERED_SYNS 3
#define REPEATED_AFTER (SECOND / 2)

/* ports: both ports, as they stand in the frame. */
static __always_inline int is_sampled(__be32 client, __u32 ports)
{
	return (client ^ ports) * SAMPLE_FACTOR < sampled_below;
}

static __always_inline int sampled(const struct packet *p)
{
	return p->ip->protocol == TCP && is_sampled(p->ip->source, p->ports.source | (__u32)p->ports.destination << 16);
}

enum handshake_event {
	HANDSHAKE_BEGUN,
	HANDSHAKE_ANSWERED,
	HANDSHAKE_ANSWERED_LATE, /* it was counted as unanswered before */
	HANDSHAKE_UNANSWERED,
	NO_EVENT,
};

/* What a segment without SYN shows about a flow. */
static __always_inline enum handshake_event continued(const struct opening *known, __be32 server)
{
	if (known->server != server) /* the flow was moved */
		return NO_EVENT;
	return known->syns < UNANSWERED_SYNS ? HANDSHAKE_ANSWERED : HANDSHAKE_ANSWERED_LATE;
}

/* What a repeated SYN shows about a flow. */
static __always_inline enum handshake_event repeated(struct opening *known, __u64 at)
{
	if (known->syns >= UNANSWERED_SYNS || (__s64)(at - known->seen) < (__s64)REPEATED_AFTER)
		return NO_EVENT;
	known->seen = at;
	return ++known->syns < UNANSWERED_SYNS ? NO_EVENT : HANDSHAKE_UNANSWERED;
}

/* counter: that of a service or a server. */
static __always_inline void count_handshake(__u32 counter, enum handshake_event event)
{
	struct handshake_tally *tally = bpf_map_lookup_elem(&handshakes, &counter);

	if (!tally)
		return;
	if (event == HANDSHAKE_BEGUN)
		__sync_fetch_and_add(&tally->begun, 1);
	else if (event == HANDSHAKE_UNANSWERED)
		__sync_fetch_and_add(&tally->unanswered, 1);
	else
		__sync_fetch_and_add(&tally->answered, 1);
	if (event == HANDSHAKE_ANSWERED_LATE)
		__sync_fetch_and_add(&tally->late, 1);
}

/* Counts a TCP segment of a sampled flow that leaves for a server. service: the service's counter; place: the server's. */
__noinline int note_handshake(struct xdp_md *ctx, __u32 service, __u32 place)
{
	const union target *target = target_at(place);
	enum handshake_event event = HANDSHAKE_BEGUN;
	struct opening begins = {0}, *known;
	struct flow flow = {0};
	struct ports *ports;
	struct packet p;
	__u32 tag;
	__u8 flags;

	if (!look_again(ctx, &p, &tag))
		return 0;
	ports = (void *)p.ip + p.header;
	if ((void *)ports + TCP_HLEN > p.end)
		return 0;
	flow.client = p.ip->source;
	flow.vip = p.ip->destination;
	flow.client_port = ports->source;
	flow.port = ports->destination;
	flow.protocol = TCP;
	begins.server = target->address;
	begins.sequence = *(__be32 *)(ports + 1);
	flags = *((__u8 *)ports + 13);
	if ((flags & (TCP_SYN | TCP_ACK)) == (TCP_SYN | TCP_ACK))
		return 0;
	known = bpf_map_lookup_elem(&openings, &flow);
	if (!(flags & TCP_SYN)) {
		if (!known)
			return 0;
		event = continued(known, begins.server);
		bpf_map_delete_elem(&openings, &flow);
	} else if (known && known->server == begins.server && known->sequence == begins.sequence) {
		event = repeated(known, now());
	} else {
		begins.seen = now();
		begins.syns = 1;
		bpf_map_update_elem(&openings, &flow, &begins, BPF_ANY);
	}
	if (event == NO_EVENT)
		return 0;
	count_handshake(service, event);
	count_handshake(target->counter, event);
	return 0;
}

#endif
