/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Step 9: the frame as it leaves. */
#ifndef AVI_REWRITE_H
#define AVI_REWRITE_H

#include "checksum.h"
#include "counters.h"
#include "lookup.h"
#include "packet.h"

#define TTL 64
#define GRE_HLEN 4
#define PROTOCOL_IPIP 4
#define PROTOCOL_GRE 47
#define TAKEN_AT_ONCE 256
#define OLD_IDENTIFICATION 16384

/* What is counted of a packet, and how much longer its frame is. */
struct leaving {
	const __u32 *service; /* place of the service's counter */
	__u64 next_hop;	      /* MAC address and egress of the server */
	__u32 total;	      /* bytes of the client's IP packet */
	__u32 tag;	      /* bytes of the 802.1Q tag in front of the packet */
	__u32 padding;	      /* bytes of padding after it */
};

static __always_inline int leave(struct xdp_md *ctx, const union target *target, const struct interface *out,
				 const struct leaving *what)
{
	count_packet(what->service, what->total);
	count_packet(&target->counter, what->total);
	if (out->index == ctx->ingress_ifindex)
		return XDP_TX;
	return bpf_redirect_map(&egress, EGRESS(what->next_hop) & TARGET_PLACE, XDP_DROP);
}

static __always_inline void address_frame(void *frame, __u64 next_hop, const struct interface *out)
{
	*(__u32 *)frame = next_hop;
	*(__u16 *)(frame + 4) = next_hop >> 32;
	put_mac(frame + 6, out->mac);
	((struct eth *)frame)->kind = bpf_htons(ETH_P_IP);
}

/* Cuts off the tag and the padding, then puts the new MAC addresses in. The packet itself does not change. */
static __always_inline int forward_l2(struct xdp_md *ctx, const union target *target, const struct interface *out,
				      const struct leaving *what)
{
	void *frame;

	if (unlikely(what->tag) && bpf_xdp_adjust_head(ctx, VLAN_HLEN))
		return drop_of_service(*what->service, ENCAP_FAILED);
	if (unlikely(what->padding) && bpf_xdp_adjust_tail(ctx, -(int)what->padding))
		return drop_of_service(*what->service, ENCAP_FAILED);
	frame = (void *)(long)ctx->data;
	if (frame + sizeof(struct eth) > (void *)(long)ctx->data_end)
		return drop_of_service(*what->service, ENCAP_FAILED);
	address_frame(frame, what->next_hop, out);
	return leave(ctx, target, out, what);
}

/* The place of a server's identifications. Servers whose addresses follow each other have places side by side. */
static __always_inline __u32 identified(const union target *target)
{
	__u32 address = bpf_ntohl(target->address);

	return (address ^ address >> 16) & (MAX_IDENTIFIED - 1);
}

/* The next identification for an outer header to a server. A processor takes several at a time: a counter that all of them
 * write costs each a fifth of a frame's time. It takes others when these are old, before the numbers come round again. */
static __always_inline __u16 identification(const union target *target)
{
	__u32 place = identified(target), element = place / IDENTIFIED_TOGETHER, number;
	struct identified *taken = bpf_map_lookup_elem(&identifications, &element);
	struct identified *used = bpf_map_lookup_elem(&used_identifications, &element);

	if (!taken || !used)
		return 0;
	place %= IDENTIFIED_TOGETHER;
	number = used->last[place];
	if (unlikely(!(number % TAKEN_AT_ONCE) || taken->last[place] - number > OLD_IDENTIFICATION))
		number = __sync_fetch_and_add(&taken->last[place], TAKEN_AT_ONCE);
	used->last[place] = ++number;
	return number;
}

/* The first of `pieces` identifications in a row that nobody else uses. */
static __always_inline __u16 identifications_for(const union target *target, __u32 pieces)
{
	__u32 place = identified(target), element = place / IDENTIFIED_TOGETHER;
	struct identified *taken = bpf_map_lookup_elem(&identifications, &element);

	pieces = (pieces + TAKEN_AT_ONCE - 1) & -TAKEN_AT_ONCE;
	return taken ? __sync_fetch_and_add(&taken->last[place % IDENTIFIED_TOGETHER], pieces) + 1 : 0;
}

/* Puts a packet into IP-in-IP (RFC 2003) or GRE (RFC 2784). TOS and DF are those of the client's packet. */
static __always_inline int forward_in_tunnel(struct xdp_md *ctx, const struct ip *inner, const union target *target,
					     const struct detail *detail, const struct interface *out,
					     const struct leaving *what)
{
	__u32 gre = EGRESS(what->next_hop) & TARGET_GRE ? GRE_HLEN : 0, sum = detail->sum;
	__be16 df = inner->fragment & FRAGMENT_DF;
	__u8 tos = inner->tos;
	struct ip *ip;
	void *frame;

	if (unlikely(what->padding) && bpf_xdp_adjust_tail(ctx, -(int)what->padding))
		return drop_of_service(*what->service, ENCAP_FAILED);
	if (bpf_xdp_adjust_head(ctx, (int)what->tag - IP_HLEN - (int)gre))
		return drop_of_service(*what->service, ENCAP_FAILED);
	frame = (void *)(long)ctx->data;
	if (frame + sizeof(struct eth) + IP_HLEN + GRE_HLEN > (void *)(long)ctx->data_end)
		return drop_of_service(*what->service, ENCAP_FAILED);
	address_frame(frame, what->next_hop, out);
	ip = frame + sizeof(struct eth);
	ip->version_ihl = 0x45;
	ip->tos = tos;
	ip->total = bpf_htons(IP_HLEN + gre + what->total);
	ip->fragment = df;
	ip->ttl = TTL;
	ip->protocol = gre ? PROTOCOL_GRE : PROTOCOL_IPIP;
	ip->source = detail->source;
	ip->destination = target->address;
	if (gre)
		*(__be32 *)(ip + 1) = bpf_htonl(ETH_P_IP);
	sum += ((__u32)tos << 8) + ip->total + df;
	ip->id = df ? 0 : bpf_htons(identification(target)); /* last: all that is held across its lookups takes the stack */
	sum += ip->id;
	ip->checksum = folded(sum);
	return leave(ctx, target, out, what);
}

#endif
