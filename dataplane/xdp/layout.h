/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What stands in the maps. dataplane/xdplayout.py packs and unpacks the same structures: change both, and LAYOUT there.
 *
 * Addresses and ports that frames carry stand here as in the frame (network byte order); all else is the machine's. */
#ifndef AVI_LAYOUT_H
#define AVI_LAYOUT_H

#include <linux/types.h>

#define MAX_INTERFACES 1024
#define INTERFACE_PROBES 4
#define MAX_ADDRESSES 16384
#define MAX_SERVICES 65536
#define MAX_RANGES 65536
#define MAX_POOLS 16384
#define MAX_ENTRIES 32768
#define MAX_TARGETS 131072
#define MAX_MEMBERS 262144
#define MAX_COUNTERS 131072
#define MAX_EVENTS 64

#define NO_SERVER 0xFFFF
#define NO_POOL 0xFFFFFFFF

/* One of the engine's interfaces, at `index` modulo MAX_INTERFACES or one of the next places. index 0: free. */
struct interface {
	__u32 index;
	__u32 mtu;
	__u8 mac[6];
	__u8 unused[2];
};

/* What is known of an address: bits of the value in `addresses`. */
enum {
	ADDRESS_VIP = 1,
	ADDRESS_VIP_UP = 2,
	ADDRESS_VIP_OWNED = 4,
	ADDRESS_VIP_RANGES = 8, /* services of the VIP have port ranges */
	ADDRESS_OWN = 16,	/* an address of the engine itself */
};

/* A service's key, as one word: VIP, port, protocol and a zero, in the order of memory. */
typedef __u64 service_key;

/* Key of `ranges`: a port range is cut into the prefixes of port numbers that it is made of. */
struct range_key {
	__u32 bits; /* of what follows */
	__be32 vip;
	__u8 protocol;
	__u8 unused;
	__be16 port;
};

enum {
	SERVICE_VIP = 1, /* the VIP is put; until then its packets are the host's */
	SERVICE_VIP_UP = 2,
	SERVICE_BY_PORT = 4,
	SERVICE_PER_PACKET = 8,
};

/* All that a packet needs to find its server, the state of the VIP included. */
struct service {
	service_key key; /* of a range: its first port */
	__u32 pool;	 /* place in `pools`, or NO_POOL */
	__u32 slots;	 /* of the pool's table */
	__u32 seed;	 /* of the flow hash */
	__u32 counter;
	__u16 port_end; /* the machine's byte order */
	__u8 flags;
	__u8 unused[5];
};

_Static_assert(sizeof(struct service) == 32, "two services a cache line");

/* The services of one port once more: a place in `index` is the upper bits of the key times INDEX_FACTOR, or the
 * neighbour of that place; it holds a place in `entries`. An entry never changes while it can be seen. What found no
 * place is in `services` alone. */
#define INDEX_BITS 16
#define INDEX_FACTOR 0x9E3779B97F4A7C15ull

/* Of `egress`: place of the interface in `interfaces`, and what is known. */
#define TARGET_PLACE 0x03FF
#define TARGET_RESOLVED 0x8000 /* MAC address and egress interface are known */
#define TARGET_MAC 0x4000
#define TARGET_UP 0x2000

/* A pool member. */
struct target {
	__u8 mac[6];
	__u16 egress;
	__be32 address;
	__u32 counter;
};

_Static_assert(sizeof(struct target) == 16, "four targets a cache line");

/* A pool is an array of this one value, swapped as a whole. Its targets stand side by side in `targets` and never change
 * while they can be seen: a change takes new places. */
#define MAX_SLOTS 65552
#define NAME_LENGTH 48

struct pool {
	__u32 slots;
	__u32 seed;
	__u32 first;   /* place of the first target */
	__u16 targets; /* number of them */
	__u16 name_length;
	char name[NAME_LENGTH];
	__u16 table[MAX_SLOTS]; /* the owner of each slot, counted from the first target */
};

/* A pool's members by MAC address: with address 0 "this MAC is a member's", else "and this its address". */
struct member {
	__u32 pool;
	__be32 address;
	__u8 mac[6];
	__u8 unused[2];
};

struct tally {
	__u64 packets;
	__u64 bytes; /* of the clients' IP packets */
};

/* Places in `events`: the drop reasons in the order of forwarding.DROP_REASONS; other events from the end. */
enum event {
	MALFORMED,
	BAD_SOURCE,
	LOOPED,
	VIP_DOWN,
	FRAGMENT_UNKNOWN,
	FRAGMENT_SHORT,
	ICMP_UNSUPPORTED,
	ICMP_UNMATCHED,
	NO_SERVICE,
	NO_SERVER_UP,
	NO_NEXT_HOP,
	TOO_BIG_L2,
	TOO_BIG_RATE_LIMITED,
	ENCAP_FAILED,
	TRANSMIT_FAILED, /* the pcap driver's */
	ANSWERED = MAX_EVENTS - 1,
};

/* Sets that most packets are in none of, by the last 16 bits of an address: a clear bit saves the exact lookup. */
#define FILTER_BYTES 8192

struct filter {
	__u8 bits[FILTER_BYTES];
};

/* What every packet needs, in one value: the program reads it by address, without a lookup; the engine writes it through
 * mmap. Below 4 MB, which is as large as values may be in kernels before 6.1. */
struct state {
	struct interface interfaces[MAX_INTERFACES];
	struct filter addresses; /* VIPs and own addresses */
	struct filter members;	 /* MAC addresses of pools' members */
	__u32 index[1 << INDEX_BITS];
	struct service entries[MAX_ENTRIES]; /* the first stays empty */
	struct target targets[MAX_TARGETS];
};

#endif
