/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sends the frames that the decision takes to the forwarder's sockets (AF_XDP). These are packets to VIPs, and ARP requests
 * for VIPs that the engine owns. All others go to the host, as without this program. While the forwarder has no socket,
 * its frames are dropped, because the host does not forward VIPs. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "arprequest.h"
#include "layout.h"

#define SOCKETS 1024

/* An interface whose frames are steered. */
struct steered {
	__u8 mac[6];
	__u16 first; /* place in `sockets` of its first queue's socket */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_INTERFACES);
	__type(key, __u32);
	__type(value, struct steered);
} interfaces SEC(".maps");

/* ADDRESS_… bits, as in `addresses` of the decision. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_ADDRESSES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __be32);
	__type(value, __u32);
} vips SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, SOCKETS);
	__type(key, __u32);
	__type(value, __u32);
} sockets SEC(".maps");

static __always_inline __u32 flags_of(__be32 address)
{
	const __u32 *flags = bpf_map_lookup_elem(&vips, &address);

	return flags ? *flags : 0;
}

SEC("xdp")
int steer(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;
	struct eth *eth = (void *)(long)ctx->data;
	void *next = eth + 1;
	__u32 index = ctx->ingress_ifindex;
	const struct steered *in;
	__be32 address;
	__be16 kind;

	if (next > end)
		return XDP_PASS;
	kind = eth->kind;
	if (kind == bpf_htons(ETH_P_8021Q)) {
		struct vlan *vlan = next;

		if ((void *)(vlan + 1) > end || vlan->tci & VLAN_ID)
			return XDP_PASS;
		kind = vlan->kind;
		next = vlan + 1;
	}
	in = bpf_map_lookup_elem(&interfaces, &index);
	if (!in)
		return XDP_PASS;
	if (kind == bpf_htons(ETH_P_IP)) {
		struct ip *ip = next;

		if ((void *)(ip + 1) > end || !same_mac(eth, in->mac) || !(flags_of(ip->destination) & ADDRESS_VIP))
			return XDP_PASS;
	} else if (kind == bpf_htons(ETH_P_ARP)) {
		const __u32 owned = ADDRESS_VIP | ADDRESS_VIP_OWNED;

		if (!asks_for(eth, next, end, in->mac, &address) || (flags_of(address) & owned) != owned)
			return XDP_PASS;
	} else {
		return XDP_PASS;
	}
	return bpf_redirect_map(&sockets, in->first + ctx->rx_queue_index, XDP_DROP);
}

char _license[] SEC("license") = "GPL";
