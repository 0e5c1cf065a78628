/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Steps 9 to 11 for a packet whose server is known. Step 10 handles one that is too big to leave. */
#ifndef AVI_DELIVER_H
#define AVI_DELIVER_H

#include "answer.h"
#include "handshakes.h"
#include "tracking.h"

#define IPV4_LEAST_MTU 68

enum kind {
	WHOLE,
	SAMPLED, /* whole, of a sampled flow */
	FIRST_FRAGMENT,
	LATER_FRAGMENT,
	ERROR
};

/* How many bytes of a header's options go into every fragment, as in fragmented() of dataplane/forwarding/rewrite.py. It
 * calls no function: at the end of the longest chain of calls, Linux 6.1 has no stack left for one. */
__noinline int copied_options(struct xdp_md *ctx)
{
	__u32 at = 0, kept = 0, length;
	struct packet p;
	__u32 tag;

	if (!look_again(ctx, &p, &tag))
		return 0;
	length = p.header - IP_HLEN;
	for (int i = 0; i < MAX_OPTIONS; i++) {
		const __u8 *option;
		__u32 kind, size;

		at &= 63;
		option = (void *)p.ip + IP_HLEN + at;
		if (at >= length || (void *)(option + 2) > p.end)
			break;
		kind = option[0];
		if (kind == OPTION_END)
			break;
		size = kind == OPTION_NOP ? 1 : option[1];
		if (kind != OPTION_NOP && (at + 1 >= length || size < 2 || at + size > length))
			break;
		if (kind & OPTION_COPIED)
			kept += size;
		at += size;
	}
	return (kept + 3) & ~3;
}

/* How many fragments of at most `mtu` bytes a packet makes. */
static __always_inline __u32 pieces_of(const struct packet *p, __u32 options, __u32 mtu)
{
	__u32 first = (mtu - p->header) & ~7, room = mtu - IP_HLEN - options;
	__u32 left = p->total - p->header - first;

	if (left <= room)
		return 2;
	return 2 + (left - room + (room & ~7) - 1) / (room & ~7);
}

/* How a packet is to be delivered. */
struct delivery {
	service_key service;
	__u32 counter; /* of the service */
	__u32 place;   /* of the server */
	__u16 port_end;
	__u16 kind;
};

static __always_inline struct delivery to_deliver(const struct service *service, __u32 place, enum kind kind)
{
	return (struct delivery){service->key, service->counter, place, service->port_end, kind};
}

/* Bytes of the largest client packet that fits into a tunnel whole. */
static __always_inline __u32 room_of(__u64 next_hop, const struct detail *detail, const struct interface *out)
{
	__u32 overhead = IP_HLEN + (EGRESS(next_hop) & TARGET_GRE ? GRE_HLEN : 0), mtu = out->mtu;

	if (detail->path_mtu && detail->path_mtu < mtu)
		mtu = detail->path_mtu;
	return mtu > overhead ? mtu - overhead : 0;
}

/* Step 10 for a tunnel: the client is told of the limit, or user space cuts the packet into fragments. */
__noinline int too_big(struct xdp_md *ctx, const struct delivery *asked, __u32 room)
{
	struct slow_frame handed = {.interface = ctx->ingress_ifindex};
	struct delivery what;
	struct detail *detail;
	struct packet p;
	__u32 tag;

	if (!asked || !look_again(ctx, &p, &tag))
		return drop(ENCAP_FAILED);
	what = *asked;
	detail = bpf_map_lookup_elem(&details, &what.place);
	if (!detail)
		return drop_of_service(what.counter, ENCAP_FAILED);
	if (p.ip->fragment & FRAGMENT_DF) {
		if (what.kind == LATER_FRAGMENT || what.kind == ERROR)
			return drop_of_service(what.counter, TOO_BIG_UNREPORTED);
		if (!may_reply())
			return drop_of_service(what.counter, TOO_BIG_RATE_LIMITED);
		return tell_mtu(ctx, &p, tag, room, what.counter);
	}
	if (room < IPV4_LEAST_MTU)
		return drop_of_service(what.counter, ENCAP_FAILED);
	handed.size = frame_length(ctx);
	handed.service = what.service;
	handed.port_end = what.port_end;
	handed.address = detail->life.address;
	handed.generation = detail->life.generation;
	handed.id = identifications_for(target_at(what.place), pieces_of(&p, copied_options(ctx), room));
	if (bpf_perf_event_output(ctx, &slow, BPF_F_CURRENT_CPU | (__u64)handed.size << 32, &handed, sizeof(handed)))
		return drop_of_service(what.counter, ENCAP_FAILED);
	return XDP_DROP;
}

/* Steps 9 to 11. rare: the packet may be SAMPLED. Callers that know it is not save stack and registers. */
static __always_inline int deliver(struct xdp_md *ctx, const struct packet *p, __u32 tag, const struct delivery *what,
				   int rare)
{
	struct leaving leaving = {&what->counter, 0, p->total, tag, 0};
	const struct interface *out;
	const union target *target;
	__u32 place, room;
	struct detail *detail;

	if (unlikely(what->place == NOWHERE))
		return drop_of_service(what->counter, NO_SERVER);
	target = target_at(what->place);
	leaving.next_hop = next_hop_of(target);
	if (unlikely(!(EGRESS(leaving.next_hop) & TARGET_RESOLVED)))
		return drop_of_service(what->counter, NO_NEXT_HOP);
	out = &state.interfaces[EGRESS(leaving.next_hop) & TARGET_PLACE];
	if (!(EGRESS(leaving.next_hop) & TARGET_TUNNEL)) {
		if (unlikely(p->total > out->mtu))
			return drop_of_service(what->counter, TOO_BIG_L2);
		if (rare && what->kind == SAMPLED)
			note_handshake(ctx, what->counter, what->place);
		leaving.padding = padding_behind(ctx, p, tag);
		return forward_l2(ctx, target, out, &leaving);
	}
	place = what->place;
	detail = bpf_map_lookup_elem(&details, &place);
	if (!detail)
		return drop_of_service(what->counter, NO_NEXT_HOP);
	room = room_of(leaving.next_hop, detail, out);
	if (likely(p->total <= room)) {
		if (rare && what->kind == SAMPLED)
			note_handshake(ctx, what->counter, what->place);
		leaving.padding = padding_behind(ctx, p, tag);
		return forward_in_tunnel(ctx, p->ip, target, detail, out, &leaving);
	}
	return too_big(ctx, what, room);
}

#endif
