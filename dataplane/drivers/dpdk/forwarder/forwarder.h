/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The process that moves frames by DPDK: its parts, and the data that they share.
 *
 *   main.c     options, DPDK's environment, the loop of the first thread
 *   control.c  requests and events, one JSON datagram each
 *   ports.c    ports, made and removed while workers run
 *   sockets.c  what DPDK's drivers leave out with the sockets that they open
 *   loops.c  receive, decide, send
 *   decide.c   one frame's decision
 *
 * Only the first thread changes ports. Workers see them through one pointer to a table that never changes. To remove a
 * port, the first thread publishes another table, and waits until every worker has begun another turn. */
#ifndef AVI_FORWARDER_H
#define AVI_FORWARDER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <rte_ring.h>
#include <rte_spinlock.h>

#include "../../../native/decision/decision.h"

#define MAX_PORTS 64
#define MAX_QUEUES 16u
#define MAX_LOOPS 16u
#define BURST 32
#define CROSSING 100000 /* frames a second that a twin passes to the host, and as many from it */
#define NAME_SIZE 64
#define WHY_SIZE 256

/* How many frames crossed in the last second. */
struct crossing {
	uint64_t second;
	uint32_t frames;
};

/* A DPDK device by which frames come in and leave. */
struct port {
	uint32_t index; /* the kernel's index of the interface that it stands for */
	uint16_t id;	/* DPDK's number */
	uint16_t rx_queues;
	uint16_t tx_queues;
	uint16_t place; /* its place in the table */
	bool up;
	bool receives;
	char name[NAME_SIZE];	/* of the interface */
	char device[NAME_SIZE]; /* DPDK's name */
	char bus[8];
	char *request;		/* the request that made it */
	struct port *twin; /* of a network card: the port to the host; of that port: the card. Others have none */
	bool to_host;
	rte_spinlock_t sending[MAX_QUEUES]; /* for queues that workers share */
	_Atomic uint64_t failed;	    /* frames that it did not take */
};

struct ports {
	unsigned int number;
	struct port *port[MAX_PORTS];
};

/* The data of one worker. */
struct loop {
	unsigned int number;
	_Atomic uint64_t turns;
	unsigned int waiting[MAX_PORTS];
	struct rte_mbuf *frames[MAX_PORTS][BURST];
	struct sent counted[MAX_PORTS][BURST]; /* the counters of these frames */
	uint64_t unsuitable; /* frames of several segments */
	uint64_t limited;    /* frames that did not cross to the host, because CROSSING others did */
	struct crossing crossings[MAX_PORTS];
	struct worker *worker; /* none if MAC addresses are exchanged */
	bool listens;	       /* the engine takes the frames that this worker leaves to it */
} __rte_cache_aligned;

/* What the options say. */
struct options {
	const char *maps; /* their folder; none: MAC addresses are exchanged, for measurements */
	const char *control;
	unsigned int workers;
	unsigned int nap;   /* microseconds, 0: none */
	unsigned int frame; /* bytes of the largest frame */
};

struct forwarder {
	struct options options;
	_Atomic(struct ports *) ports;
	_Atomic bool stopping;
	_Atomic bool heard; /* an engine listens */
	struct rte_mempool *pool;
	struct rte_ring *slow; /* frames for the engine */
	int wake;	       /* eventfd: there are frames for the engine */
	bool huge;
	struct loop loops[MAX_LOOPS];
};

extern struct forwarder forwarder;

/* What a request asks of a port. */
struct wanted {
	uint32_t index;
	const char *name;
	const char *device;    /* DPDK's name: net_af_packet7, 0000:01:00.0 */
	const char *arguments; /* what follows that name, or "" */
	const char *xsks;      /* where the map of AF_XDP sockets is pinned, or "" */
	unsigned int first;    /* place of the first queue in that map */
	const char *twin;      /* the interface by which frames come to the host, or "" */
	unsigned int queues;
	unsigned int mtu;
	bool receives;
	const char *request; /* its text */
};

/* ports.c. A function that returns false has put the reason into `why`. */
bool port_add(const struct wanted *wanted, char *why);
bool port_remove(uint32_t index, char *why);
bool port_mtu(uint32_t index, unsigned int mtu, char *why);
void ports_close(void);
struct port *port_of(const struct ports *ports, uint32_t index);
bool port_link_changed(struct port *port);

/* sockets.c */
bool sockets_steer_into(const char *pinned, unsigned int first, char *why);

/* loops.c */
int work(void *loop);

/* decide.c */
bool decide_open(const struct options *options, char *why);
bool decide_begin(struct loop *loop, char *why);
void decide_burst(struct loop *loop);
void decide_rest(struct loop *loop);
enum verdict decide_frame(struct loop *loop, struct port *in, struct rte_mbuf *mbuf, uint32_t *out);
void decide_end(struct loop *loop);
void decide_close(void);

/* control.c */
bool control_open(const char *path, char *why);
void control_serve(int milliseconds);
void control_close(void);

#endif
