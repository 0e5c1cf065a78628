/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The process that moves frames by DPDK: its parts, and what they share.
 *
 *   main.c     options, DPDK's environment, the loop of the first thread
 *   control.c  requests and events, one JSON datagram each
 *   ports.c    ports, made and removed while workers run
 *   sockets.c  the sockets that DPDK's drivers open, with what they leave out
 *   loops.c  receive, decide, send
 *   decide.c   one frame's decision
 *
 * The first thread alone changes ports. Workers see them by one pointer to a table that never changes; who takes a port
 * out of it waits until every worker has begun another turn. */
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
#define CROSSING 100000 /* frames a second to and from the host by a twin, each */
#define NAME_SIZE 64
#define WHY_SIZE 256

/* Frames of the last second that crossed. */
struct crossing {
	uint64_t second;
	uint32_t frames;
};

/* A place where frames come in and leave. */
struct port {
	uint32_t index; /* of the interface that it stands for, as the kernel numbers it */
	uint16_t id;	/* DPDK's number */
	uint16_t rx_queues;
	uint16_t tx_queues;
	uint16_t place; /* in the table */
	bool up;
	bool receives;
	char name[NAME_SIZE];	/* of the interface */
	char device[NAME_SIZE]; /* DPDK's name */
	char bus[8];
	char *request;		/* that it was made by */
	struct port *twin; /* of a network card: the port to the host; of that one: the card's. Else none */
	bool to_host;
	rte_spinlock_t sending[MAX_QUEUES]; /* of queues that workers share */
	_Atomic uint64_t failed;	    /* frames that it did not take */
};

struct ports {
	unsigned int number;
	struct port *port[MAX_PORTS];
};

/* What one worker has. */
struct loop {
	unsigned int number;
	_Atomic uint64_t turns;
	unsigned int waiting[MAX_PORTS];
	struct rte_mbuf *frames[MAX_PORTS][BURST];
	struct sent counted[MAX_PORTS][BURST]; /* of these */
	uint64_t unsuitable; /* frames of several segments */
	uint64_t limited;    /* frames that did not cross, for others did */
	struct crossing crossings[MAX_PORTS];
	struct worker *worker; /* none where MAC addresses are exchanged */
	bool listens;	       /* what it leaves to the engine is heard */
} __rte_cache_aligned;

/* What the options say. */
struct options {
	const char *maps; /* their folder; none: MAC addresses are exchanged, to be measured */
	const char *control;
	unsigned int workers;
	unsigned int nap;   /* microseconds, 0: none */
	unsigned int frame; /* bytes of the largest */
};

struct forwarder {
	struct options options;
	_Atomic(struct ports *) ports;
	_Atomic bool stopping;
	_Atomic bool heard; /* an engine listens */
	struct rte_mempool *pool;
	struct rte_ring *slow; /* frames for the engine */
	int wake;	       /* eventfd: there are such */
	bool huge;
	struct loop loops[MAX_LOOPS];
};

extern struct forwarder forwarder;

/* What a request asks of a port. */
struct wanted {
	uint32_t index;
	const char *name;
	const char *device;    /* DPDK's name: net_af_packet7, 0000:01:00.0 */
	const char *arguments; /* behind it, or "" */
	const char *xsks;      /* where the map of AF_XDP sockets is pinned, or "" */
	unsigned int first;    /* place there of the first queue */
	const char *twin;      /* the interface by which frames come to the host, or "" */
	unsigned int queues;
	unsigned int mtu;
	bool receives;
	const char *request; /* its text */
};

/* ports.c. What returns false has put the reason into `why`. */
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
