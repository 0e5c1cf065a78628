/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Step 9, layer 2: the frame as it leaves. */
#ifndef AVI_REWRITE_H
#define AVI_REWRITE_H

#include "count.h"
#include "parse.h"

/* Cut the tag in front and the padding behind, then put the new MAC addresses in: the packet itself stays as it is. */
static __always_inline int forward_l2(struct xdp_md *ctx, const struct target *target, const struct interface *out,
				      __u32 tag, __u32 padding)
{
	void *frame;

	if (unlikely(tag) && bpf_xdp_adjust_head(ctx, VLAN_HLEN))
		return drop(ENCAP_FAILED);
	if (unlikely(padding) && bpf_xdp_adjust_tail(ctx, -(int)padding))
		return drop(ENCAP_FAILED);
	frame = (void *)(long)ctx->data;
	if (frame + sizeof(struct eth) > (void *)(long)ctx->data_end)
		return drop(ENCAP_FAILED);
	put_mac(frame, target->mac);
	put_mac(frame + 6, out->mac);
	((struct eth *)frame)->kind = bpf_htons(ETH_P_IP);
	if (out->index == ctx->ingress_ifindex)
		return XDP_TX;
	return bpf_redirect_map(&egress, target->egress & TARGET_PLACE, XDP_DROP);
}

#endif
