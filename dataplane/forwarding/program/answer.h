/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Answers to clients over IP: to pings (RFC 792), and to packets too big for a tunnel (RFC 1191 section 4). */
#ifndef AVI_ANSWER_H
#define AVI_ANSWER_H

#include "checksum.h"
#include "rewrite.h"

#define ECHO_REQUEST 8
#define OPTION_RECORD_ROUTE 7
#define OPTION_LOOSE_ROUTE 131
#define OPTION_STRICT_ROUTE 137
#define INTERNETWORK_CONTROL 0xC0 /* RFC 1812 section 4.3.2.5 */
#define QUOTED 8		  /* bytes of layer 4 that an error quotes */
#define LARGEST_QUOTE (60 + QUOTED)

struct icmp {
	__u8 type;
	__u8 code;
	__be16 checksum;
	__be16 unused;
	__be16 mtu;
};

static __always_inline void turn_round(struct eth *eth)
{
	__u16 ours[3] = {eth->dst[0], eth->dst[1], eth->dst[2]};

	for (int i = 0; i < 3; i++) {
		eth->dst[i] = eth->src[i];
		eth->src[i] = ours[i];
	}
}

/* Puts the VIP into the recorded route that begins at byte `at`, if it has room and `record` is set. Returns whether the
 * VIP is still to be recorded. That tells the verifier no more than `record` did, so that it follows one case only. */
__noinline int record_route(struct xdp_md *ctx, __u32 at, int record)
{
	__u32 pointer, tag;
	__u8 *option, *place;
	struct packet p;

	if (!record || !look_again(ctx, &p, &tag))
		return record;
	option = (void *)p.ip + (at & 63);
	if ((void *)(option + 3) > p.end)
		return record;
	pointer = option[2];
	if (pointer < 4 || pointer + 3 > option[1])
		return record;
	place = option + ((pointer - 1) & 63);
	if ((void *)(place + 4) > p.end)
		return record;
	option[2] = pointer + 4;
	__builtin_memcpy(place, &p.ip->destination, 4);
	return 0;
}

/* Whether a ping with these options is answered, as echo_options() of dataplane/forwarding/rewrite.py says: not if an
 * option is broken or is a source route. record: put the VIP into a recorded route that has room. */
__noinline int echo_options(struct xdp_md *ctx, int record)
{
	__u32 at = IP_HLEN, tag;
	struct packet p;

	if (!look_again(ctx, &p, &tag))
		return 0;
	for (int i = 0; i < MAX_OPTIONS && at < p.header; i++) {
		__u32 option = option_at(ctx, at);

		if (!option || OPTION_KIND(option) == OPTION_LOOSE_ROUTE || OPTION_KIND(option) == OPTION_STRICT_ROUTE)
			return 0;
		if (OPTION_KIND(option) == OPTION_RECORD_ROUTE)
			record = record_route(ctx, at, record);
		at = OPTION_NEXT(option);
	}
	return 1;
}

/* Turns a ping into its answer, in the same frame. */
static __always_inline int answer_ping(struct xdp_md *ctx)
{
	__u32 sum, tag, padding, options = 0;
	struct icmp *icmp;
	struct packet p;
	struct eth *eth;
	struct ip *ip;
	__be32 client;

	if (!look_again(ctx, &p, &tag))
		return drop(MALFORMED);
	if (unlikely(p.header > IP_HLEN)) {
		echo_options(ctx, 1);
		options = options_sum(ctx);
		if (!look_again(ctx, &p, &tag))
			return drop(MALFORMED);
	}
	eth = (void *)(long)ctx->data;
	ip = p.ip;
	icmp = (void *)ip + p.header;
	if ((void *)(eth + 1) > p.end || (void *)(icmp + 1) > p.end)
		return drop(MALFORMED);
	client = ip->source;
	turn_round(eth);
	ip->source = ip->destination;
	ip->destination = client;
	ip->ttl = TTL;
	ip->checksum = 0;
	ip->checksum = folded(header_sum(ip) + options);
	sum = bpf_ntohs(icmp->checksum) + (ECHO_REQUEST << 8); /* RFC 1624 */
	icmp->checksum = bpf_htons((sum & 0xFFFF) + (sum >> 16));
	icmp->type = 0;
	padding = padding_behind(ctx, &p, tag);
	if (padding && bpf_xdp_adjust_tail(ctx, -(int)padding))
		return drop(ENCAP_FAILED);
	count_event(ANSWERED);
	return XDP_TX;
}

/* Sends "fragmentation needed and DF set" to the client. The message is put in front of the frame, whose beginning is the
 * quotation. service: the service's counter. */
static __always_inline int tell_mtu(struct xdp_md *ctx, const struct packet *p, __u32 tag, __u32 mtu, __u32 service)
{
	const __u32 front = IP_HLEN + sizeof(struct icmp);
	__be32 client = p->ip->source, vip = p->ip->destination;
	__u32 quoted = p->header + QUOTED, sum = 0, surplus;
	struct eth *eth = (void *)(long)ctx->data;
	struct vlan vlan = {0};
	struct eth ether;
	struct icmp *icmp;
	struct ip *ip;
	void *data, *end;

	if (quoted > p->total || (void *)(eth + 1) + VLAN_HLEN > p->end)
		return drop_of_service(service, ENCAP_FAILED);
	turn_round(eth);
	ether = *eth;
	vlan = *(struct vlan *)(eth + 1);
	surplus = bytes_left(ctx, tag) - quoted;
	if (surplus && bpf_xdp_adjust_tail(ctx, -(int)surplus))
		return drop_of_service(service, ENCAP_FAILED);
	if (bpf_xdp_adjust_head(ctx, -(int)front))
		return drop_of_service(service, ENCAP_FAILED);
	data = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	if (data + sizeof(*eth) + VLAN_HLEN > end)
		return drop_of_service(service, ENCAP_FAILED);
	*(struct eth *)data = ether;
	if (tag)
		*(struct vlan *)(data + sizeof(*eth)) = vlan;
	ip = data + sizeof(*eth) + (tag ? VLAN_HLEN : 0);
	icmp = (void *)(ip + 1);
	if ((void *)(icmp + 1) > end)
		return drop_of_service(service, ENCAP_FAILED);
	ip->version_ihl = 0x45;
	ip->tos = INTERNETWORK_CONTROL;
	ip->total = bpf_htons(front + quoted);
	ip->id = 0;
	ip->fragment = FRAGMENT_DF;
	ip->ttl = TTL;
	ip->protocol = ICMP;
	ip->checksum = 0;
	ip->source = vip;
	ip->destination = client;
	ip->checksum = folded(header_sum(ip));
	icmp->type = 3;
	icmp->code = 4;
	icmp->checksum = 0;
	icmp->unused = 0;
	icmp->mtu = bpf_htons(mtu);
	for (int i = 0; i < ((int)sizeof(*icmp) + LARGEST_QUOTE) / 4; i++) {
		const __u32 *word = (const __u32 *)icmp + i;

		if ((void *)(word + 1) > end)
			break;
		sum += (*word & 0xFFFF) + (*word >> 16);
	}
	icmp->checksum = folded(sum);
	count_event(ANSWERED);
	return XDP_TX;
}

#endif
