/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is rare, out of the way of what is not: fragments (step 5), ICMP (step 6), packets too big to leave (step 10). */
#ifndef AVI_UNUSUAL_H
#define AVI_UNUSUAL_H

#include "answer.h"
#include "tracking.h"

#define IPV4_LEAST_MTU 68
#define MAX_HEADER 60
#define PORTS_LEN 4

enum kind {
	WHOLE,
	FIRST_FRAGMENT,
	LATER_FRAGMENT,
	ERROR
};

/* The packet of a frame that is known to be whole, looked at anew: no pointer into it survives a call. */
static __always_inline int look_again(struct xdp_md *ctx, struct packet *p, __u32 *tag)
{
	struct eth *eth = (void *)(long)ctx->data;
	void *ip = eth + 1;

	p->end = (void *)(long)ctx->data_end;
	*tag = 0;
	if (ip > p->end)
		return 0;
	if (eth->kind == bpf_htons(ETH_P_8021Q)) {
		ip += VLAN_HLEN;
		*tag = VLAN_HLEN;
	}
	if (ip + IP_HLEN > p->end)
		return 0;
	p->ip = ip;
	p->left = p->end - ip;
	p->header = (p->ip->version_ihl & 0x0F) * 4;
	p->total = bpf_ntohs(p->ip->total);
	return 1;
}

/* Bytes of a header's options that go into every fragment, as rewrite.fragmented() finds them. */
static __always_inline __u32 copied_options(const struct packet *p)
{
	__u32 at = IP_HLEN, kept = 0;

	for (int i = 0; i < MAX_HEADER - IP_HLEN; i++) {
		const __u8 *option = (void *)p->ip + at;
		__u32 length;

		if (at >= p->header || at >= MAX_HEADER || (void *)(option + 2) > p->end)
			break;
		if (option[0] == 0)
			break;
		if (option[0] == 1) {
			at++;
			continue;
		}
		if (at + 1 >= p->header)
			break;
		length = option[1];
		if (length < 2 || at + length > p->header)
			break;
		if (option[0] & 0x80)
			kept += length;
		at += length;
	}
	return (kept + 3) & ~3;
}

/* How many fragments of at most `mtu` bytes a packet makes. */
static __always_inline __u32 pieces_of(const struct packet *p, __u32 mtu)
{
	__u32 first = (mtu - p->header) & ~7, room = mtu - IP_HLEN - copied_options(p);
	__u32 left = p->total - p->header - first;

	if (left <= room)
		return 2;
	return 2 + (left - room + (room & ~7) - 1) / (room & ~7);
}

/* Step 10: the client is told, or user space cuts the packet up. place: the server's. */
__noinline int too_big(struct xdp_md *ctx, service_key service, __u32 port_end, __u32 place, __u32 kind)
{
	struct slow_frame what = {.interface = ctx->ingress_ifindex, .service = service, .port_end = port_end};
	struct target *target = target_at(place);
	struct packet p;
	__u32 tag;

	if (!target || !look_again(ctx, &p, &tag))
		return drop(ENCAP_FAILED);
	if (target->mode == MODE_L2)
		return drop(TOO_BIG_L2);
	if (p.ip->fragment & FRAGMENT_DF) {
		if (kind == LATER_FRAGMENT || kind == ERROR)
			return drop(TOO_BIG_UNREPORTED);
		if (!may_reply())
			return drop(TOO_BIG_RATE_LIMITED);
		return tell_mtu(ctx, &p, tag, target->limit);
	}
	if (target->limit < IPV4_LEAST_MTU)
		return drop(ENCAP_FAILED);
	what.size = p.left + sizeof(struct eth) + tag;
	what.address = target->life.address;
	what.generation = target->life.generation;
	what.id = identification(target, pieces_of(&p, target->limit));
	if (bpf_perf_event_output(ctx, &slow, BPF_F_CURRENT_CPU | (__u64)what.size << 32, &what, sizeof(what)))
		return drop(ENCAP_FAILED);
	return XDP_DROP;
}

/* Steps 9 to 11. */
static __always_inline int deliver(struct xdp_md *ctx, const struct packet *p, const struct service *service,
				   __u32 place, __u32 tag, enum kind kind)
{
	struct target *target = target_at(place);
	const struct leaving what = {&service->counter, p->total, tag, p->left - p->total};

	if (unlikely(!target))
		return drop(NO_SERVER_UP);
	if (kind == FIRST_FRAGMENT)
		remember_fragments(p, service, target);
	if (unlikely(!(target->flags & TARGET_RESOLVED)))
		return drop(NO_NEXT_HOP);
	if (unlikely(p->total > target->limit))
		return too_big(ctx, service->key, service->port_end, place, kind);
	if (target->mode == MODE_L2)
		return forward_l2(ctx, target, &what);
	return forward_in_tunnel(ctx, p->ip, target, &what);
}

static __always_inline int is_syn(const struct packet *p)
{
	const __u8 *flags = (void *)p->ip + p->header + 13;

	return p->ip->protocol == TCP && p->total > p->header + 13 && (void *)(flags + 1) <= p->end &&
	       (*flags & 0x12) == 0x02;
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

/* Steps 3 to 11 for a fragment or an ICMP message that is not malformed, and whose source is neither bad nor our own.
 * vip: ADDRESS_… bits of the VIP. */
__noinline int unusual(struct xdp_md *ctx, __u32 vip)
{
	struct eth *eth = (void *)(long)ctx->data;
	struct service *service = 0;
	enum kind kind = WHOLE;
	enum reason why = CONTINUED;
	int dropped = -1, echo = 0;
	struct flow flow = {0};
	__u32 place = NOWHERE, tag;
	struct packet p;

	if (!look_again(ctx, &p, &tag))
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
	return deliver(ctx, &p, service, place, tag, kind);
}

#endif
