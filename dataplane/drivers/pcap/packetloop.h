/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Receives frames from packet sockets, decides on them and sends them, until there is something for Python to do.
 * nativemover.py has the same structures. */
#ifndef AVI_PACKETLOOP_H
#define AVI_PACKETLOOP_H

#include <stdint.h>
#include <sys/socket.h>

#include "../../native/decision/decision.h"

#define MAX_PORTS 1024
#define BATCH 64
#define VNET_LEN 10
#define LARGEST (14 + 4 + 0xFFFF) /* bytes of the largest frame: with a tag, and left whole by segmentation offload */
#define SPARE 64		  /* bytes in front of it */

/* struct virtio_net_hdr, in the machine's byte order. */
struct undone {
	uint8_t flags;
	uint8_t kind;	  /* kind of segmentation, 0: none */
	uint16_t headers; /* bytes in front of the data */
	uint16_t size;	  /* bytes of a piece's data */
	uint16_t start;	  /* where layer 4 begins */
	uint16_t offset;  /* place of the checksum in layer 4 */
};

/* A packet socket with its ring (packetsocket.py). */
struct port {
	int32_t file;
	uint32_t interface; /* its index */
	char *ring;
	uint32_t size, slot; /* bytes of the ring, and of a slot in it */
	uint32_t at;	     /* the slot that is next */
	uint32_t waiting;    /* frames that wait to be sent by it */
	uint64_t cut;	     /* frames larger than a slot that found no room outside the ring */
	uint32_t *slots[BATCH]; /* the status of each waiting frame's slot; NULL: it has none */
	struct sent counted[BATCH];
	struct iovec vectors[BATCH];
	struct mmsghdr messages[BATCH];
};

/* Why the loop returns. */
enum event {
	NOTHING,   /* the time is over */
	WOKEN,	   /* `wake` is readable */
	CUT_UP,	   /* `handed` has a struct slow_frame, followed by its frame */
	UNFINISHED, /* `handed` has a frame whose segmentation was left undone, and which may go into a tunnel */
	FAULT,	   /* the error of the socket `faulty` is to be read */
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
	uint32_t number;  /* how many ports there are */
	uint32_t tunnels; /* whether frames may go into a tunnel */
	uint32_t next;	  /* the port whose turn is next */
	uint32_t faulty;  /* the place of the port with a fault */
	uint32_t interface, length; /* of `handed`: the interface by which it came, and its bytes */
	struct undone undone;	    /* the work left undone in `handed` */
	char *handed;
	uint32_t *held; /* the status of the slot of `handed` */
	struct port *ports[MAX_PORTS];
	char space[SPARE + VNET_LEN + LARGEST]; /* for the frame that was too large for the ring */
};

#pragma GCC visibility push(default)

/* The sizes of the structures in bytes. */
uint32_t size_of_port(void);
uint32_t size_of_loop(void);

/* Handles frame after frame until an event. patience: milliseconds. The frame of the last event is no longer needed. */
enum event loop_run(struct loop *loop, int patience);

#pragma GCC visibility pop

#endif
