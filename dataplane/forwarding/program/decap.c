/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The server's end of layer-3 DSR, for kernels without the ipip and gre devices. It runs at the ingress of an interface
 * (tc, clsact). It cuts off the outer headers of IP-in-IP (RFC 2003) and GRE (RFC 2784, without checksum, key or sequence
 * number), so that the host's stack sees the client's packet.
 *
 * It runs at tc rather than at XDP, because every interface of every kernel can do that. Frames that receive offload has
 * merged, veth's frames of many segments, and frames whose checksum was never filled in pass there too.
 *
 * A frame that may be anything else than a tunnel to this host with a packet to a VIP is left to the stack unchanged. */
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "parse.h"

#define ETH_HLEN 14
#define IPIP 4
#define GRE 47
#define PACKET_HOST 0
#define AF_INET 2

#define NEXT (-1) /* TC_ACT_UNSPEC: the next program at this hook runs */

#define ECN_MASK 3 /* RFC 3168: the last two bits of TOS */
#define ECN_NONE 0
#define ECN_CE 3

struct gre {
	__be16 flags;
	__be16 kind;
};

/* VIP (4 bytes, as in a frame) → packets that came for it in a tunnel. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __be32);
	__type(value, __u64);
} vips SEC(".maps");

/* RFC 1071, over a header without options. */
static __always_inline int header_is_right(const struct ip *ip)
{
	const __u32 *words = (const void *)ip;
	__u64 sum = (__u64)words[0] + words[1] + words[2] + words[3] + words[4];

	sum = (sum & 0xFFFFFFFF) + (sum >> 32);
	sum = (sum & 0xFFFF) + (sum >> 16);
	sum = (sum & 0xFFFF) + (sum >> 16);
	sum = (sum & 0xFFFF) + (sum >> 16);
	return sum == 0xFFFF;
}

/* Whether the outer destination is this host: its routing table says so, or it forwards nothing. If this host is a router,
 * another server's tunnel may pass through it. */
static __always_inline int is_ours(struct __sk_buff *skb, const struct ip *outer)
{
	struct bpf_fib_lookup route = { .family = AF_INET, .ifindex = skb->ifindex };
	long found;

	route.ipv4_src = outer->source;
	route.ipv4_dst = outer->destination;
	found = bpf_fib_lookup(skb, &route, sizeof(route), 0);
	return found == BPF_FIB_LKUP_RET_NOT_FWDED || found == BPF_FIB_LKUP_RET_FWD_DISABLED;
}

/* Copies the congestion mark that a router set on the outer header to the client's packet (RFC 6040). */
static __always_inline void carry_congestion(struct __sk_buff *skb, __u8 outer, __u8 inner)
{
	__u8 marked = inner | ECN_CE;

	if ((outer & ECN_MASK) != ECN_CE || (inner & ECN_MASK) == ECN_NONE || inner == marked)
		return;
	bpf_l3_csum_replace(skb, ETH_HLEN + __builtin_offsetof(struct ip, checksum), bpf_htons(inner), bpf_htons(marked),
			    2);
	bpf_skb_store_bytes(skb, ETH_HLEN + __builtin_offsetof(struct ip, tos), &marked, sizeof(marked), 0);
}

SEC("tc")
int avi_decap(struct __sk_buff *skb)
{
	struct ip outer, inner;
	__u32 overhead = IP_HLEN;
	__u64 *packets;

	if (skb->protocol != bpf_htons(ETH_P_IP) || skb->pkt_type != PACKET_HOST)
		return NEXT;
	if (bpf_skb_load_bytes(skb, ETH_HLEN, &outer, sizeof(outer)))
		return NEXT;
	if (outer.version_ihl != 0x45 || outer.fragment & FRAGMENT_MASK || !header_is_right(&outer))
		return NEXT;
	if (outer.protocol == GRE) {
		struct gre gre;

		if (bpf_skb_load_bytes(skb, ETH_HLEN + IP_HLEN, &gre, sizeof(gre)))
			return NEXT;
		if (gre.flags || gre.kind != bpf_htons(ETH_P_IP))
			return NEXT;
		overhead += sizeof(gre);
	} else if (outer.protocol != IPIP) {
		return NEXT;
	}
	if (bpf_skb_load_bytes(skb, ETH_HLEN + overhead, &inner, sizeof(inner)) || inner.version_ihl >> 4 != 4)
		return NEXT;
	if (bpf_ntohs(inner.total) + overhead > bpf_ntohs(outer.total))
		return NEXT;
	packets = bpf_map_lookup_elem(&vips, &inner.destination);
	if (!packets || !is_ours(skb, &outer))
		return NEXT;
	/* In a frame merged of many segments, these keep their size: only the headers in front of them shrink. */
	if (bpf_skb_adjust_room(skb, -(__s32)overhead, BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_FIXED_GSO))
		return NEXT;
	carry_congestion(skb, outer.tos, inner.tos);
	__sync_fetch_and_add(packets, 1);
	return NEXT;
}

char _license[] SEC("license") = "GPL";
