/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Step 9, layer 2: the frame as it leaves. */
#ifndef AVI_REWRITE_H
#define AVI_REWRITE_H

#include "count.h"
#include "parse.h"

/* Cut the 802.1Q tag in front and the padding behind. The frame as it is then, or 0. */
static __always_inline void *trimmed(struct xdp_md *ctx, __u32 tag, __u32 padding)
{
	void *frame;

	if (tag && bpf_xdp_adjust_head(ctx, VLAN_HLEN))
		return 0;
	if (padding && bpf_xdp_adjust_tail(ctx, -(int)padding))
		return 0;
	frame = (void *)(long)ctx->data;
	return frame + sizeof(struct eth) > (void *)(long)ctx->data_end ? 0 : frame;
}

/* Put the new MAC addresses in: the packet itself stays as it is. */
static __always_inline int forward_l2(struct xdp_md *ctx, const struct packet *p, const struct interface *in,
				      const struct target *target, const struct interface *out)
{
	void *frame = (void *)p->eth;
	__u32 tag = (void *)p->ip - (void *)(p->eth + 1), padding = p->left - p->total;

	if (unlikely(tag | padding)) {
		frame = trimmed(ctx, tag, padding);
		if (!frame)
			return drop(ENCAP_FAILED);
	}
	put_mac(frame, target->mac);
	put_mac(frame + 6, out->mac);
	((struct eth *)frame)->kind = bpf_htons(ETH_P_IP);
	if (out->index == in->index)
		return XDP_TX;
	return bpf_redirect_map(&egress, target->egress & TARGET_PLACE, XDP_DROP);
}

#endif
