/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The fast path: all steps for the usual packet. That one is untagged and unpadded, has no IP options, is no fragment, and
 * is TCP or UDP. Its service has one port, its slot is stable, its source is good, and its flow is not sampled. Any other
 * packet goes through the steps one by one: nothing was counted, remembered or changed before. The fast path is short, so
 * that its values stay in registers. */
#ifndef AVI_FASTPATH_H
#define AVI_FASTPATH_H

#include "deliver.h"
#include "tracking.h"

#define STEPWISE (-1)

/* Whether the checksum of a header without options is right: then the sum of its words is a multiple of 65,535. The sum is
 * never 0, for it has the version in it. The test is a multiplication by the inverse of 65,535 modulo 2^64: only for a
 * multiple is the product at most the quotient 2^64 / 65,535. */
static __always_inline int sums_up(const __u32 *words)
{
	__u64 sum = (__u64)words[0] + words[1] + words[2] + words[3] + words[4];

	return sum * 0xFFFEFFFEFFFEFFFFull <= ~0ull / 0xFFFF;
}

/* Whether layer 4 is whole. left: its bytes, at least UDP_HLEN. */
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

/* Step 2: whether the source may be a bad one. */
static __always_inline int suspicious(__be32 source)
{
	__u32 first = source & bpf_htonl(0xFF000000);

	return !first || first == bpf_htonl(127u << 24) || bpf_ntohl(first) >= 224u << 24;
}

/* Returns an XDP action, or STEPWISE. */
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
