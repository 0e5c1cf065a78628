/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Making checksums (RFC 1071). Words are in the machine's byte order. The same as checksum() of
 * dataplane/forwarding/rewrite.py. */
#ifndef AVI_CHECKSUM_H
#define AVI_CHECKSUM_H

#include "parse.h"

static __always_inline __u16 folded(__u32 sum)
{
	sum = (sum & 0xFFFF) + (sum >> 16);
	sum = (sum & 0xFFFF) + (sum >> 16);
	return ~sum;
}

/* The sum over a header without options. */
static __always_inline __u32 header_sum(const struct ip *ip)
{
	const __u16 *words = (const void *)ip;
	__u32 sum = 0;

#pragma unroll
	for (int i = 0; i < IP_HLEN / 2; i++)
		sum += words[i];
	return sum;
}

#endif
