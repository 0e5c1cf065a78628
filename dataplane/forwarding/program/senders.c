/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finds senders that leave work to their device although their frames enter a veth, which does none of it. A veth fills in
 * no checksums: the XDP program at its end forwards the frames as they are, and the servers drop them. A veth leaves tags
 * beside the frame: the program takes it for an untagged one. This program is attached for a few frames only, because the
 * tracepoint reports every frame that the machine sends. */
#include <linux/bpf.h>
#include <linux/in.h>
#include <linux/types.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "parse.h"

#define MAX_SENDERS 256
#define MAX_VETHS 1024
#define CHECKSUM_PARTIAL 3 /* linux/skbuff.h */
#define VLAN_VID_MASK 0x0FFF /* linux/if_vlan.h */

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct net_device {
	int ifindex;
};

struct sk_buff {
	unsigned char *data;
	__u16 vlan_tci;
	__u8 ip_summed : 2;
};

struct sk_buff___before_6_2 {
	__u8 vlan_present : 1; /* vlan_tci means something only if this is set; since 6.2 it is 0 instead */
};
#pragma clang attribute pop

struct mac {
	__u16 words[3];
	__u16 pad;
};

/* The MAC address of an interface, by the index of its far end. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_VETHS);
	__type(key, __u32);
	__type(value, struct mac);
} far_ends SEC(".maps");

struct sender {
	__be32 address;
	__be32 destination;
	__u16 mac[3];
	__u16 vlan;    /* the tag beside the frame; 0: none, its checksum was not filled in */
	__u32 far_end; /* by which the frame entered */
};

/* How many such frames were seen. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MAX_SENDERS);
	__type(key, struct sender);
	__type(value, __u64);
} senders SEC(".maps");

/* Senders whose last frame was complete: a frame of TCP or UDP with its checksum filled in, or with its tag in it. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MAX_SENDERS);
	__type(key, struct sender);
	__type(value, __u64);
} mended SEC(".maps");

/* About how many frames were looked at. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} looked_at SEC(".maps");

/* The VLAN identifier in the tag beside a frame. 0: there is no tag, or one that holds a priority only. */
static __always_inline __u16 vlan_of(const struct sk_buff *frame)
{
	const struct sk_buff___before_6_2 *before = (const void *)frame;

	if (bpf_core_field_exists(before->vlan_present) && !BPF_CORE_READ_BITFIELD_PROBED(before, vlan_present))
		return 0;
	return BPF_CORE_READ(frame, vlan_tci) & VLAN_VID_MASK;
}

/* Arguments: the frame, and the interface by which it is sent. */
SEC("tp_btf/net_dev_start_xmit")
int look(__u64 *arguments)
{
	const struct sk_buff *frame = (const void *)arguments[0];
	const struct net_device *device = (const void *)arguments[1];
	__u32 index = BPF_CORE_READ(device, ifindex);
	const struct mac *mac = bpf_map_lookup_elem(&far_ends, &index);
	const __u8 *data = BPF_CORE_READ(frame, data);
	struct sender key = {};
	__u32 ip_at = sizeof(struct eth);
	int undone;
	const __u32 first = 0;
	__u64 one = 1, *count;
	struct vlan vlan;
	struct eth eth;
	struct ip ip;

	if (!mac || bpf_probe_read_kernel(&eth, sizeof(eth), data))
		return 0;
	if (eth.dst[0] != mac->words[0] || eth.dst[1] != mac->words[1] || eth.dst[2] != mac->words[2])
		return 0;
	count = bpf_map_lookup_elem(&looked_at, &first);
	if (count)
		(*count)++;
	key.vlan = vlan_of(frame);
	undone = key.vlan || BPF_CORE_READ_BITFIELD_PROBED(frame, ip_summed) == CHECKSUM_PARTIAL;
	if (eth.kind == bpf_htons(ETH_P_8021Q) && !key.vlan) {
		if (bpf_probe_read_kernel(&vlan, sizeof(vlan), data + sizeof(eth)))
			return 0;
		eth.kind = vlan.kind;
		key.vlan = bpf_ntohs(vlan.tci) & VLAN_VID_MASK;
		ip_at += sizeof(vlan);
		undone = 0; /* the checksum of a tagged frame is looked at after the tag is gone */
	}
	if (eth.kind != bpf_htons(ETH_P_IP) || bpf_probe_read_kernel(&ip, sizeof(ip), data + ip_at))
		return 0;
	key.address = ip.source;
	key.destination = ip.destination;
	__builtin_memcpy(key.mac, eth.src, sizeof(eth.src));
	key.far_end = index;
	if (!undone) {
		if (ip.protocol == IPPROTO_TCP || ip.protocol == IPPROTO_UDP) {
			bpf_map_update_elem(&mended, &key, &one, BPF_ANY);
			bpf_map_delete_elem(&senders, &key);
		}
		return 0;
	}
	bpf_map_delete_elem(&mended, &key);
	count = bpf_map_lookup_elem(&senders, &key);
	if (count)
		(*count)++;
	else
		bpf_map_update_elem(&senders, &key, &one, BPF_ANY);
	return 0;
}

char _license[] SEC("license") = "GPL";
