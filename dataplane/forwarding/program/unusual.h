/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is rare, out of the way of what is not: fragments (step 5), ICMP (step 6), packets too big to leave (step 10). */
#ifndef AVI_UNUSUAL_H
#define AVI_UNUSUAL_H

#include "answer.h"
#include "tracking.h"

#define IPV4_LEAST_MTU 68
#define DELIVER (-1)

enum kind {
	WHOLE,
	FIRST_FRAGMENT,
	LATER_FRAGMENT,
	ERROR
};

/* Bytes of a header's options that go into every fragment, as rewrite.fragmented() finds them. */
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
		if (kind == 0)
			break;
		size = kind == 1 ? 1 : option[1];
		if (kind != 1 && (at + 1 >= length || size < 2 || at + size > length))
			break;
		if (kind & 0x80)
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

/* What is to be done with a packet. */
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

/* Bytes of the largest client's packet that goes into a tunnel whole. */
static __always_inline __u32 room_of(__u64 way, const struct detail *detail, const struct interface *out)
{
	__u32 overhead = IP_HLEN + (EGRESS(way) & TARGET_GRE ? GRE_HLEN : 0), mtu = out->mtu;

	if (detail->path_mtu && detail->path_mtu < mtu)
		mtu = detail->path_mtu;
	return mtu > overhead ? mtu - overhead : 0;
}

/* Step 10 for a tunnel: the client is told, or user space cuts the packet up. */
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
		return drop(ENCAP_FAILED);
	if (p.ip->fragment & FRAGMENT_DF) {
		if (what.kind == LATER_FRAGMENT || what.kind == ERROR)
			return drop(TOO_BIG_UNREPORTED);
		if (!may_reply())
			return drop(TOO_BIG_RATE_LIMITED);
		return tell_mtu(ctx, &p, tag, room);
	}
	if (room < IPV4_LEAST_MTU)
		return drop(ENCAP_FAILED);
	handed.size = p.left + sizeof(struct eth) + tag;
	handed.service = what.service;
	handed.port_end = what.port_end;
	handed.address = detail->life.address;
	handed.generation = detail->life.generation;
	handed.id = identification(target_at(what.place), pieces_of(&p, copied_options(ctx), room));
	if (bpf_perf_event_output(ctx, &slow, BPF_F_CURRENT_CPU | (__u64)handed.size << 32, &handed, sizeof(handed)))
		return drop(ENCAP_FAILED);
	return XDP_DROP;
}

/* Steps 8 to 11, the server being found. */
static __always_inline int deliver(struct xdp_md *ctx, const struct packet *p, __u32 tag, const struct delivery *what)
{
	struct leaving leaving = {&what->counter, 0, p->total, tag, p->left - p->total};
	const struct interface *out;
	const union target *target;
	__u32 place, room;
	struct detail *detail;

	if (unlikely(what->place == NOWHERE))
		return drop(NO_SERVER_UP);
	target = target_at(what->place);
	leaving.way = way_of(target);
	if (unlikely(!(EGRESS(leaving.way) & TARGET_RESOLVED)))
		return drop(NO_NEXT_HOP);
	out = &state.interfaces[EGRESS(leaving.way) & TARGET_PLACE];
	if (!(EGRESS(leaving.way) & TARGET_TUNNEL)) {
		if (unlikely(p->total > out->mtu))
			return drop(TOO_BIG_L2);
		return forward_l2(ctx, target, out, &leaving);
	}
	place = what->place;
	detail = bpf_map_lookup_elem(&details, &place);
	if (!detail)
		return drop(NO_NEXT_HOP);
	room = room_of(leaving.way, detail, out);
	if (likely(p->total <= room))
		return forward_in_tunnel(ctx, p->ip, target, detail, out, &leaving);
	return too_big(ctx, what, room);
}

/* Where a first fragment went. A function of its own for the stack's sake: what it needs there is given back. */
__noinline int remember_first(struct xdp_md *ctx, const struct delivery *what)
{
	struct detail *detail;
	struct packet p;
	__u32 tag, place;

	if (!what || !look_again(ctx, &p, &tag))
		return 0;
	place = what->place;
	detail = bpf_map_lookup_elem(&details, &place);
	if (detail)
		remember_fragments(&p, what->service, what->port_end, &detail->life);
	return 0;
}

/* The same where it is rare. */
__noinline int deliver_unusual(struct xdp_md *ctx, const struct delivery *asked)
{
	struct delivery what;
	struct packet p;
	__u32 tag;

	if (!asked || !look_again(ctx, &p, &tag))
		return drop(MALFORMED);
	what = *asked;
	if (what.kind == FIRST_FRAGMENT && what.place != NOWHERE)
		remember_first(ctx, &what);
	return deliver(ctx, &p, tag, &what);
}

