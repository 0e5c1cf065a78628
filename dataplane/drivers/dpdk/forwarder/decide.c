/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Decides on one frame by the native decision, on the engine's maps. Without maps it exchanges the MAC addresses: this
 * shows what a bare DPDK loop costs. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <rte_ether.h>

#include "forwarder.h"
#include "slow.h"

static struct maps *maps;

bool decide_open(const struct options *options, char *why)
{
	if (!options->maps)
		return true;
	maps = maps_open(options->maps);
	if (!maps)
		snprintf(why, WHY_SIZE, "%s: %s", options->maps, strerror(errno));
	else if (maps_workers(maps) < options->workers)
		snprintf(why, WHY_SIZE, "%s has counters for %u workers", options->maps, maps_workers(maps));
	else
		return true;
	return false;
}

bool decide_begin(struct loop *loop, char *why)
{
	if (!maps)
		return true;
	loop->listens = atomic_load(&forwarder.heard);
	loop->worker = worker_begin(maps, loop->number, loop->listens);
	if (!loop->worker)
		snprintf(why, WHY_SIZE, "worker %u cannot begin: %s", loop->number, strerror(errno));
	return loop->worker != NULL;
}

/* Frames have come: a burst begins. */
void decide_burst(struct loop *loop)
{
	struct timespec now;

	if (!loop->worker)
		return;
	clock_gettime(CLOCK_MONOTONIC, &now);
	worker_online(loop->worker, now.tv_sec * 1000000000ull + now.tv_nsec);
}

/* All frames are decided on, and those that leave have left. */
void decide_rest(struct loop *loop)
{
	char why[WHY_SIZE];

	if (!loop->worker)
		return;
	worker_offline(loop->worker);
	if (unlikely(loop->listens != atomic_load_explicit(&forwarder.heard, memory_order_relaxed))) {
		worker_end(loop->worker);
		if (!decide_begin(loop, why))
			rte_exit(EXIT_FAILURE, "forwarder: %s\n", why);
	}
}

static enum verdict exchanged(struct port *in, struct rte_mbuf *mbuf, uint32_t *out)
{
	struct rte_ether_hdr *ether = rte_pktmbuf_mtod(mbuf, struct rte_ether_hdr *);
	struct rte_ether_addr own = ether->dst_addr;

	*out = in->index;
	ether->dst_addr = ether->src_addr;
	ether->src_addr = own;
	return SENT;
}

/* out: for a frame that leaves, the index of its interface. */
enum verdict decide_frame(struct loop *loop, struct port *in, struct rte_mbuf *mbuf, uint32_t *out)
{
	struct frame frame = {
		.start = rte_pktmbuf_mtod(mbuf, void *),
		.length = mbuf->data_len,
		.headroom = mbuf->data_off,
		.tailroom = mbuf->buf_len - mbuf->data_off - mbuf->data_len,
		.interface = in->index,
	};
	enum verdict verdict;

	if (!loop->worker)
		return exchanged(in, mbuf, out);
	verdict = decide(loop->worker, &frame);
	if (likely(verdict == SENT)) {
		mbuf->data_off = (char *)frame.start - (char *)mbuf->buf_addr;
		mbuf->data_len = mbuf->pkt_len = frame.length;
		*out = frame.interface;
	} else if (verdict == SLOW &&
		   !slow_hand_over(slow_frame_of(loop->worker), SLOW_FRAME_SIZE, frame.start, frame.length)) {
		atomic_fetch_add_explicit(&in->failed, 1, memory_order_relaxed);
	}
	return verdict;
}

void decide_end(struct loop *loop)
{
	if (loop->worker)
		worker_end(loop->worker);
}

void decide_close(void)
{
	if (maps)
		maps_close(maps);
}
