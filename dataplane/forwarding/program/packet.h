/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A packet as the steps see it, and step 2: whether it is well-formed. */
#ifndef AVI_PACKET_H
#define AVI_PACKET_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "parse.h"

#define FIRST_PIECE 1500 /* bytes of a packet that are in one piece: one that ends there has no padding in another */
#define MAX_OPTIONS 40
#define OPTION_END 0
#define OPTION_NOP 1
#define OPTION_COPIED 0x80 /* it goes into every fragment */
#define OPTION_KIND(option) ((option) >> 8)
#define OPTION_NEXT(option) ((option)&0xFF) /* where the next one begins; after the last one, the header's end */
#define PORTS_LEN 4

/* A packet as far as it has been looked at. */
struct packet {
	struct ip *ip;
	void *end;    /* where the frame's first piece ends: no more can be read */
	__u32 header; /* bytes of the IP header */
	__u32 total;  /* bytes of the IP packet */
	struct ports ports;
};

/* Bytes of a whole frame. A large frame comes in several pieces, and ctx->data_end is the end of the first one. The call
 * takes a quarter of a frame's time, so only frames that may have several pieces make it. */
static __always_inline __u32 frame_length(struct xdp_md *ctx)
{
	return bpf_xdp_get_buff_len(ctx);
}

/* Bytes of a frame after its Ethernet header and tag. tag: bytes of the 802.1Q tag. */
static __always_inline __u32 bytes_left(struct xdp_md *ctx, __u32 tag)
{
	return frame_length(ctx) - sizeof(struct eth) - tag;
}

/* Subtracts pointers in 64 bits, which the verifier asks for. */
static __always_inline __u32 bytes_between(const void *from, const void *to)
{
	__u64 bytes = to - from;

	hide(bytes);
	return bytes;
}

/* Whether a packet ends where its frame does. */
static __always_inline int fills_frame(struct xdp_md *ctx, const struct ip *ip, const void *end, __u32 total, __u32 tag)
{
	return total == bytes_between(ip, end) && (likely(total <= FIRST_PIECE) || total == bytes_left(ctx, tag));
}

/* Bytes of the frame behind a packet. */
static __always_inline __u32 padding_behind(struct xdp_md *ctx, const struct packet *p, __u32 tag)
{
	return likely(fills_frame(ctx, p->ip, p->end, p->total, tag)) ? 0 : bytes_left(ctx, tag) - p->total;
}

/* Looks anew at the packet of a frame that is known to hold an IP header: after a change of the frame, or a call, no
 * pointer into it is valid. tag: bytes of the 802.1Q tag in front of it. */
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
	p->header = (p->ip->version_ihl & 0x0F) * 4;
	p->total = bpf_ntohs(p->ip->total);
	return 1;
}

static __always_inline __u32 folded_once(__u64 sum)
{
	sum = (sum & 0xFFFFFFFF) + (sum >> 32);
	return (sum & 0xFFFF) + (sum >> 16);
}

/* The sum over a header's options. This is a function of its own, so that the verifier goes through it once. */
__noinline int options_sum(struct xdp_md *ctx)
{
	const __u32 *word;
	struct packet p;
	__u64 sum = 0;
	__u32 tag;

	if (!look_again(ctx, &p, &tag))
		return 0;
	word = (void *)p.ip + IP_HLEN;
	for (int i = 0; i < MAX_OPTIONS / 4; i++, word++) {
		if (IP_HLEN + i * 4 >= (int)p.header || (void *)(word + 1) > p.end)
			break;
		sum += *word;
	}
	return folded_once(sum);
}

/* An option of a header (RFC 791 section 3.1), in the form that OPTION_… take apart; 0 for a broken one. Places are bytes
 * from the header's beginning. This is a function of its own, so that the verifier goes through it once. */
__noinline __u32 option_at(struct xdp_md *ctx, __u32 at)
{
	const __u8 *option;
	__u32 size, tag;
	struct packet p;

	if (!look_again(ctx, &p, &tag))
		return 0;
	at &= 63;
	option = (void *)p.ip + at;
	if (at >= p.header || (void *)(option + 1) > p.end || option[0] == OPTION_END)
		return OPTION_END << 8 | p.header;
	if (option[0] == OPTION_NOP)
		return OPTION_NOP << 8 | (at + 1);
	if (at + 2 > p.header || (void *)(option + 2) > p.end)
		return 0;
	size = option[1];
	if (size < 2 || at + size > p.header)
		return 0;
	return option[0] << 8 | (at + size);
}

/* Whether the checksum of the header with its options is right (RFC 1071). The sum is the same in either byte order. */
static __always_inline int checksum_is_right(struct xdp_md *ctx, const struct packet *p)
{
	const __u32 *words = (const void *)p->ip;
	__u32 sum = folded_once((__u64)words[0] + words[1] + words[2] + words[3] + words[4]);

	if (unlikely(p->header > IP_HLEN))
		sum += options_sum(ctx);
	sum = (sum & 0xFFFF) + (sum >> 16);
	sum = (sum & 0xFFFF) + (sum >> 16);
	return sum == 0xFFFF;
}

/* Whether layer 4 is whole, by TCP's data offset (RFC 9293) or UDP's length (RFC 768). Fills in the ports. */
static __always_inline int layer4_is_whole(struct packet *p)
{
	void *at = (void *)p->ip + p->header;
	__u32 left = p->total - p->header;

	if (p->ip->protocol == TCP) {
		__u32 length;

		if (left < TCP_HLEN || at + TCP_HLEN > p->end)
			return 0;
		length = *(__u8 *)(at + 12) >> 4 << 2;
		if (length < TCP_HLEN || length > left)
			return 0;
		p->ports = *(struct ports *)at;
	} else if (p->ip->protocol == UDP) {
		__u32 length;

		if (left < UDP_HLEN || at + UDP_HLEN > p->end)
			return 0;
		length = bpf_ntohs(*(__be16 *)(at + 4));
		if (length < UDP_HLEN || length > left)
			return 0;
		p->ports = *(struct ports *)at;
	} else if (p->ip->protocol == ICMP) {
		return left >= ICMP_HLEN;
	}
	return 1;
}

static __always_inline int is_fragment(const struct packet *p)
{
	return (p->ip->fragment & FRAGMENT_MASK) != 0;
}

static __always_inline int has_ports(const struct packet *p)
{
	return p->ip->protocol == TCP || p->ip->protocol == UDP;
}

static __always_inline int well_formed(struct xdp_md *ctx, struct packet *p, __u32 tag)
{
	if (p->ip->version_ihl >> 4 != 4 || p->header < IP_HLEN)
		return 0;
	if (p->total < p->header || (p->total > bytes_between(p->ip, p->end) && p->total > bytes_left(ctx, tag)))
		return 0;
	if (!checksum_is_right(ctx, p))
		return 0;
	if (unlikely(is_fragment(p))) /* no fragment ends beyond what a packet can hold */
		return (bpf_ntohs(p->ip->fragment & FRAGMENT_OFFSET) << 3) + p->total <= LARGEST_PACKET;
	return layer4_is_whole(p);
}

static __always_inline int is_syn(const struct packet *p)
{
	const __u8 *flags = (void *)p->ip + p->header + 13;

	return p->ip->protocol == TCP && p->total > p->header + 13 && (void *)(flags + 1) <= p->end &&
	       (*flags & 0x12) == 0x02;
}

#endif
