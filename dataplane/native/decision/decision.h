/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The forwarding decision, compiled for this processor. A program that moves frames uses it like this:
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
 * The engine never waits for a worker's lock, and no worker waits for the engine's. Either may be killed at any moment,
 * and the other goes on. The engine uses memory that it took away again when every online worker has begun another burst,
 * or after a second.
 *
 * The source is dataplane/forwarding/program/dsr.c, the same as that of the XDP program. */
#ifndef AVI_DECISION_H
#define AVI_DECISION_H

#include <stdint.h>

#define MAX_WORKERS 32

#pragma GCC visibility push(default)

struct maps;
struct worker;

/* A frame in memory. After decide() it is the frame that leaves. It is contiguous, begins with its destination MAC address,
 * and has its VLAN tag in it. A tunnel takes up to 24 bytes of the headroom, an answer to a client 28. Bytes may be cut
 * from its end. Nothing beyond headroom and tailroom is read or written. */
struct frame {
	void *start;
	uint32_t length;
	uint32_t headroom;  /* bytes in front of it that may be written */
	uint32_t tailroom;  /* bytes behind it that may be written */
	uint32_t interface; /* index of the one by which it came; after SENT: of the one by which to send it */
	uint32_t surplus;   /* further bytes of the IP packets that offloads merged into it: only counted */
};

/* What becomes of a frame. */
enum verdict {
	HOSTS,	 /* it belongs to the host, and was not changed */
	DROPPED, /* counted */
	SENT,	 /* it is to be sent by frame->interface */
	SLOW,	 /* user space fragments and sends it: give it slow_frame_of() and the frame's bytes, which are unchanged */
};

/* Opens the maps in one of the engine's folders. NULL: errno tells why; EPROTO: they have another layout. */
struct maps *maps_open(const char *folder);
void maps_close(struct maps *maps);

/* How many workers the engine made counters for. The numbers of workers are below this. */
unsigned maps_workers(const struct maps *maps);

/* Begins a worker, which is offline at first. number: no other running worker on these maps may have it. The number of a
 * killed worker may be used again, and its counters go on. listens: somebody takes SLOW frames; else they are dropped and
 * counted. NULL: errno tells why. */
struct worker *worker_begin(struct maps *maps, unsigned number, int listens);
void worker_end(struct worker *worker);

/* Begins a burst. now: the time of all its frames, in nanoseconds of CLOCK_MONOTONIC. 0: the clock is read for each frame
 * that needs the time. */
void worker_online(struct worker *worker, uint64_t now);
void worker_offline(struct worker *worker);

enum verdict decide(struct worker *worker, struct frame *frame);

/* The counters of the frame that was just SENT. The same thread asks for them before the worker's next decide(). With them,
 * a frame that could not be sent is taken out of its counters and counted as transmit_failed. */
struct sent {
	void *service, *server; /* NULL: the frame is an answer, which has no counters */
	uint32_t bytes;
};
struct sent sent_counters(const struct worker *worker);
void not_sent(struct worker *worker, const struct sent *what);

/* The struct slow_frame (dataplane/forwarding/program/layout.h) of the last SLOW frame. It goes to user space in front of
 * the frame (layout.read_slow). */
#define SLOW_FRAME_SIZE 32
const void *slow_frame_of(const struct worker *worker);

/* A burst of one frame, for tests and for frames that are decided on one by one. The frame is copied from `sent` into a
 * block that is as large as `frame` says, and from there into `result`, which has as much room. Returns a verdict, or -1
 * if there is no memory. */
int decide_copy(struct worker *worker, const void *sent, uint64_t now, struct frame *frame, void *result);

/* A flow is sampled if its hash is below this (handshakes.h). */
void worker_sample(struct worker *worker, uint32_t below);

#pragma GCC visibility pop

#endif
