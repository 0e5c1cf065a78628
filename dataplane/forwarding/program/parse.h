/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Headers.
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
#define VLAN_ID bpf_htons(0x0FFF) /* 0: the tag has a priority alone */

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
#define LARGEST_PACKET 0xFFFF
#define FRAGMENT_DF bpf_htons(0x4000)

/* What both TCP and UDP begin with. */
struct ports {
	__be16 source;
	__be16 destination;
};

/* The first four bytes of a MAC address, and the last two. Each takes one comparison. */
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

#endif
