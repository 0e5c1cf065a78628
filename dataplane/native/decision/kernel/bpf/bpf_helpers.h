/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Replaces libbpf's header of this name: how maps are declared. decision.c has the kernel's functions. */
#ifndef AVI_KERNEL_BPF_HELPERS_H
#define AVI_KERNEL_BPF_HELPERS_H

#define SEC(name)
#define __uint(name, val) int(*name)[val]
#define __type(name, val) typeof(val) *name
#define __array(name, val) typeof(val) *name[]
#undef __always_inline
#define __always_inline inline __attribute__((always_inline))
#define __noinline __attribute__((noinline))

#endif
