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

/* Step 2: zero, loopback, multicast, limited broadcast, or a VIP (RFC 1122 section 3.2.1.3). flags: of the source. */
static __always_inline int bad_source(__be32 source, __u32 flags)
{
	__u32 first = source & 0xFF;

	return first == 127 || (first & 0xF0) == 0xE0 || source == 0 || source == 0xFFFFFFFF || flags & ADDRESS_VIP;
}

/* What the index does not hold: packets of no service, and services of the long way. Returns the verdict, or sets the
 * service. */
static __always_inline int without_index(const struct packet *p, enum inspection seen, struct service **service)
{
	__u32 vip = address_flags(p->ip->destination), source;

	if (!(vip & ADDRESS_VIP))
		return XDP_PASS;
	if (seen == BROKEN)
		return drop(MALFORMED);
	if (seen == WITH_PORTS) {
		*service = find_service(p, vip);
		if (*service)
			return XDP_PASS;
	}
	source = source_flags(p);
	if (bad_source(p->ip->source, source))
		return drop(BAD_SOURCE);
	if (source & ADDRESS_OWN)
		return drop(LOOPED);
	if (!(vip & ADDRESS_VIP_UP))
		return drop(VIP_DOWN);
	if (is_fragment(p))
		return drop(FRAGMENT_UNKNOWN);
	return drop(p->ip->protocol == ICMP ? ICMP_UNSUPPORTED : NO_SERVICE);
}

/* Steps 2 to 11 for an IP packet to our MAC address. */
static __always_inline int packet(struct xdp_md *ctx, struct packet *p, const struct interface *in)
{
	enum inspection seen = inspect(p);
	struct service *service = 0;
	struct interface *out;
	struct target *target;
	__u32 source;

	/* The service tells the state of its VIP: only what has none needs the VIP looked up. */
	if (likely(seen == WITH_PORTS))
		service = find_indexed(p);
	if (unlikely(!service)) {
		int action = without_index(p, seen, &service);

		if (!service)
			return action;
	}
	if (unlikely(!(service->flags & SERVICE_VIP)))
		return XDP_PASS;
	source = source_flags(p);
	if (unlikely(bad_source(p->ip->source, source)))
		return drop(BAD_SOURCE);
	if (unlikely(source & ADDRESS_OWN || from_member(p, service->pool)))
		return drop(LOOPED);
	if (unlikely(!(service->flags & SERVICE_VIP_UP)))
		return drop(VIP_DOWN);
	target = find_target(p, service);
	if (unlikely(!target))
		return drop(NO_SERVER_UP);
	if (unlikely(!(target->egress & TARGET_RESOLVED)))
		return drop(NO_NEXT_HOP);
	out = &state.interfaces[target->egress & TARGET_PLACE];
	if (unlikely(p->total > out->mtu))
		return drop(TOO_BIG_L2);
	count_packet(&service->counter, p->total);
	count_packet(&target->counter, p->total);
	return forward_l2(ctx, p, in, target, out);
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

	if (next > end)
		return XDP_PASS;
	kind = eth->kind;
	if (unlikely(kind == bpf_htons(ETH_P_8021Q))) {
		struct vlan *vlan = next;

		if ((void *)(vlan + 1) > end)
			return XDP_PASS;
		kind = vlan->kind;
		next = vlan + 1;
	}
	if (likely(kind == bpf_htons(ETH_P_IP))) {
		struct packet p = {.eth = eth, .ip = next, .end = end};

		in = find_interface(ctx->ingress_ifindex);
		if (!in || !same_mac(eth, in->mac) || next + IP_HLEN > end)
			return XDP_PASS;
		return packet(ctx, &p, in);
	}
	if (kind == bpf_htons(ETH_P_ARP)) {
		in = find_interface(ctx->ingress_ifindex);
		return in ? answer_arp(eth, next, end, in) : XDP_PASS;
	}
	return XDP_PASS;
}

char _license[] SEC("license") = "GPL";
