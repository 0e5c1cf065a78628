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
#define FRAGMENT_OFFSET bpf_htons(0x1FFF)
#define FRAGMENT_DF bpf_htons(0x4000)

/* What both TCP and UDP begin with. */
struct ports {
	__be16 source;
	__be16 destination;
};

/* A packet as far as it has been looked at. */
struct packet {
	struct ip *ip;
	void *end;
	__u32 header; /* bytes of the IP header */
	__u32 total;  /* bytes of the IP packet */
	__u32 left;   /* bytes of the frame from the IP header on */
	struct ports ports;
};

/* The first word of a MAC address, and the rest; one comparison each. */
static __always_inline int same_mac(const void *one, const void *other)
{
	return *(const __u32 *)one == *(const __u32 *)other &&
	       *(const __u16 *)(one + 4) == *(const __u16 *)(other + 4);
}

/* RFC 1071, over the header with its options. The sum is the same in either byte order. */
static __always_inline int checksum_is_right(const struct packet *p)
{
	const __u32 *words = (const void *)p->ip;
	__u64 sum = (__u64)words[0] + words[1] + words[2] + words[3] + words[4];

	if (unlikely(p->header > IP_HLEN)) {
		const __u32 *option = words + 5;

		for (__u32 i = 0; i < 10; i++, option++) {
			if (IP_HLEN + i * 4 >= p->header)
				break;
			if ((void *)(option + 1) > p->end)
				return 0;
			sum += *option;
		}
	}
	sum = (sum & 0xFFFFFFFF) + (sum >> 32);
	sum = (sum & 0xFFFF) + (sum >> 16);
	sum = (sum & 0xFFFF) + (sum >> 16);
	sum = (sum & 0xFFFF) + (sum >> 16);
	return sum == 0xFFFF;
}

/* Layer 4 whole: RFC 9293 data offset, RFC 768 length. Fills in the ports. */
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

static __always_inline int well_formed(struct packet *p)
{
	if (p->ip->version_ihl >> 4 != 4 || p->header < IP_HLEN)
		return 0;
	if (p->total < p->header || p->total > p->left)
		return 0;
	if (!checksum_is_right(p))
		return 0;
	return is_fragment(p) || layer4_is_whole(p);
}

#endif
