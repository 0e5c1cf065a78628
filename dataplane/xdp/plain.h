/* SPDX-License-Identifier: GPL-2.0-or-later */
/* All steps for the packet that most are: untagged, unpadded, no IP options, no fragment, TCP or UDP, a service of one
 * port, a stable slot, nothing against its source. Any other goes through the steps one by one; nothing has been
 * counted, remembered or changed by then. Short, so that what it needs stays in registers. */
#ifndef AVI_PLAIN_H
#define AVI_PLAIN_H

#include "tracking.h"
#include "unusual.h"

#define OTHERWISE (-1)

/* Layer 4 is whole. There are UDP_HLEN bytes of it at least; left: how many. */
static __always_inline int is_whole(const struct ip *ip, const void *end, __u32 left)
{
	const void *at = ip + 1;
	__u32 length;

	if (ip->protocol == TCP) {
		if (at + TCP_HLEN > end)
			return 0;
		length = *(const __u8 *)(at + 12) >> 4 << 2;
		return length >= TCP_HLEN && length <= left;
	}
	length = bpf_ntohs(*(const __be16 *)(at + 4));
	return ip->protocol == UDP && length >= UDP_HLEN && length <= left;
}

/* An XDP action, or OTHERWISE. */
static __always_inline int plain(struct xdp_md *ctx)
{
	const __u32 usual = SERVICE_VIP | SERVICE_VIP_UP;
	void *end = (void *)(long)ctx->data_end;
	struct eth *eth = (void *)(long)ctx->data;
	const struct interface *in = &state.interfaces[ctx->ingress_ifindex % MAX_INTERFACES];
	struct packet p = {.ip = (void *)(eth + 1), .end = end, .header = IP_HLEN};
	const struct ports *ports = (void *)(p.ip + 1);
	const __u32 *words = (void *)p.ip;
	const struct service *service;
	const struct interface *out;
	const union target *target;
	struct leaving leaving = {0};
	struct detail *detail;
	__u32 place;

	if ((void *)ports + UDP_HLEN > end || eth->kind != bpf_htons(ETH_P_IP))
		return OTHERWISE;
	if (in->index != ctx->ingress_ifindex || !same_mac(eth, in->mac))
		return OTHERWISE;
	p.total = bpf_ntohs(p.ip->total);
	p.left = p.total;
	if (p.ip->version_ihl != 0x45 || p.total != bytes_between(p.ip, end) || is_fragment(&p))
		return OTHERWISE;
	if (folded(folded_once((__u64)words[0] + words[1] + words[2] + words[3] + words[4])))
		return OTHERWISE;
	if (!is_whole(p.ip, end, p.total - IP_HLEN))
		return OTHERWISE;
	service = indexed_service(key_of(p.ip->destination, p.ip->protocol, ports->destination));
	if (!service || (service->flags & usual) != usual)
		return OTHERWISE;
	if (bad_source(p.ip->source) || may_hold(&state.addresses, p.ip->source))
		return OTHERWISE;
	if (may_hold(&state.members, *(const __u32 *)&eth->src[1]))
		return OTHERWISE;
	leaving.service = &service->counter;
	leaving.total = p.total;
	place = settled_server(service, p.ip->source, ports->source);
	if (place == NOWHERE)
		return OTHERWISE;
	target = target_at(place);
	leaving.way = way_of(target);
	out = &state.interfaces[EGRESS(leaving.way) & TARGET_PLACE];
	if (!(EGRESS(leaving.way) & TARGET_RESOLVED))
		return OTHERWISE;
	if (!(EGRESS(leaving.way) & TARGET_TUNNEL))
		return p.total <= out->mtu ? forward_l2(ctx, target, out, &leaving) : OTHERWISE;
	detail = bpf_map_lookup_elem(&details, &place);
	if (!detail || p.total > room_of(leaving.way, detail, out))
		return OTHERWISE;
	return forward_in_tunnel(ctx, p.ip, target, detail, out, &leaving);
}

#endif
