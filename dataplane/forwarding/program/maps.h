/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The maps. The engine writes them and the program reads them. The program writes counters and the engine reads them. */
#ifndef AVI_MAPS_H
#define AVI_MAPS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "layout.h"

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, MAX_INTERFACES);
	__type(key, __u32);
	__type(value, __u32);
} egress SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_ADDRESSES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __be32);
	__type(value, __u32);
} addresses SEC(".maps");

/* Services of one port. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_SERVICES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, service_key);
	__type(value, struct service);
} services SEC(".maps");

/* Services of several ports. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, MAX_RANGES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct range_key);
	__type(value, struct service);
} ranges SEC(".maps");

struct slab {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SLAB_TABLES); /* the same for all, so that the kernel can inline the lookup */
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct table)); /* the type itself does not reach the BTF of an inner map */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, MAX_SLABS);
	__type(key, __u32);
	__array(values, struct slab);
} slabs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_TARGETS);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct detail);
} details SEC(".maps");

/* The places of all pools' members among the targets. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_TARGETS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct life);
	__type(value, __u32);
} lives SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_SOURCE_MACS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct source_mac);
	__type(value, __u32);
} source_macs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, MAX_COUNTERS);
	__type(key, __u32);
	__type(value, struct tally);
} counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, MAX_EVENTS);
	__type(key, __u32);
	__type(value, __u64);
} events SEC(".maps");

/* Those drops of `events` whose service was known. A service gets a place for a reason with its first drop, so the map
 * takes at most 1 MB a processor, and nothing before. Drops that find no place are counted in `events` alone. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, MAX_SERVICE_DROPS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct service_drop);
	__type(value, __u64);
} service_drops SEC(".maps");

/* Flows that are remembered while their slot is not stable. */
struct flows {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MAX_FLOWS);
	__type(key, struct flow);
	__type(value, struct flow_entry);
} elder SEC(".maps"), young SEC(".maps");

/* Sampled TCP flows that were not answered yet. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MAX_OPENINGS);
	__type(key, struct flow);
	__type(value, struct opening);
} openings SEC(".maps");

/* Counts of sampled flows, at the places that services and servers have in `counters`. All processors share them: a
 * sampled flow costs two additions. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_COUNTERS);
	__type(key, __u32);
	__type(value, struct handshake_tally);
} handshakes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MAX_FRAGMENTS);
	__type(key, struct fragment_key);
	__type(value, struct fragment);
} fragments SEC(".maps");

/* How many identifications of outer headers the processors have taken, at a place by the server's address. And the last one
 * that each processor used. Many places are one element: servers of one pool stand in one cache line or two, and the kernel
 * takes a processor's memory element by element. Servers that share a place never get the same identification twice
 * either. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_IDENTIFIED / IDENTIFIED_TOGETHER);
	__type(key, __u32);
	__type(value, struct identified);
} identifications SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, MAX_IDENTIFIED / IDENTIFIED_TOGETHER);
	__type(key, __u32);
	__type(value, struct identified);
} used_identifications SEC(".maps");

/* What user space forwards and drops in place of the program. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_COUNTERS);
	__type(key, __u32);
	__type(value, struct tally);
} slow_counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_EVENTS);
	__type(key, __u32);
	__type(value, __u64);
} slow_events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_SERVICE_DROPS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct service_drop);
	__type(value, __u64);
} slow_service_drops SEC(".maps");

/* Frames for user space. This ends with the process that listens, and never outlives the program. */
struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} slow SEC(".maps");

struct state state;

/* Changes without a value being put. clock: nanoseconds, for tests; 0: the kernel's. replies: those of this second.
 * answers_until: when ARP for VIPs is no longer answered, in nanoseconds of the kernel's clock; 0: it always is. */
struct {
	__u64 clock;
	__u32 second;
	__u32 replies;
	__u64 answers_until;
} own SEC(".data");

/* A flow is sampled if its hash is below this. 0: none is. It is set before the program is loaded. */
const volatile __u32 sampled_below = 1u << 26;

#endif
