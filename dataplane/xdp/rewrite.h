/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Step 9, layer 2: the frame as it leaves. */
#ifndef AVI_REWRITE_H
#define AVI_REWRITE_H

#include "count.h"
#include "parse.h"

/* Cut the tag in front and the padding behind, then put the new MAC addresses in: the packet itself stays as it is. */
static __always_inline int forward_l2(struct xdp_md *ctx, const struct target *target, __u32 tag, __u32 padding)
{
	__u32 *words;

	if (unlikely(tag) && bpf_xdp_adjust_head(ctx, VLAN_HLEN))
		return drop(ENCAP_FAILED);
	if (unlikely(padding) && bpf_xdp_adjust_tail(ctx, -(int)padding))
		return drop(ENCAP_FAILED);
	words = (void *)(long)ctx->data;
	if ((void *)words + sizeof(struct eth) > (void *)(long)ctx->data_end)
		return drop(ENCAP_FAILED);
	words[0] = ((const __u32 *)target)[0];
	words[1] = ((const __u32 *)target)[1];
	words[2] = ((const __u32 *)target)[2];
	((struct eth *)words)->kind = bpf_htons(ETH_P_IP);
	if (target->interface == ctx->ingress_ifindex)
		return XDP_TX;
	return bpf_redirect_map(&egress, target->egress, XDP_DROP);
}

#endif
