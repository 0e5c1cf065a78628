/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What stands in the maps. dataplane/drivers/maps/layout.py packs and unpacks the same structures. Change both, and LAYOUT
 * there.
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
#define MAX_POOLS 32768 /* the first stays empty */
#define MAX_ENTRIES 32768
#define MAX_TARGETS 131072
#define MAX_SOURCE_MACS 262144
#define MAX_COUNTERS 131072
#define MAX_EVENTS 64
#define MAX_SERVICE_DROPS 131072
#define MAX_FLOWS (1 << 18)
#define MAX_FRAGMENTS (1 << 16)
#define MAX_OPENINGS (1 << 14)
#define MAX_IDENTIFIED (1 << 16)
#define IDENTIFIED_TOGETHER 1024

#define NO_POOL 0

/* One of the engine's interfaces. It stands at `index` modulo MAX_INTERFACES or one of the next places. index 0: free. */
struct interface {
	__u32 index;
	__u32 mtu;
	__u8 mac[6];
	__u8 unused[2];
};

/* What is known about an address: bits of its value in `addresses`. */
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
	SERVICE_BY_PORT = 1,
	SERVICE_PER_PACKET = 2,
	SERVICE_VIP = 4, /* the VIP is put; until then the host gets its packets */
	SERVICE_VIP_UP = 8,
};

/* All that a packet needs to find its server, with the state of the VIP. */
struct service {
	service_key key; /* of a range: its first port */
	__u32 pool;	 /* place in `pools`, or NO_POOL */
	__u32 slots;	 /* of the pool's table */
	__u32 seed;	 /* of the flow hash */
	__u32 counter;
	__u16 port_end; /* the machine's byte order */
	__u8 flags;
	__u8 unused;
	__u32 idle_timeout; /* seconds, 0: none */
};

_Static_assert(sizeof(struct service) == 32, "two services a cache line");

/* An index of the services of one port. A service's place in `index` is the upper bits of its key times INDEX_FACTOR, or
 * the neighbour of that place. `index` holds a place in `entries`, and an entry never changes while it can be seen. A
 * service that found no place is in `services` alone. */
#define INDEX_BITS 16
#define INDEX_FACTOR 0x9E3779B97F4A7C15ull

/* The part of a pool's id that is the same for all pools that a pool of the plan is divided into. */
#define FAMILY(id) ((id) >> 32)

/* A member of a pool in one of its lives. */
struct life {
	__u64 pool; /* the pool's id */
	__be32 address;
	__u32 generation;
};

/* The parts of `egress`: the interface's place in `interfaces`, and what is known about the target. */
#define TARGET_PLACE 0x03FF
#define TARGET_RESOLVED 0x8000 /* MAC address and egress interface are known */
#define TARGET_MAC 0x4000
#define TARGET_UP 0x2000
#define TARGET_SERVES 0x1000 /* its existing flows may go on */
#define TARGET_TUNNEL 0x0800
#define TARGET_GRE 0x0400 /* its tunnel is GRE; else IP-in-IP */

/* A pool member. Its first word may change while it can be seen, so it is read once. */
union target {
	struct {
		__u8 mac[6];
		__u16 egress;
		__be32 address;
		__u32 counter;
	};
	__u64 next_hop; /* MAC address and egress */
};

_Static_assert(sizeof(union target) == 16, "four targets a cache line");

/* The other facts about a target, at the same place. */
struct detail {
	struct life life;
	__be32 source;	 /* of the outer header */
	__u32 sum;	 /* over the parts that are the same in all outer headers */
	__u32 path_mtu;	 /* 0: nothing was reported */
	__u32 interface; /* index of the egress interface, 0: none */
};

_Static_assert(sizeof(struct detail) == 32, "two details a cache line");

/* A pool's head and name stand in `details`, in the places just before its first target. */
#define NAME_LENGTH 60
#define HEAD_PLACES 3

struct pool_head {
	__u64 id; /* made from the name: the same if the pool comes back */
	__u32 slots;
	__u32 seed;
	__u32 targets; /* number of them */
	__u32 mode;    /* as in plan.MODES */
	__u32 name_length;
	char name[NAME_LENGTH];
	__u64 made_of; /* a hash of all that the table was made from; 0: not known, or a change is being written */
};

_Static_assert(sizeof(struct pool_head) == HEAD_PLACES * sizeof(struct detail), "a head fills its places");

/* A pool is one word of `pools`, so that a change is one store. The word names the places of its table, of its formers (0
 * while every slot is stable) and of its first target. These never change while they can be seen. Members stand side by
 * side. */
