/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ends of the measurement: a generator of UDP frames, a bare redirect to compare with, and a counting sink. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define FRAME 60
#define SOURCE_PORT 34

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u8[64]);
} frame SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u32);
} ways SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} arrived SEC(".maps");

__u32 flows = 1;

/* Recycled frames carry the last program's bytes: the Ethernet header is written anew. */
SEC("xdp") int generate(struct xdp_md *ctx)
{
	__u32 *words = (void *)(long)ctx->data, zero = 0;
	__u32 *wanted = bpf_map_lookup_elem(&frame, &zero);

	if (!wanted || (void *)words + FRAME > (void *)(long)ctx->data_end)
		return XDP_DROP;
	words[0] = wanted[0];
	words[1] = wanted[1];
	words[2] = wanted[2];
	*(__u16 *)((void *)words + SOURCE_PORT) = bpf_get_prandom_u32() % flows;
	return bpf_redirect_map(&ways, 0, XDP_DROP);
}

SEC("xdp") int bare_redirect(struct xdp_md *ctx)
{
	return bpf_redirect_map(&ways, 1, XDP_DROP);
}

SEC("xdp") int count(struct xdp_md *ctx)
{
	__u32 zero = 0;
	__u64 *number = bpf_map_lookup_elem(&arrived, &zero);

	if (number)
		(*number)++;
	return XDP_DROP;
}

char _license[] SEC("license") = "GPL";
