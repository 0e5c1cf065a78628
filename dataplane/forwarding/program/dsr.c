/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Direct server return. This program decides on every frame as dataplane/forwarding/decision.py does, where the steps are
 * numbered.
 *
 * The order of the steps is part of the definition. Tests compare both programs byte by byte. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "arp.h"
#include "counters.h"
#include "deliver.h"
#include "exceptions.h"
#include "fastpath.h"
#include "handshakes.h"
#include "lookup.h"
#include "maps.h"
#include "packet.h"
#include "rewrite.h"
#include "tracking.h"

/* Steps 2 to 11 for an IP packet to our MAC address. tag: bytes of the 802.1Q tag in front of it. */
static __always_inline int packet(struct xdp_md *ctx, struct eth *eth, struct ip *ip, void *end, __u32 tag)
{
	struct packet p = {.ip = ip, .end = end};
	struct service *service = 0;
	struct delivery what;
	__u32 vip, place, source = 0;
	service_key key = 0;
	int whole, usual;

	if ((void *)(ip + 1) > end)
		return XDP_PASS;
	p.header = (ip->version_ihl & 0x0F) * 4;
	p.total = bpf_ntohs(ip->total);
	whole = well_formed(ctx, &p, tag);

	/* A service holds the state of its VIP. The VIP itself is looked up only for packets without a service. */
	usual = whole && !is_fragment(&p) && has_ports(&p);
	if (likely(usual))
		service = find_service(key = key_of(ip->destination, ip->protocol, p.ports.destination));
	if (likely(service)) {
		vip = (service->flags & SERVICE_VIP ? ADDRESS_VIP : 0) |
		      (service->flags & SERVICE_VIP_UP ? ADDRESS_VIP_UP : 0);
	} else {
		vip = address_flags(ip->destination);
		if (vip & ADDRESS_VIP_RANGES && usual)
			service = find_range(key);
	}
	if (!(vip & ADDRESS_VIP))
		return XDP_PASS;

	if (unlikely(!whole))
		return drop(MALFORMED);
	if (unlikely(may_hold(&state.addresses, ip->source)))
		source = address_flags(ip->source);
	if (unlikely(bad_source(ip->source) || source & ADDRESS_VIP))
		return drop(BAD_SOURCE);
	if (unlikely(source & ADDRESS_OWN))
		return drop(LOOPED);
	if (unlikely(is_fragment(&p) || ip->protocol == ICMP)) {
		struct delivery found = {0};
		int action = fragment_or_icmp(ctx, vip, &found);

		return action == DELIVER ? deliver_rare(ctx, &found) : action;
	}
	if (service && service->pool != NO_POOL && sent_on_by_server(eth, ip->source, service->pool))
		return drop(LOOPED);
	if (unlikely(!(vip & ADDRESS_VIP_UP)))
		return drop(VIP_DOWN);
	if (unlikely(!service))
		return drop(NO_SERVICE);
	place = find_server(service, ip->source, p.ports.source, p.ports.destination, is_syn(&p) ? BEGINS : CONTINUES);
	if (unlikely(sampled(&p))) {
		what = to_deliver(service, place, SAMPLED);
		return deliver_rare(ctx, &what);
	}
	what = to_deliver(service, place, WHOLE);
	return deliver(ctx, &p, tag, &what, 0);
}

/* Step 1: whose frame it is. Then the other steps, one by one. */
__noinline int stepwise(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;
	struct eth *eth = (void *)(long)ctx->data;
	void *next = eth + 1;
	struct interface *in;
	__be16 kind;
	__u32 tag = 0;

	if (next > end)
		return XDP_PASS;
	kind = eth->kind;
	if (unlikely(kind == bpf_htons(ETH_P_8021Q))) {
		struct vlan *vlan = next;

		if ((void *)(vlan + 1) > end)
			return XDP_PASS;
		if (vlan->tci & VLAN_ID) /* a frame of another interface */
			return XDP_PASS;
		kind = vlan->kind;
		next = vlan + 1;
		tag = VLAN_HLEN;
	}
	if (likely(kind == bpf_htons(ETH_P_IP))) {
		in = find_interface(ctx->ingress_ifindex);
		if (!in || !same_mac(eth, in->mac))
			return XDP_PASS;
		return packet(ctx, eth, next, end, tag);
	}
	if (kind == bpf_htons(ETH_P_ARP)) {
		in = find_interface(ctx->ingress_ifindex);
		return in ? answer_arp(eth, next, end, in) : XDP_PASS;
	}
	return XDP_PASS;
}

#ifndef ENTRY
#define ENTRY SEC("xdp.frags")
#endif

ENTRY int dsr(struct xdp_md *ctx)
{
	int action = fast_path(ctx);

	return likely(action != STEPWISE) ? action : stepwise(ctx);
}

char _license[] SEC("license") = "GPL";
