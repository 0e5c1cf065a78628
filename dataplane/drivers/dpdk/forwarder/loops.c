/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A worker's loop: it receives from its queues, decides, and sends, burst by burst. All waiting frames are sent before the
 * turn is over, so that none waits for a port that is removed. */
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_ether.h>
#include <rte_prefetch.h>

#include "forwarder.h"

#define NOTHING ((struct sent){0})
#define IDLE_TURNS 64 /* so many turns without a frame, then naps begin */

/* Sends the frames that wait for a port. Frames that it does not take are lost, and counted as lost. */
static void flush(struct loop *loop, struct port *port)
{
	struct rte_mbuf **frames = loop->frames[port->place];
	unsigned int number = loop->waiting[port->place], queue = loop->number % port->tx_queues, sent;
	bool shared = port->tx_queues < forwarder.options.workers;

	if (!number)
		return;
	if (shared)
		rte_spinlock_lock(&port->sending[queue]);
	sent = rte_eth_tx_burst(port->id, queue, frames, number);
	if (shared)
		rte_spinlock_unlock(&port->sending[queue]);
	if (unlikely(sent < number)) {
		for (unsigned int at = sent; loop->worker && at < number; at++)
			not_sent(loop->worker, &loop->counted[port->place][at]);
		rte_pktmbuf_free_bulk(frames + sent, number - sent);
		atomic_fetch_add_explicit(&port->failed, number - sent, memory_order_relaxed);
	}
	loop->waiting[port->place] = 0;
}

static inline void send_by(struct loop *loop, struct port *port, struct rte_mbuf *frame, struct sent counted)
{
	unsigned int at = loop->waiting[port->place]++;

	loop->frames[port->place][at] = frame;
	loop->counted[port->place][at] = counted;
	if (loop->waiting[port->place] == BURST)
		flush(loop, port);
}

/* Hands a frame to the other side of a twin, unless too many crossed in this second. */
static void cross(struct loop *loop, struct port *port, struct rte_mbuf *frame, uint64_t second)
{
	struct crossing *crossing = &loop->crossings[port->place];

	if (crossing->second != second)
		*crossing = (struct crossing){second, 0};
	if (crossing->frames++ >= CROSSING / forwarder.options.workers) {
		loop->limited++;
		rte_pktmbuf_free(frame);
		return;
	}
	send_by(loop, port->twin, frame, NOTHING);
}

/* Makes a frame whole: puts the tag back that the kernel or the card took off. */
static inline bool suitable(struct loop *loop, struct rte_mbuf **frame)
{
	if (unlikely((*frame)->nb_segs > 1)) {
		loop->unsuitable++;
		return false;
	}
	if (unlikely((*frame)->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED)) {
		(*frame)->ol_flags &= ~(RTE_MBUF_F_RX_VLAN_STRIPPED | RTE_MBUF_F_RX_VLAN);
		return rte_vlan_insert(frame) == 0;
	}
	return true;
}

static void handle(struct loop *loop, const struct ports *ports, struct port *in, struct rte_mbuf *frame,
		   uint64_t second)
{
	uint32_t index = in->index;
	struct port *out = in;
	struct sent counted;

	if (!suitable(loop, &frame)) {
		rte_pktmbuf_free(frame);
		return;
	}
	if (in->to_host) {
		cross(loop, in, frame, second);
		return;
	}
	switch (decide_frame(loop, in, frame, &index)) {
	case SENT:
		counted = loop->worker ? sent_counters(loop->worker) : NOTHING;
		if (index != in->index)
			out = port_of(ports, index);
		if (likely(out != NULL)) {
			send_by(loop, out, frame, counted);
			return;
		}
		if (loop->worker)
			not_sent(loop->worker, &counted);
		atomic_fetch_add_explicit(&in->failed, 1, memory_order_relaxed);
		break;
	case HOSTS:
		if (in->twin) {
			cross(loop, in, frame, second);
			return;
		}
		break;
	case DROPPED:
	case SLOW:
		break;
	}
	rte_pktmbuf_free(frame);
}

static unsigned int receive(struct loop *loop, const struct ports *ports, struct port *in, unsigned int queue)
{
	struct rte_mbuf *frames[BURST];
	unsigned int number = rte_eth_rx_burst(in->id, queue, frames, BURST);
	uint64_t second = 0;

	if (!number)
		return 0;
	decide_burst(loop);
	if (in->twin)
		second = rte_get_timer_cycles() / rte_get_timer_hz();
	for (unsigned int at = 0; at < number && at < 4; at++)
		rte_prefetch0(rte_pktmbuf_mtod(frames[at], void *));
	for (unsigned int at = 0; at < number; at++) {
		if (at + 4 < number)
			rte_prefetch0(rte_pktmbuf_mtod(frames[at + 4], void *));
		handle(loop, ports, in, frames[at], second);
	}
	for (unsigned int at = 0; at < ports->number; at++)
		flush(loop, ports->port[at]);
	return number;
}

/* Runs on a core of its own, until the forwarder stops. loop: a struct loop. */
int work(void *loop)
{
	struct loop *me = loop;
	unsigned int idle = 0;

	while (!atomic_load_explicit(&forwarder.stopping, memory_order_relaxed)) {
		const struct ports *ports = atomic_load_explicit(&forwarder.ports, memory_order_acquire);
		unsigned int received = 0;

		for (unsigned int at = 0; at < ports->number; at++) {
			struct port *port = ports->port[at];

			for (unsigned int queue = 0; queue < port->rx_queues; queue++)
				if (port->receives && (queue + at) % forwarder.options.workers == me->number)
					received += receive(me, ports, port, queue);
		}
		if (received)
			decide_rest(me);
		atomic_fetch_add_explicit(&me->turns, 1, memory_order_release);
		idle = received ? 0 : idle + 1;
		if (idle > IDLE_TURNS && forwarder.options.nap)
			usleep(forwarder.options.nap);
	}
	decide_end(me);
	return 0;
}