static __always_inline struct service *any_service(service_key key, __u32 vip)
{
	struct service *found = find_service(key);

	return found || !(vip & ADDRESS_VIP_RANGES) ? found : find_range(key);
}

/* The flow that an ICMP error quotes a packet of, from the VIP; eight bytes of its layer 4 are enough. */
static __always_inline int quoted_flow(const struct packet *p, struct flow *flow)
{
	const struct ip *quoted = (void *)p->ip + p->header + ICMP_HLEN;
	__u32 left = p->total - p->header - ICMP_HLEN, length;
	const struct ports *ports;

	if (left < IP_HLEN + QUOTED || (void *)(quoted + 1) > p->end)
		return 0;
	length = (quoted->version_ihl & 0x0F) * 4;
	if (quoted->version_ihl >> 4 != 4 || length < IP_HLEN || left < length + QUOTED)
		return 0;
	if (quoted->fragment & FRAGMENT_OFFSET || quoted->source != p->ip->destination)
		return 0;
	ports = (void *)quoted + length;
	if ((quoted->protocol != TCP && quoted->protocol != UDP) || (void *)(ports + 1) > p->end)
		return 0;
	flow->client = quoted->destination;
	flow->vip = quoted->source;
	flow->client_port = ports->destination;
	flow->port = ports->source;
	flow->protocol = quoted->protocol;
	return 1;
}

/* Steps 3 to 8 for a fragment or an ICMP message that is not malformed, and whose source is neither bad nor our own.
 * vip: ADDRESS_… bits of the VIP. Returns an XDP action, or DELIVER with what is to be delivered. */
__noinline int unusual(struct xdp_md *ctx, __u32 vip, struct delivery *found)
{
	struct eth *eth = (void *)(long)ctx->data;
	struct service *service = 0;
	enum kind kind = WHOLE;
	enum reason why = CONTINUED;
	int dropped = -1, echo = 0;
	struct flow flow = {0};
	__u32 place = NOWHERE, tag;
	struct packet p;

	if (!found || !look_again(ctx, &p, &tag))
		return drop(MALFORMED);
	if (p.ip->fragment & FRAGMENT_OFFSET) {
		kind = LATER_FRAGMENT;
		place = find_fragment(&p, &service);
		if (place == NOWHERE)
			dropped = FRAGMENT_UNKNOWN;
	} else if (p.ip->protocol == ICMP) {
		const struct icmp *icmp = (void *)p.ip + p.header;

		if (is_fragment(&p) || (void *)(icmp + 1) > p.end) {
			dropped = ICMP_UNSUPPORTED;
		} else if (icmp->type == ECHO_REQUEST && icmp->code == 0 && p.header == IP_HLEN) {
			echo = 1;
		} else if (icmp->type != 3 && icmp->type != 11 && icmp->type != 12) {
			dropped = ICMP_UNSUPPORTED;
		} else {
			kind = ERROR;
			why = REPORTED;
			if (quoted_flow(&p, &flow))
				service = any_service(key_of(flow.vip, flow.protocol, flow.port), vip);
			if (!service)
				dropped = ICMP_UNMATCHED;
		}
	} else if (!has_ports(&p)) {
		dropped = NO_SERVICE;
	} else {
		const struct ports *ports = (void *)p.ip + p.header;

		if (p.total < p.header + PORTS_LEN || (void *)(ports + 1) > p.end) {
			dropped = FRAGMENT_SHORT;
		} else {
			kind = FIRST_FRAGMENT;
			why = is_syn(&p) ? BEGUN : CONTINUED;
			flow.client = p.ip->source;
			flow.client_port = ports->source;
			flow.port = ports->destination;
			service = any_service(key_of(p.ip->destination, p.ip->protocol, flow.port), vip);
			if (!service)
				dropped = NO_SERVICE;
		}
	}
	if (service && service->pool != NO_POOL && from_member(eth, p.ip->source, service->pool))
		return drop(LOOPED);
	if (!(vip & ADDRESS_VIP_UP))
		return drop(VIP_DOWN);
	if (dropped >= 0)
		return drop(dropped);
	if (echo)
		return answer_ping(ctx, eth, &p);
	if (!service)
		return drop(NO_SERVICE);
	if (kind != LATER_FRAGMENT)
		place = find_server(service, flow.client, flow.client_port, flow.port, why);
	*found = to_deliver(service, place, kind);
	return DELIVER;
}

#endif
