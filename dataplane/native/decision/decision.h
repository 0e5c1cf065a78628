/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The forwarding decision compiled for this processor: what whoever moves frames does with it.
 *
 *     struct maps *maps = maps_open("/run/avi-se/INSTANCE/v7");	the files that the engine writes
 *     struct worker *worker = worker_begin(maps, 0);			one a thread, by number
 *     for (;;) {
 *             worker_online(worker, nanoseconds);			before each burst
 *             for each frame of the burst {
 *                     struct frame frame = {start, length, headroom, tailroom, interface};
 *                     switch (decide(worker, &frame)) …
 *             }
 *             worker_offline(worker);					before it sleeps or waits for anything
 *     }
 *     worker_end(worker);
 *     maps_close(maps);
 *
 * The engine never waits for a lock of a worker's, nor a worker for one of the engine's: either may be killed at any
 * moment, and the other goes on. What the engine has taken away it uses again when every worker that is online has begun
 * another burst, or after a second.
 *
 * The source is dataplane/forwarding/program/dsr.c, the very one of the XDP program. */
#ifndef AVI_DECISION_H
#define AVI_DECISION_H

#include <stdint.h>

#define MAX_WORKERS 32

#pragma GCC visibility push(default)

struct maps;
struct worker;

/* A frame in memory, and after decide() the frame that leaves. It is contiguous; it begins with its destination MAC
 * address, and a VLAN tag stands in it. An L3 server takes up to 24 bytes of the headroom, an answer to a client 28.
 * Bytes may be cut from its end. Nothing beyond headroom and tailroom is read or written. */
struct frame {
	void *start;
	uint32_t length;
	uint32_t headroom;  /* bytes in front of it that may be written */
	uint32_t tailroom;  /* bytes behind it that may be written */
	uint32_t interface; /* index of the one that it came by; after SENT: of the one to send it by */
	uint32_t surplus;   /* bytes of IP packets that it stands for beyond its own, as offloads leave them: counted */
};

/* What becomes of a frame. */
enum verdict {
	HOSTS,	 /* the host's own: not looked at further, and not changed */
	DROPPED, /* counted */
	SENT,	 /* is to be sent by frame->interface */
	SLOW,	 /* user space cuts it up and sends it: slow_frame_of() with the frame's bytes, which are unchanged */
};

/* Opens the maps in a folder of the engine's. NULL: errno tells why; EPROTO: they are of another layout. */
struct maps *maps_open(const char *folder);
void maps_close(struct maps *maps);

/* How many workers the engine made counters for: numbers are below this one. */
unsigned maps_workers(const struct maps *maps);

/* A worker begins, offline. number: nobody else's of those that run on these maps; a number of one that was killed may be
 * used again, and its counters go on. listens: somebody takes SLOW frames; else they are dropped and counted. NULL: errno
 * tells why. */
struct worker *worker_begin(struct maps *maps, unsigned number, int listens);
void worker_end(struct worker *worker);

/* A burst begins. now: nanoseconds of CLOCK_MONOTONIC, which all its frames are taken to come at; 0: each asks the clock
 * where it needs it. */
void worker_online(struct worker *worker, uint64_t now);
void worker_offline(struct worker *worker);

enum verdict decide(struct worker *worker, struct frame *frame);

/* What the frame was counted by that was just SENT: asked before the worker's next decide(), by the same thread. With it,
 * a frame that could not be sent is taken out of its counters, and counted as transmit_failed. */
struct sent {
	void *service, *server; /* NULL: an answer, which has none */
	uint32_t bytes;
};
struct sent sent_counters(const struct worker *worker);
void not_sent(struct worker *worker, const struct sent *what);

/* struct slow_frame of dataplane/forwarding/program/layout.h, for user space (layout.read_slow): the last SLOW frame's. It
 * goes in front of the frame. */
#define SLOW_FRAME_SIZE 32
const void *slow_frame_of(const struct worker *worker);

/* For tests, and for what is decided one by one: a burst of one frame, which is copied from `sent` into a block that is as
 * large as frame says, and from there into `result`, which has as much room. Returns a verdict, or -1 for want of memory. */
int decide_copy(struct worker *worker, const void *sent, uint64_t now, struct frame *frame, void *result);

/* The hashes of sampled flows are below this one (handshakes.h). */
void worker_sample(struct worker *worker, uint32_t below);

#pragma GCC visibility pop

#endif
