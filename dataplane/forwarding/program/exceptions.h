/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Fragments (step 5) and ICMP (step 6). */
#ifndef AVI_EXCEPTIONS_H
#define AVI_EXCEPTIONS_H

#include "deliver.h"

#define DELIVER (-1)

/* Remembers where a first fragment went. This is a function of its own, so that its stack is free again afterwards. */
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

/* Steps 9 to 11 for a fragment, an ICMP message, a segment of a sampled flow. */
__noinline int deliver_rare(struct xdp_md *ctx, const struct delivery *asked)
{
	struct delivery what;
	struct packet p;
	__u32 tag;

	if (!asked || !look_again(ctx, &p, &tag))
		return drop(MALFORMED);
	what = *asked;
	if (what.kind == FIRST_FRAGMENT && what.place != NOWHERE)
		remember_first(ctx, &what);
	return deliver(ctx, &p, tag, &what, 1);
}

static __always_inline struct service *any_service(service_key key, __u32 vip)
{
	struct service *found = find_service(key);

	return found || !(vip & ADDRESS_VIP_RANGES) ? found : find_range(key);
}

/* The flow of the packet from the VIP that an ICMP error quotes. Eight bytes of its layer 4 are enough. */
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
__noinline int fragment_or_icmp(struct xdp_md *ctx, __u32 vip, struct delivery *found)
{
	struct eth *eth = (void *)(long)ctx->data;
	struct service *service = 0;
	enum kind kind = WHOLE;
	enum flow_role role = CONTINUES;
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
		} else if (icmp->type == ECHO_REQUEST && icmp->code == 0) {
			if (p.header == IP_HLEN || echo_options(ctx, 0))
				echo = 1;
			else
				dropped = ICMP_UNSUPPORTED;
		} else if (icmp->type != 3 && icmp->type != 11 && icmp->type != 12) {
			dropped = ICMP_UNSUPPORTED;
		} else {
			kind = ERROR;
			role = REPORTS;
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
			role = is_syn(&p) ? BEGINS : CONTINUES;
			flow.client = p.ip->source;
			flow.client_port = ports->source;
			flow.port = ports->destination;
			service = any_service(key_of(p.ip->destination, p.ip->protocol, flow.port), vip);
			if (!service)
				dropped = NO_SERVICE;
		}
	}
	if (service && service->pool != NO_POOL && sent_on_by_server(eth, p.ip->source, service->pool))
		return drop(LOOPED);
	if (!(vip & ADDRESS_VIP_UP))
		return drop(VIP_DOWN);
	if (dropped >= 0)
		return drop(dropped);
	if (echo)
		return answer_ping(ctx);
	if (!service)
		return drop(NO_SERVICE);
	if (kind != LATER_FRAGMENT)
		place = find_server(service, flow.client, flow.client_port, flow.port, role);
	*found = to_deliver(service, place, kind);
	return DELIVER;
}

#endif
