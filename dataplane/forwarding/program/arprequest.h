/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Step 1: which ARP packet asks for an address (RFC 826, RFC 5227). */
#ifndef AVI_ARP_REQUEST_H
#define AVI_ARP_REQUEST_H

#include <linux/bpf.h>

#include "parse.h"

/* An ARP packet for Ethernet and IPv4. No field is aligned to more than two bytes. */
struct arp {
	__be16 hardware;
	__be16 protocol;
	__u8 lengths[2];
	__be16 operation;
	__u16 sender_mac[3];
	__u16 sender[2];
	__u16 target_mac[3];
	__u16 target[2];
};

_Static_assert(sizeof(struct arp) == 28, "RFC 826");

static __always_inline int is_broadcast(const struct eth *eth)
{
	return (eth->dst[0] & eth->dst[1] & eth->dst[2]) == 0xFFFF;
}

/* Whether a packet, sent to this MAC address or to all, asks who has an address. An announcement does not ask. */
static __always_inline int asks_for(const struct eth *eth, const struct arp *arp, void *end, const void *mac,
				    __be32 *address)
{
	if ((void *)(arp + 1) > end || !(is_broadcast(eth) || same_mac(eth, mac)))
		return 0;
	if (arp->hardware != bpf_htons(1) || arp->protocol != bpf_htons(ETH_P_IP) || arp->lengths[0] != 6 ||
	    arp->lengths[1] != 4 || arp->operation != bpf_htons(1))
		return 0;
	if (arp->target[0] == arp->sender[0] && arp->target[1] == arp->sender[1])
		return 0;
	__builtin_memcpy(address, arp->target, sizeof(*address));
	return 1;
}

#endif
