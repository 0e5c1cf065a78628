/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Lets every frame pass. The far end of a veth takes frames that XDP sends only while it has a program itself. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp.frags")
int pass(struct xdp_md *ctx __attribute__((unused)))
{
	return XDP_PASS;
}

char _license[] SEC("license") = "GPL";
