/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Replaces the kernel's header of this name: what the XDP program needs of it where it is not compiled to BPF. */
#ifndef AVI_KERNEL_LINUX_BPF_H
#define AVI_KERNEL_LINUX_BPF_H

#include <linux/types.h>

/* The frame as the program sees it, with whole pointers. The other fields are only in this stand-in. */
struct xdp_md {
	__u64 data;
	__u64 data_end;
	__u32 ingress_ifindex;
	__u32 egress; /* index of the interface to send by */
	__u64 first;  /* the headroom's beginning */
	__u64 last;   /* the tailroom's end */
};

enum xdp_action {
	XDP_ABORTED,
	XDP_DROP,
	XDP_PASS,
	XDP_TX,
	XDP_REDIRECT,
};

enum bpf_map_type {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PERF_EVENT_ARRAY = 4,
	BPF_MAP_TYPE_PERCPU_HASH = 5,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_LPM_TRIE = 11,
	BPF_MAP_TYPE_ARRAY_OF_MAPS = 12,
	BPF_MAP_TYPE_DEVMAP = 14,
};

#define BPF_ANY 0
#define BPF_NOEXIST 1
#define BPF_F_NO_PREALLOC 1
#define BPF_F_MMAPABLE (1 << 10)
#define BPF_F_CURRENT_CPU 0xFFFFFFFFull

#endif
