/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Packet sockets' frames received, decided on and sent, until there is something that Python does (nativemover.py has the
 * same structures). */
#ifndef AVI_PACKETLOOP_H
#define AVI_PACKETLOOP_H

#include <stdint.h>
#include <sys/socket.h>

#include "../../native/decision/decision.h"

#define MAX_PORTS 1024
#define BATCH 64
#define VNET_LEN 10
#define LARGEST (14 + 4 + 0xFFFF) /* bytes of a frame: one that segmentation offload left whole, with a tag */
#define SPARE 64		  /* bytes in front of it */

/* struct virtio_net_hdr, in the machine's byte order. */
struct undone {
	uint8_t flags;
	uint8_t kind;	  /* of segmentation, 0: none */
	uint16_t headers; /* bytes in front of the data */
	uint16_t size;	  /* of a piece's data */
	uint16_t start;	  /* where layer 4 begins */
	uint16_t offset;  /* of the checksum in layer 4 */
};

/* A packet socket with its ring (packetsocket.py). */
struct port {
	int32_t file;
	uint32_t interface; /* its index */
	char *ring;
	uint32_t size, slot; /* bytes of the ring, and of a slot in it */
	uint32_t at;	     /* the slot that is next */
	uint32_t waiting;    /* frames that are to be sent by it */
	uint64_t cut;	     /* frames larger than a slot that found no room beside the ring */
	uint32_t *slots[BATCH]; /* the status of the slot that a waiting frame stands in; NULL: in none */
	struct sent counted[BATCH];
	struct iovec vectors[BATCH];
	struct mmsghdr messages[BATCH];
};

/* What the loop returns with. */
enum event {
	NOTHING,   /* the time is over */
	WOKEN,	   /* `wake` is readable */
	CUT_UP,	   /* a frame in `handed`, behind its struct slow_frame */
	UNFINISHED, /* a frame in `handed` whose segmentation was left undone and which may go into a tunnel */
	FAULT,	   /* a socket's error is to be read: that of `faulty` */
};

struct loop {
	struct worker *worker;
	enum verdict (*decide)(struct worker *worker, struct frame *frame);
	void (*worker_online)(struct worker *worker, uint64_t now);
	void (*worker_offline)(struct worker *worker);
	struct sent (*sent_counters)(const struct worker *worker);
	void (*not_sent)(struct worker *worker, const struct sent *what);
	const void *(*slow_frame_of)(const struct worker *worker);
	int32_t wake;
	uint32_t number;  /* of ports */
	uint32_t tunnels; /* whether frames may go into one */
	uint32_t next;	  /* the port that has its turn */
	uint32_t faulty;  /* place of a port */
	uint32_t interface, length; /* of `handed`: that it came by, and bytes */
	struct undone undone;	    /* of `handed` */
	char *handed;
	uint32_t *held; /* the status of the slot that it stands in */
	struct port *ports[MAX_PORTS];
	char space[SPARE + VNET_LEN + LARGEST]; /* of the frame that came beside the ring */
};

#pragma GCC visibility push(default)

/* Bytes of the structures. */
uint32_t size_of_port(void);
uint32_t size_of_loop(void);

/* One after the other until an event. patience: milliseconds. The frame of the last event is done with. */
enum event loop_run(struct loop *loop, int patience);

#pragma GCC visibility pop

#endif
