/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Headers, and step 2: whether a packet is well-formed.
 *
 * The structures are our own because linux/if_ether.h packs its: clang then reads byte by byte. */
#ifndef AVI_PARSE_H
#define AVI_PARSE_H

#include <linux/types.h>
#include <bpf/bpf_endian.h>

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define hide(x) __asm__ volatile("" : "+r"(x))

#define ETH_P_IP 0x0800
#define ETH_P_ARP 0x0806
#define ETH_P_8021Q 0x8100

#define ICMP 1
#define TCP 6
#define UDP 17

#define IP_HLEN 20
#define TCP_HLEN 20
#define UDP_HLEN 8
#define ICMP_HLEN 8
#define VLAN_HLEN 4

struct eth {
	__u16 dst[3];
	__u16 src[3];
	__be16 kind;
};

struct vlan {
	__be16 tci;
	__be16 kind;
};

struct ip {
	__u8 version_ihl;
	__u8 tos;
	__be16 total;
	__be16 id;
	__be16 fragment;
	__u8 ttl;
	__u8 protocol;
	__be16 checksum;
	__be32 source;
	__be32 destination;
};

#define FRAGMENT_MASK bpf_htons(0x3FFF) /* more fragments, and the offset */

/* A packet as far as it has been looked at. */
struct packet {
	const struct eth *eth;
	struct ip *ip;
	void *end;
	__u32 total; /* bytes of the IP packet */
	__u32 left;  /* bytes of the frame from the IP header on */
	__u32 ports; /* the source port, and behind it in memory the destination port */
};

/* The first word of a MAC address, and the rest; one comparison each. */
static __always_inline int same_mac(const void *one, const void *other)
{
	return *(const __u32 *)one == *(const __u32 *)other &&
	       *(const __u16 *)(one + 4) == *(const __u16 *)(other + 4);
}

static __always_inline void put_mac(void *to, const void *mac)
{
	*(__u32 *)to = *(const __u32 *)mac;
	*(__u16 *)(to + 4) = *(const __u16 *)(mac + 4);
}

/* RFC 1071: whether a header's words, summed up, come to 0xFFFF. The sum is the same in either byte order. */
static __always_inline int sum_is_right(__u64 sum)
{
	sum = (sum & 0xFFFFFFFF) + (sum >> 32);
	sum = (sum & 0xFFFF) + (sum >> 16);
	return sum == 0xFFFF || sum == 2 * 0xFFFF; /* the last carry is not worth folding */
}

static __always_inline int checksum_is_right(const struct packet *p, __u32 header)
{
	const __u32 *word = (const void *)p->ip;
	__u64 sum = (__u64)word[0] + word[1] + word[2] + word[3] + word[4];

	if (unlikely(header > IP_HLEN)) {
		const __u32 *option = word + 5;

		for (__u32 i = 0; i < 10; i++, option++) {
			if (IP_HLEN + i * 4 >= header)
				break;
			if ((void *)(option + 1) > p->end)
				return 0;
			sum += *option;
		}
	}
	return sum_is_right(sum);
}

static __always_inline int is_fragment(const struct packet *p)
{
	return (p->ip->fragment & FRAGMENT_MASK) != 0;
}

enum inspection {
	BROKEN,
	WHOLE,
	WITH_PORTS, /* whole, no fragment, and TCP or UDP */
};

/* Step 2: version, lengths, checksum; layer 4 whole: RFC 9293 data offset, RFC 768 length. Fragments' layer 4 is step
 * 5's matter. */
static __always_inline enum inspection inspect(struct packet *p)
{
	__u32 header = (p->ip->version_ihl & 0x0F) * 4, left, length;
	void *at = (void *)p->ip + header;

	if (p->ip->version_ihl >> 4 != 4 || header < IP_HLEN)
		return BROKEN;
	p->total = bpf_ntohs(p->ip->total);
	p->left = p->end - (void *)p->ip;
	if (p->total < header || p->total > p->left || !checksum_is_right(p, header))
		return BROKEN;
	if (unlikely(is_fragment(p)))
		return WHOLE;
	left = p->total - header;
	switch (p->ip->protocol) {
	case TCP:
		if (at + TCP_HLEN > p->end)
			return BROKEN;
		length = *(__u8 *)(at + 12) >> 4 << 2;
		if (length < TCP_HLEN || length > left)
			return BROKEN;
		break;
	case UDP:
		if (at + UDP_HLEN > p->end)
			return BROKEN;
		length = bpf_ntohs(*(__be16 *)(at + 4));
		if (length < UDP_HLEN || length > left)
			return BROKEN;
		break;
	case ICMP:
		return left < ICMP_HLEN ? BROKEN : WHOLE;
	default:
		return WHOLE;
	}
	p->ports = *(__u32 *)at;
	return WITH_PORTS;
}

#endif
