/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which frames are captured, and how a captured frame is described.
 * dataplane/drivers/maps/captureformat.py packs and unpacks the same structures. */
#ifndef AVI_CAPTURE_H
#define AVI_CAPTURE_H

#include <linux/types.h>

#include "layout.h"
#include "parse.h"

#define CAPTURE_VIPS 8
#define CAPTURE_CLIENTS 32
#define CAPTURE_PORTS 32
#define CAPTURE_MOST 4095 /* bytes of a frame */
#define CAPTURE_HEAD 96	  /* bytes that are looked at: tag and IP options take up to 44, ports and flags 14 */
#define UNCOUNTED 0xFF

enum {
	CAPTURE_DROPS = 1,	     /* only what is dropped */
	CAPTURE_OTHER_CLIENTS = 2,   /* only frames from clients outside the ranges */
	CAPTURE_WITH_PORTS = 4,	     /* only frames with ports: a port or a TCP flag is asked for */
};

/* Addresses and ports are in the machine's byte order. A range is its first and its last one. */
struct capture_filter {
	__u64 until; /* nanoseconds of CLOCK_MONOTONIC; 0: nothing is wanted */
	__u32 unused;
	__u32 most; /* bytes of a frame that are kept, at most CAPTURE_MOST */
	__u32 flags;
	__u32 vips;    /* how many of each; none: all */
	__u32 clients;
	__u32 ports;
	__u16 source[2];
	__u16 destination[2];
	__u8 protocol; /* 0: any */
	__u8 tcp_flags; /* flags that must be set */
	__u8 unused_too[6];
	__be32 vip[CAPTURE_VIPS];
	__u32 client[CAPTURE_CLIENTS][2];
	struct {
		__u16 protocol, first, last, unused;
	} port[CAPTURE_PORTS]; /* the virtual service's, where other services share its VIPs */
};

/* Begins a record. The kept bytes of the frame as it came follow, then those of the frame that left. */
struct captured {
	__u64 time; /* nanoseconds of CLOCK_MONOTONIC */
	__u32 interface;
	__u32 size;	 /* bytes of the frame */
	__u32 kept;	 /* bytes of it that were kept */
	__u32 left_size; /* bytes of the frame that left, 0: none did */
	__u32 left_kept;
	__u8 action; /* XDP_…; XDP_DROP without an event: user space handles the frame */
	__u8 event;  /* what it was counted as, or UNCOUNTED */
	__u16 unused;
};

_Static_assert(sizeof(struct captured) == 32, "captureformat.py says it");

static __always_inline int capture_of_client(const struct capture_filter *filter, __u32 address)
{
	int others = !!(filter->flags & CAPTURE_OTHER_CLIENTS);

	if (!filter->clients)
		return 1;
	for (__u32 at = 0; at < CAPTURE_CLIENTS && at < filter->clients; at++)
		if (address >= filter->client[at][0] && address <= filter->client[at][1])
			return !others;
	return others;
}

static __always_inline int capture_to_vip(const struct capture_filter *filter, __be32 address)
{
	if (!filter->vips)
		return 1;
	for (__u32 at = 0; at < CAPTURE_VIPS && at < filter->vips; at++)
		if (address == filter->vip[at])
			return 1;
	return 0;
}

static __always_inline int capture_of_service(const struct capture_filter *filter, __u8 protocol, __u16 port)
{
	if (!filter->ports)
		return 1;
	for (__u32 at = 0; at < CAPTURE_PORTS && at < filter->ports; at++)
		if (protocol == filter->port[at].protocol && port >= filter->port[at].first &&
		    port <= filter->port[at].last)
			return 1;
	return 0;
}

/* Whether a frame is to be captured. frame: CAPTURE_HEAD bytes can be read. size: how many of these belong to the frame.
 * A frame without ports (ICMP, later fragments) matches too, unless ports or flags are asked for. */
static __always_inline int capture_wanted(const struct capture_filter *filter, const __u8 *frame, __u32 size)
{
	__u32 at = sizeof(struct eth), header;
	const struct ip *ip;
	__u16 from, to;
	__be16 kind;

	if (size < at + IP_HLEN)
		return 0;
	kind = *(const __be16 *)(frame + 12);
	if (kind == bpf_htons(ETH_P_8021Q)) {
		kind = *(const __be16 *)(frame + 16);
		at += VLAN_HLEN;
	}
	if (kind != bpf_htons(ETH_P_IP) || size < at + IP_HLEN)
		return 0;
	ip = (const void *)(frame + at);
	if (!capture_to_vip(filter, ip->destination) || !capture_of_client(filter, bpf_ntohl(ip->source)))
		return 0;
	if (filter->protocol && ip->protocol != filter->protocol)
		return 0;
	header = (ip->version_ihl & 0x0F) * 4;
	if ((ip->protocol != TCP && ip->protocol != UDP) || ip->fragment & FRAGMENT_OFFSET || header < IP_HLEN ||
	    size < at + header + 14)
		return !(filter->flags & CAPTURE_WITH_PORTS);
	at += header & 0x3C;
	from = bpf_ntohs(*(const __be16 *)(frame + at));
	to = bpf_ntohs(*(const __be16 *)(frame + at + 2));
	if (from < filter->source[0] || from > filter->source[1] || to < filter->destination[0] ||
	    to > filter->destination[1])
		return 0;
	if (!capture_of_service(filter, ip->protocol, to))
		return 0;
	if (!filter->tcp_flags)
		return 1;
	return ip->protocol == TCP && (frame[at + 13] & filter->tcp_flags) == filter->tcp_flags;
}

#endif
