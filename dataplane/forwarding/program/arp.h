/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Step 1: ARP for the VIPs that this engine owns (RFC 826, RFC 5227). */
#ifndef AVI_ARP_H
#define AVI_ARP_H

#include "lookup.h"

/* For Ethernet and IPv4. Nothing here is aligned to more than two bytes. */
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

/* A request for an owned VIP is turned into its answer in place; an announcement is nobody's question. */
static __always_inline int answer_arp(struct eth *eth, struct arp *arp, void *end, const struct interface *in)
{
	__u16 target[2], sender[2];
	__be32 address;
	__u32 flags;

	if ((void *)(arp + 1) > end || !(is_broadcast(eth) || same_mac(eth, in->mac)))
		return XDP_PASS;
	if (arp->hardware != bpf_htons(1) || arp->protocol != bpf_htons(ETH_P_IP) || arp->lengths[0] != 6 ||
	    arp->lengths[1] != 4 || arp->operation != bpf_htons(1))
		return XDP_PASS;
	target[0] = arp->target[0];
	target[1] = arp->target[1];
	sender[0] = arp->sender[0];
	sender[1] = arp->sender[1];
	if (target[0] == sender[0] && target[1] == sender[1])
		return XDP_PASS;
	__builtin_memcpy(&address, target, sizeof(address));
	flags = address_flags(address);
	if (!(flags & ADDRESS_VIP) || !(flags & ADDRESS_VIP_OWNED))
		return XDP_PASS;

	put_mac(arp->target_mac, arp->sender_mac);
	put_mac(eth->dst, arp->sender_mac);
	put_mac(eth->src, in->mac);
	put_mac(arp->sender_mac, in->mac);
	arp->target[0] = sender[0];
	arp->target[1] = sender[1];
	arp->sender[0] = target[0];
	arp->sender[1] = target[1];
	arp->operation = bpf_htons(2);
	count_event(ANSWERED);
	return XDP_TX;
}

#endif
