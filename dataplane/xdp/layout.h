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

struct service_key {
	__be32 vip;
	__be16 port;
	__u8 protocol;
	__u8 unused;
};

/* Key of `ranges`: a port range is cut into the prefixes of port numbers that it is made of. */
struct range_key {
	__u32 bits; /* of what follows */
	__be32 vip;
	__u8 protocol;
	__u8 unused;
	__be16 port;
};

enum {
	SERVICE_BY_PORT = 1,
	SERVICE_PER_PACKET = 2,
	SERVICE_VIP = 4, /* the VIP is put; until then its packets are the host's */
	SERVICE_VIP_UP = 8,
};

/* All that a packet needs to find its server, the state of the VIP included: one lookup a packet. */
struct service {
	__u32 pool;    /* index into `pools`, or NO_POOL */
	__u32 slots;   /* of the pool's table */
	__u32 seed;    /* of the flow hash */
	__u32 targets; /* the pool's first chunk of targets */
	__u32 counter;
	__u16 port;
	__u16 port_end;
	__u8 flags;
	__u8 unused[3];
};

enum {
	TARGET_UP = 1,
	TARGET_RESOLVED = 2, /* MAC address and egress interface are known */
	TARGET_MAC = 4,
	TARGET_INTERFACE = 8,
};

/* A pool member, as frames leave for it. The first twelve bytes are those of the frame. */
struct target {
	__u8 mac[6];
	__u8 source[6]; /* the egress interface's */
	__be32 address;
	__u32 interface; /* index of the egress interface */
	__u32 mtu;	 /* the egress interface's */
	__u32 counter;
	__u16 egress; /* its place in `egress` */
	__u8 flags;
	__u8 unused;
};

#define CHUNK_SLOTS 64
#define CHUNK_TARGETS 4

/* A pool is one array of chunks, swapped as a whole: a head, the table, the targets. */
struct pool_head {
	__u32 slots;
	__u32 seed;
	__u32 targets; /* number of them */
	__u32 name_length;
	char name[112];
};

union chunk {
	struct pool_head head;
	__u16 slots[CHUNK_SLOTS]; /* owners: positions among the targets */
	struct target targets[CHUNK_TARGETS];
};

_Static_assert(sizeof(struct target) == 32, "four targets a chunk");
_Static_assert(sizeof(union chunk) == 128, "chunks of two cache lines");

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

/* Sets that most packets are in none of, one bit a hash: a clear bit saves the exact lookup. */
#define FILTER_WORDS 1024
#define FILTER_FACTOR 0x9E3779B1u

struct filter {
	__u64 words[FILTER_WORDS];
};

struct filters {
	struct filter addresses; /* VIPs and own addresses */
	struct filter members;	 /* the last four bytes of the members' MAC addresses */
};

#endif