#define POOL_TABLE(word) ((__u32)(word) & 0xFFFF)
#define POOL_FORMERS(word) ((__u32)(word) >> 16)
#define POOL_FIRST(word) ((__u32)((word) >> 32))

/* Tables stand in slabs, which are made when they are needed. A slot holds its owner's number, counted from the first
 * target. UNSETTLED says that the slot is not stable; in a pool without formers, that it has no owner. The formers are a
 * table too: a slot holds its owner from before the transition, and IN_TRANSITION tells the phase. The very first table
 * is empty. */
#define TABLE_SLOTS 65568
#define SLAB_TABLES 32
#define MAX_SLABS 2048
#define NO_TARGET 0x7FFF
#define UNSETTLED 0x8000
#define IN_TRANSITION 0x8000

struct table {
	__u16 slots[TABLE_SLOTS];
};

_Static_assert(sizeof(struct table) % 64 == 0, "a table begins a cache line");

/* A flow, as its packets to the VIP show it. The key of `elder` and `young`. */
struct flow {
	__be32 client;
	__be32 vip;
	__be16 client_port;
	__be16 port;
	__u8 protocol;
	__u8 unused[3];
};

struct flow_entry {
	struct life life;
	__u64 seen; /* nanoseconds */
};

/* A sampled TCP flow whose client has not yet gone on after its SYN. Its key is a `flow`. */
struct opening {
	__u64 seen; /* nanoseconds: the last SYN that counts */
	__be32 server;
	__be32 sequence; /* of the SYN */
	__u32 syns;	 /* how many of its SYNs were seen, at most UNANSWERED_SYNS */
	__u32 unused;
};

/* Counts of the sampled TCP flows of a service or a server. */
struct handshake_tally {
	__u64 begun;
	__u64 answered;	  /* the client went on after its SYN */
	__u64 unanswered; /* the client repeated its SYN again and again */
	__u64 late;	  /* how many of the unanswered went on after all; they are counted as answered too */
};

/* Identifications of outer headers, at places that follow each other. */
struct identified {
	__u32 last[IDENTIFIED_TOGETHER];
};

/* What all fragments of a packet have in common (RFC 791). The key of `fragments`. */
struct fragment_key {
	__be32 source;
	__be32 destination;
	__be16 id;
	__u8 protocol;
	__u8 unused;
};

struct fragment {
	struct life life;
	service_key service;
	__u64 until; /* nanoseconds */
	__u16 port_end;
	__u16 unused[3];
};

/* Goes to user space in front of a frame that has to be fragmented. */
struct slow_frame {
	__u32 interface; /* by which it came */
	__u32 size;	 /* of the frame */
	service_key service;
	__u16 port_end;
	__u16 id; /* identification of the first piece's outer header */
	__be32 address;
	__u32 generation;
	__u32 unused;
};

/* A source MAC address of a pool's server. With address 0 an entry says that the MAC address is a server's; with another
 * one, that this is the server's address. */
struct source_mac {
	__u32 pool;
	__be32 address;
	__u8 mac[6];
	__u8 unused[2];
};

struct tally {
	__u64 packets;
	__u64 bytes; /* of the clients' IP packets */
};

/* Key of `service_drops`. */
struct service_drop {
	__u32 service; /* its counter */
	__u32 reason;  /* place in `events` */
};

/* Places in `events`: first the drop reasons in the order of dropreasons.DROP_REASONS; other events count from the end. */
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
	NO_SERVER,
	NO_NEXT_HOP,
	TOO_BIG_L2,
	TOO_BIG_RATE_LIMITED,
	ENCAP_FAILED,
	TRANSMIT_FAILED, /* counted by user space alone */
	TOO_BIG_UNREPORTED,
	ANSWERED = MAX_EVENTS - 1,
};

/* A set as one bit for each hash. Most packets are in none of these sets, and a clear bit saves them the exact lookup. */
#define FILTER_WORDS 1024
#define FILTER_FACTOR 0x9E3779B1u

struct filter {
	__u64 words[FILTER_WORDS];
};

/* What every packet needs, in one value. The program reads it by address, without a lookup. The engine writes it through
 * mmap. It is smaller than 4 MB, the limit of values in kernels before 6.1. */
struct state {
	struct interface interfaces[MAX_INTERFACES];
	struct filter addresses; /* VIPs and own addresses */
	struct filter source_macs; /* the last four bytes of the servers' MAC addresses */
	__u32 index[1 << INDEX_BITS];
	struct service entries[MAX_ENTRIES]; /* the first stays empty */
	__u64 pools[MAX_POOLS];
	union target targets[MAX_TARGETS]; /* places that hold heads in `details` are empty here */
};

#endif
