/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The fast path, all steps for what most packets are: untagged, unpadded, no IP options, no fragment, TCP or UDP, a
 * service of one port, a stable slot, nothing against its source, a flow that is not sampled. Any other goes through the
 * steps one by one; nothing has been counted, remembered or changed by then. Short, so that what it needs stays in
 * registers. */
#ifndef AVI_FASTPATH_H
#define AVI_FASTPATH_H

#include "deliver.h"
#include "tracking.h"

#define STEPWISE (-1)

/* The checksum of a header without options is right: its words make a multiple of 65,535 (never 0: the version is in
 * them), and a multiple of an odd number, times the inverse of that number modulo 2^64, is at most what fits so often. */
static __always_inline int sums_up(const __u32 *words)
{
	__u64 sum = (__u64)words[0] + words[1] + words[2] + words[3] + words[4];

	return sum * 0xFFFEFFFEFFFEFFFFull <= ~0ull / 0xFFFF;
}

/* Layer 4 is whole. There are UDP_HLEN bytes of it at least; left: how many. */
static __always_inline int is_whole(__u8 protocol, const void *at, const void *end, __u32 left)
{
	__u32 length;

	if (protocol == TCP) {
		if (at + TCP_HLEN > end)
			return 0;
		length = *(const __u8 *)(at + 12) >> 4 << 2;
		return length >= TCP_HLEN && length <= left;
	}
	length = bpf_ntohs(*(const __be16 *)(at + 4));
	return protocol == UDP && length >= UDP_HLEN && length <= left;
}

/* Step 2: the source may be a bad one. */
static __always_inline int suspicious(__be32 source)
{
	__u32 first = source & bpf_htonl(0xFF000000);

	return !first || first == bpf_htonl(127u << 24) || bpf_ntohl(first) >= 224u << 24;
}

/* An XDP action, or STEPWISE. */
static __always_inline int fast_path(struct xdp_md *ctx)
{
	const __u32 usual = SERVICE_VIP | SERVICE_VIP_UP;
	void *frame = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	const struct interface *in = &state.interfaces[ctx->ingress_ifindex % MAX_INTERFACES], *out;
	const __u32 *words = frame + sizeof(struct eth);
	const struct ip *ip = (void *)words;
	const struct service *service;
	const union target *target;
	struct leaving leaving = {0};
	struct detail *detail;
	__u32 total, slot, held, place, ports;
	__u64 word, next_hop;

	if ((void *)(ip + 1) + UDP_HLEN > end || ((struct eth *)frame)->kind != bpf_htons(ETH_P_IP))
		return STEPWISE;
	if (in->index != ctx->ingress_ifindex || (*(__u64 *)frame ^ *(const __u64 *)in->mac) << 16)
		return STEPWISE;
	if (ip->version_ihl != 0x45 || ip->fragment & FRAGMENT_MASK || !sums_up(words))
		return STEPWISE;
	total = bpf_ntohs(ip->total);
	if (!fills_frame(ctx, ip, end, total, 0) || !is_whole(ip->protocol, ip + 1, end, total - IP_HLEN))
		return STEPWISE;
	ports = *(const __u32 *)(ip + 1);
	if (ip->protocol == TCP && is_sampled(ip->source, ports))
		return STEPWISE;
	service = indexed_service(key_of(ip->destination, ip->protocol, ports >> 16));
	if (!service || (service->flags & usual) != usual)
		return STEPWISE;
	if (suspicious(ip->source) || may_hold(&state.addresses, ip->source))
		return STEPWISE;
	if (may_hold(&state.source_macs, *(const __u32 *)(frame + 8)))
		return STEPWISE;

	slot = slot_of(service, ip->source, ports);
	hide(slot);
	word = pool_word(service);
	held = read_slot(POOL_TABLE(word), slot);
	if (held >= NO_TARGET)
		return STEPWISE;
	place = POOL_FIRST(word) + held;
	target = target_at(place);
	next_hop = next_hop_of(target);
	out = &state.interfaces[EGRESS(next_hop) & TARGET_PLACE];
	if (!(EGRESS(next_hop) & TARGET_RESOLVED))
		return STEPWISE;
	leaving.service = &service->counter;
	leaving.total = total;
	leaving.next_hop = next_hop;
	if (!(EGRESS(next_hop) & TARGET_TUNNEL)) {
		__u64 mac = *(const __u64 *)out->mac;

		if (total > out->mtu)
			return STEPWISE;
		*(__u64 *)frame = next_hop << 16 >> 16 | mac << 48;
		*(__u32 *)(frame + 8) = mac >> 16;
		return leave(ctx, target, out, &leaving);
	}
	detail = bpf_map_lookup_elem(&details, &place);
	if (!detail || total > room_of(next_hop, detail, out))
		return STEPWISE;
	return forward_in_tunnel(ctx, ip, target, detail, out, &leaving);
}

#endif
