/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Direct server return in XDP: the decision of dataplane/decision.py, frame by frame the same.
 *
 * The order of the steps is part of the definition; tests compare both programs byte by byte. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "arp.h"
#include "count.h"
#include "lookup.h"
#include "maps.h"
#include "parse.h"
#include "rewrite.h"

/* Step 2: zero, loopback, multicast, limited broadcast, or a VIP (RFC 1122 section 3.2.1.3). */
static __always_inline int bad_source(__be32 source, __u32 flags)
{
	__u32 first = bpf_ntohl(source) >> 24;

	return first == 127 || (first & 0xF0) == 0xE0 || source == 0 || source == 0xFFFFFFFF || flags & ADDRESS_VIP;
}

/* Steps 2 to 11 for an IP packet to our MAC address. tag: bytes of the 802.1Q tag in front of it. */
static __always_inline int packet(struct xdp_md *ctx, struct eth *eth, struct ip *ip, void *end, __u32 tag)
{
	struct packet p = {.ip = ip, .end = end};
	struct service *service = 0;
	struct target *target;
	__u32 vip, source = 0;
	int whole;

	if ((void *)(ip + 1) > end)
		return XDP_PASS;
	p.header = (ip->version_ihl & 0x0F) * 4;
	p.total = bpf_ntohs(ip->total);
	p.left = end - (void *)ip;
	whole = well_formed(&p);

	/* The service tells the state of its VIP: only what has none needs the VIP looked up. */
	if (likely(whole && !is_fragment(&p) && has_ports(&p)))
		service = find_service(&p);
	if (likely(service)) {
		vip = (service->flags & SERVICE_VIP ? ADDRESS_VIP : 0) |
		      (service->flags & SERVICE_VIP_UP ? ADDRESS_VIP_UP : 0);
	} else {
		vip = address_flags(ip->destination);
		if (vip & ADDRESS_VIP_RANGES && whole && !is_fragment(&p) && has_ports(&p))
			service = find_range(&p);
	}
	if (!(vip & ADDRESS_VIP))
		return XDP_PASS;

	if (unlikely(!whole))
		return drop(MALFORMED);
	if (unlikely(may_hold(&filters.addresses, ip->source)))
		source = address_flags(ip->source);
	if (unlikely(bad_source(ip->source, source)))
		return drop(BAD_SOURCE);
	if (unlikely(source & ADDRESS_OWN))
		return drop(LOOPED);
	if (service && service->pool != NO_POOL && from_member(eth, ip->source, service->pool))
		return drop(LOOPED);
	if (unlikely(!(vip & ADDRESS_VIP_UP)))
		return drop(VIP_DOWN);
	if (unlikely(is_fragment(&p)))
		return drop(FRAGMENT_UNKNOWN);
	if (unlikely(ip->protocol == ICMP))
		return drop(ICMP_UNSUPPORTED);
	if (unlikely(!service))
		return drop(NO_SERVICE);
	target = find_target(&p, service);
	if (unlikely(!target))
		return drop(NO_SERVER_UP);
	if (unlikely(!(target->flags & TARGET_RESOLVED)))
		return drop(NO_NEXT_HOP);
	if (unlikely(p.total > target->mtu))
		return drop(TOO_BIG_L2);
	count_packet(&service->counter, p.total);
	count_packet(&target->counter, p.total);
	return forward_l2(ctx, target, tag, p.left - p.total);
}

/* Step 1: whose frame it is. */
SEC("xdp")
int dsr(struct xdp_md *ctx)
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

char _license[] SEC("license") = "GPL";
