/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Step 1: ARP for the VIPs that this engine owns (RFC 826, RFC 5227). */
#ifndef AVI_ARP_H
#define AVI_ARP_H

#include "arprequest.h"
#include "lookup.h"
#include "tracking.h"

/* Turns a request for an owned VIP into its answer, in the same frame, while the engine counts as alive. */
static __always_inline int answer_arp(struct eth *eth, struct arp *arp, void *end, const struct interface *in)
{
	__u16 target[2], sender[2];
	__be32 address;
	__u32 flags;

	if (!asks_for(eth, arp, end, in->mac, &address))
		return XDP_PASS;
	target[0] = arp->target[0];
	target[1] = arp->target[1];
	sender[0] = arp->sender[0];
	sender[1] = arp->sender[1];
	flags = address_flags(address);
	if (!(flags & ADDRESS_VIP) || !(flags & ADDRESS_VIP_OWNED) || !answers())
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
