/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Puts a monitor's probe into the tunnel of one chosen server. This is the xmit program of a route (LWT BPF, ip-route(8)
 * "encap bpf"). A rule sends packets with the probes' marks to that route, and the mark tells the server. */
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "checksum.h"
#include "parse.h"

#define IPIP 4
#define GRE 47
#define GRE_HLEN 4
#define TTL 64
#define DF 0x4000

/* Where the probes with a mark go. Addresses are as in a frame. protocol: IPIP or GRE. */
struct tunnel {
	__be32 source;
	__be32 server;
	__u8 protocol;
	__u8 pad[3];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct tunnel);
} tunnels SEC(".maps");

struct header {
	struct ip ip;
	__be16 gre_flags;
	__be16 gre_kind;
};

SEC("lwt_xmit")
int avi_probe(struct __sk_buff *skb)
{
	__u32 mark = skb->mark;
	const struct tunnel *tunnel = bpf_map_lookup_elem(&tunnels, &mark);
	struct header header = {};
	__u32 length = IP_HLEN;
	struct ip inner;

	if (!tunnel || bpf_skb_load_bytes(skb, 0, &inner, sizeof(inner)))
		return BPF_DROP;
	if (tunnel->protocol == GRE) {
		length += GRE_HLEN;
		header.gre_kind = bpf_htons(ETH_P_IP);
	}
	header.ip.version_ihl = 0x45;
	header.ip.tos = inner.tos;
	header.ip.id = inner.id; /* an ICMP error about the outer packet quotes it: so the engine knows its own probe */
	header.ip.total = bpf_htons(skb->len + length);
	header.ip.fragment = inner.fragment & bpf_htons(DF);
	header.ip.ttl = TTL;
	header.ip.protocol = tunnel->protocol;
	header.ip.source = tunnel->source;
	header.ip.destination = tunnel->server;
	header.ip.checksum = folded(header_sum(&header.ip));
	/* The outer packet takes the ordinary route to the server. With the mark, the rule would send it here again. */
	skb->mark = 0;
	if (tunnel->protocol == GRE ? bpf_lwt_push_encap(skb, BPF_LWT_ENCAP_IP, &header, IP_HLEN + GRE_HLEN) :
				      bpf_lwt_push_encap(skb, BPF_LWT_ENCAP_IP, &header, IP_HLEN))
		return BPF_DROP;
	return BPF_LWT_REROUTE;
}

char _license[] SEC("license") = "GPL";
