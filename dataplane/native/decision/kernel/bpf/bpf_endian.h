/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Replaces libbpf's header of this name, for little-endian processors. */
#ifndef AVI_KERNEL_BPF_ENDIAN_H
#define AVI_KERNEL_BPF_ENDIAN_H

#define bpf_htons(x) ((__be16)__builtin_bswap16(x))
#define bpf_ntohs(x) ((__u16)__builtin_bswap16(x))
#define bpf_htonl(x) ((__be32)__builtin_bswap32(x))
#define bpf_ntohl(x) ((__u32)__builtin_bswap32(x))

#endif
