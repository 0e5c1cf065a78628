/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What stands in the maps. dataplane/drivers/maps/layout.py packs and unpacks the same structures: change both, and LAYOUT there.
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

#define NO_POOL 0

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
	SERVICE_BY_PORT = 1,
	SERVICE_PER_PACKET = 2,
	SERVICE_VIP = 4, /* the VIP is put; until then its packets are the host's */
	SERVICE_VIP_UP = 8,
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
	__u8 unused;
	__u32 idle_timeout; /* seconds, 0: none */
};

_Static_assert(sizeof(struct service) == 32, "two services a cache line");

/* The services of one port once more: a place in `index` is the upper bits of the key times INDEX_FACTOR, or the
 * neighbour of that place; it holds a place in `entries`. An entry never changes while it can be seen. What found no
 * place is in `services` alone. */
#define INDEX_BITS 16
#define INDEX_FACTOR 0x9E3779B97F4A7C15ull

/* Of a pool's id: what it shares with the other pools that a pool of the plan is divided into. */
#define FAMILY(id) ((id) >> 32)

/* A member of a pool in one life of it. */
struct life {
	__u64 pool; /* the pool's id */
	__be32 address;
	__u32 generation;
};

/* Of `egress`: place of the interface in `interfaces`, and what is known. */
#define TARGET_PLACE 0x03FF
#define TARGET_RESOLVED 0x8000 /* MAC address and egress interface are known */
#define TARGET_MAC 0x4000
#define TARGET_UP 0x2000
#define TARGET_SERVES 0x1000 /* flows that it has may go on */
#define TARGET_TUNNEL 0x0800
#define TARGET_GRE 0x0400 /* a tunnel of this kind; else IP-in-IP */

/* A pool member. Its first word may change while it can be seen: it is read once. */
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

/* The rest of what is known of a target, at the same place. */
struct detail {
	struct life life;
	__be32 source;	 /* of the outer header */
	__u32 sum;	 /* of what is the same in all outer headers */
	__u32 path_mtu;	 /* 0: nothing was reported */
	__u32 interface; /* index of the egress interface, 0: none */
};

_Static_assert(sizeof(struct detail) == 32, "two details a cache line");

/* What a pool is, in the places of `details` just before its first target: the head, the name. */
#define NAME_LENGTH 60
#define HEAD_PLACES 3

struct pool_head {
	__u64 id; /* made of the name: the same whenever the pool comes back */
	__u32 slots;
	__u32 seed;
	__u32 targets; /* number of them */
	__u32 mode;    /* as in plan.MODES */
	__u32 name_length;
	char name[NAME_LENGTH];
	__u64 made_of; /* a hash of all that the table was made of; 0: not known, or a change is being written */
};

_Static_assert(sizeof(struct pool_head) == HEAD_PLACES * sizeof(struct detail), "a head fills its places");

/* A pool is one word of `pools`, so that a change is one store. It names places that never change while they can be
 * seen: its table, its formers (0 while every slot is stable), its first target; members stand side by side. */
#define POOL_TABLE(word) ((__u32)(word) & 0xFFFF)
#define POOL_FORMERS(word) ((__u32)(word) >> 16)
#define POOL_FIRST(word) ((__u32)((word) >> 32))

/* Tables stand in slabs, which are made as they are needed. An owner is counted from the first target. In a table,
 * UNSETTLED says that the slot is not stable, or that there is no owner in a pool without formers. The formers are a
 * table where a slot holds the owner at the last moment outside a transition, and IN_TRANSITION tells the phase. The
 * first table of all is empty. */
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

/* A flow as its packets to the VIP show it: key of `elder` and `young`. */
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

/* A sampled TCP flow whose client was not seen to go on after its SYN; its key is a `flow`. */
struct opening {
	__u64 seen; /* nanoseconds: the last SYN that counts */
	__be32 server;
	__be32 sequence; /* of the SYN */
	__u32 syns;	 /* that were seen of it: UNANSWERED_SYNS at most */
	__u32 unused;
};

/* Sampled TCP flows of a service or a server. */
struct handshake_tally {
	__u64 begun;
	__u64 answered;	  /* the client went on after its SYN */
	__u64 unanswered; /* the client repeated its SYN again and again */
	__u64 late;	  /* of these: it went on after all, and is among those answered */
};

/* What all fragments of a packet share (RFC 791): key of `fragments`. */
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

/* What goes to user space in front of a frame that has to be fragmented. */
struct slow_frame {
	__u32 interface; /* that it came by */
	__u32 size;	 /* of the frame */
	service_key service;
	__u16 port_end;
	__u16 id; /* of its first piece's outer header */
	__be32 address;
	__u32 generation;
	__u32 unused;
};

/* The source MAC addresses of a pool's servers: with address 0 "this MAC is a server's", else "and this its address". */
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

/* Places in `events`: the drop reasons in the order of dropreasons.DROP_REASONS; other events from the end. */
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
	TRANSMIT_FAILED, /* in user space alone */
	TOO_BIG_UNREPORTED,
	ANSWERED = MAX_EVENTS - 1,
};

/* Sets that most packets are in none of, one bit a hash: a clear bit saves the exact lookup. */
#define FILTER_WORDS 1024
#define FILTER_FACTOR 0x9E3779B1u

struct filter {
	__u64 words[FILTER_WORDS];
};

/* What every packet needs, in one value: the program reads it by address, without a lookup; the engine writes it through
 * mmap. Below 4 MB, which is as large as values may be in kernels before 6.1. */
struct state {
	struct interface interfaces[MAX_INTERFACES];
	struct filter addresses; /* VIPs and own addresses */
	struct filter source_macs; /* the last four bytes of the servers' MAC addresses */
	__u32 index[1 << INDEX_BITS];
	struct service entries[MAX_ENTRIES]; /* the first stays empty */
	__u64 pools[MAX_POOLS];
	union target targets[MAX_TARGETS]; /* where heads stand in `details`, there is nothing */
};

#endif
