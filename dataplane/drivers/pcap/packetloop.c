// SPDX-License-Identifier: GPL-2.0-or-later
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include <linux/if_packet.h>

#include "packetloop.h"

#define ETH_HLEN 14
#define MACS 12
#define TAG 4
#define ETH_P_8021Q 0x8100
#define NEEDS_CHECKSUM 1
#define UFO 3 /* VIRTIO_NET_HDR_GSO_UDP: the pieces are IP fragments */
#define UDP 17
#define TCP_HLEN 20
#define UDP_HLEN 8

/* A received frame. */
struct received {
	char *start;
	uint32_t length;
	uint32_t headroom;
	struct undone undone;
	uint32_t *slot; /* the status of its slot; NULL: it is not in the ring */
};

static uint16_t half(const char *at)
{
	uint16_t held;

	memcpy(&held, at, sizeof(held));
	return __builtin_bswap16(held);
}

static void put_half(char *at, uint16_t value)
{
	value = __builtin_bswap16(value);
	memcpy(at, &value, sizeof(value));
}

static void free_slot(uint32_t *slot)
{
	if (slot)
		__atomic_store_n(slot, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
}

/* Sends the waiting frames. Those that cannot be sent are counted as such. */
static void flush(struct loop *loop, struct port *port)
{
	uint32_t at = 0;

	while (at < port->waiting) {
		int sent = sendmmsg(port->file, port->messages + at, port->waiting - at, MSG_DONTWAIT);

		if (sent < 0 && errno != EINTR) {
			loop->not_sent(loop->worker, &port->counted[at]);
			sent = 1;
		}
		at += sent > 0 ? sent : 0;
	}
	for (at = 0; at < port->waiting; at++)
		free_slot(port->slots[at]);
	port->waiting = 0;
}

static struct port *port_of(const struct loop *loop, uint32_t interface)
{
	for (uint32_t at = 0; at < loop->number; at++)
		if (loop->ports[at]->interface == interface)
			return loop->ports[at];
	return 0;
}

/* Tells the receiver what it still has to do. Layer 4 begins `shorter` bytes sooner. */
static struct undone carried_on(const struct undone *left, uint32_t shorter)
{
	struct undone undone = *left;

	if (!(left->flags & NEEDS_CHECKSUM))
		return (struct undone){0};
	undone.flags = NEEDS_CHECKSUM;
	undone.headers = left->headers > shorter ? left->headers - shorter : 0;
	undone.start -= shorter;
	return undone;
}

/* Has a frame leave: together with others by the same port, or at once if it is not in the ring. */
static void leave(struct loop *loop, const struct frame *frame, const struct undone *undone, uint32_t *slot)
{
	struct sent counted = loop->sent_counters(loop->worker);
	struct port *port = port_of(loop, frame->interface);
	char *begin = (char *)frame->start - VNET_LEN;
	uint32_t at;

	if (!port) {
		loop->not_sent(loop->worker, &counted);
		free_slot(slot);
		return;
	}
	at = port->waiting++;
	memcpy(begin, undone, VNET_LEN);
	port->slots[at] = slot;
	port->counted[at] = counted;
	port->vectors[at] = (struct iovec){begin, VNET_LEN + frame->length};
	port->messages[at].msg_hdr.msg_iov = &port->vectors[at];
	port->messages[at].msg_hdr.msg_iovlen = 1;
	if (!slot || port->waiting == BATCH)
		flush(loop, port);
}

/* Finishes a checksum (RFC 1071) that holds only the pseudo header so far. */
static void fill_checksum(struct received *it)
{
	uint32_t begin = it->undone.start, at = begin + it->undone.offset, end = it->length;
	uint32_t ip = ETH_HLEN + (half(it->start + MACS) == ETH_P_8021Q ? TAG : 0);
	uint64_t sum = 0;

	if (at + 2 > end || begin < ip + 20)
		return;
	if (ip + half(it->start + ip + 2) < end) /* without the padding */
		end = ip + half(it->start + ip + 2);
	for (; begin + 2 <= end; begin += 2)
		sum += half(it->start + begin);
	if (begin < end)
		sum += (uint8_t)it->start[begin] << 8;
	while (sum >> 16)
		sum = (sum & 0xFFFF) + (sum >> 16);
	put_half(it->start + at, sum == 0xFFFF ? 0xFFFF : ~sum);
	it->undone = (struct undone){0};
}

/* The header fields of a large frame that are changed while its first packet is decided on. */
struct large {
	char *ip;
	uint16_t total, checksum, udp;
	uint32_t layer4, segment; /* bytes up to layer 4; bytes of the first packet */
};

/* Decides on a large frame by its first packet, if that one fits. Only the counters differ. */
static int shrink(struct received *it, struct large *large)
{
	uint32_t ip = ETH_HLEN + (half(it->start + MACS) == ETH_P_8021Q ? TAG : 0), header;
	uint32_t sum, total;
	char *at = it->start + ip;

	if (!it->undone.kind || it->undone.kind == UFO || it->length < ip + 20)
		return 0;
	large->ip = at;
	large->layer4 = (at[0] & 0x0F) * 4;
	large->total = total = half(at + 2);
	header = at[9] == UDP ? UDP_HLEN : TCP_HLEN;
	if ((at[0] & 0xF0) != 0x40 || large->layer4 < 20 || total > it->length - ip || total < large->layer4 + header)
		return 0;
	if (at[9] != UDP)
		header = ((uint8_t)at[large->layer4 + 12] >> 4) * 4;
	large->segment = large->layer4 + header + it->undone.size;
	if (large->segment >= total)
		return 0;
	large->checksum = half(at + 10);
	sum = (uint16_t)~large->checksum + (uint16_t)~total + large->segment; /* RFC 1624: a wrong sum stays wrong */
	sum = (sum & 0xFFFF) + (sum >> 16);
	sum = (sum & 0xFFFF) + (sum >> 16);
	put_half(at + 2, large->segment);
	put_half(at + 10, ~sum);
	if (at[9] == UDP) {
		large->udp = half(at + large->layer4 + 4);
		if (large->udp == total - large->layer4)
			put_half(at + large->layer4 + 4, large->segment - large->layer4);
	}
	return 1;
}

static void grow(struct frame *frame, const struct large *large)
{
	put_half(large->ip + 2, large->total);
	put_half(large->ip + 10, large->checksum);
	if (large->ip[9] == UDP)
		put_half(large->ip + large->layer4 + 4, large->udp);
	frame->length += large->total - large->segment;
}

static enum event hand_over(struct loop *loop, const struct received *it, char *at, uint32_t length, uint32_t interface,
			    enum event event)
{
	loop->handed = at;
	loop->length = length;
	loop->interface = interface;
	loop->undone = it->undone;
	return event;
}

/* Handles one frame. NOTHING: it is finished. */
static enum event forward(struct loop *loop, const struct port *port, struct received *it)
{
	uint32_t shorter = half(it->start + MACS) == ETH_P_8021Q && it->undone.start ? TAG : 0;
	struct frame frame = {it->start, it->length, it->headroom, 0, port->interface, 0};
	struct undone nothing = {0}, left;
	struct large large;
	int shrunk;

	if (it->undone.flags & NEEDS_CHECKSUM && __atomic_load_n(&loop->tunnels, __ATOMIC_RELAXED)) {
		if (it->undone.kind)
			return hand_over(loop, it, it->start, it->length, port->interface, UNFINISHED);
		fill_checksum(it);
	}
	shrunk = shrink(it, &large);
	if (shrunk) {
		frame.length = large.ip - it->start + large.segment;
		frame.surplus = large.total - large.segment;
	}
	switch (loop->decide(loop->worker, &frame)) {
	case SENT:
		if (shrunk)
			grow(&frame, &large);
		left = loop->sent_counters(loop->worker).server ? carried_on(&it->undone, shorter) : nothing;
		leave(loop, &frame, &left, it->slot);
		return NOTHING;
	case SLOW:
		memcpy(it->start - SLOW_FRAME_SIZE, loop->slow_frame_of(loop->worker), SLOW_FRAME_SIZE);
		return hand_over(loop, it, it->start - SLOW_FRAME_SIZE, SLOW_FRAME_SIZE + it->length, port->interface,
				 CUT_UP);
	default:
		free_slot(it->slot);
		return NOTHING;
	}
}

/* Puts back a tag that the kernel took off. The offsets of undone work count from the frame's beginning. */
static void put_tag(struct received *it, uint16_t tci, uint16_t tpid)
{
	memmove(it->start - TAG, it->start, MACS);
	it->start -= TAG;
	it->headroom -= TAG;
	it->length += TAG;
	put_half(it->start + MACS, tpid);
	put_half(it->start + MACS + 2, tci);
	if (it->undone.flags & NEEDS_CHECKSUM) {
		it->undone.start += TAG;
		it->undone.headers += it->undone.headers ? TAG : 0;
	}
}

/* Reads the frame that was too large for its slot. */
static enum event beside(struct loop *loop, struct port *port)
{
	char *begin = loop->space + SPARE;
	struct iovec vector = {begin, VNET_LEN + LARGEST - TAG};
	union {
		char room[64];
		struct cmsghdr aligned;
	} control;
	struct msghdr message = {
		.msg_iov = &vector, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
	ssize_t size = recvmsg(port->file, &message, MSG_DONTWAIT);
	struct received it;

	if (size < 0 && errno == ENETDOWN) /* the kernel reports this first, and once */
		size = recvmsg(port->file, &message, MSG_DONTWAIT);
	if (size < VNET_LEN + ETH_HLEN) {
		port->cut += size < 0;
		return NOTHING;
	}
	it = (struct received){begin + VNET_LEN, size - VNET_LEN, SPARE, {0}, 0};
	memcpy(&it.undone, begin, VNET_LEN);
	for (struct cmsghdr *one = CMSG_FIRSTHDR(&message); one; one = CMSG_NXTHDR(&message, one)) {
		struct tpacket_auxdata told;

		if (one->cmsg_level != SOL_PACKET || one->cmsg_type != PACKET_AUXDATA)
			continue;
		memcpy(&told, CMSG_DATA(one), sizeof(told));
		if (told.tp_status & TP_STATUS_VLAN_VALID)
			put_tag(&it, told.tp_vlan_tci,
				told.tp_status & TP_STATUS_VLAN_TPID_VALID ? told.tp_vlan_tpid : ETH_P_8021Q);
	}
	return forward(loop, port, &it);
}

/* Handles what a port has received, at most a batch. */
static enum event receive(struct loop *loop, struct port *port)
{
	for (int n = 0; n < BATCH; n++) {
		struct tpacket2_hdr *slot = (void *)(port->ring + port->at);
		uint32_t status = __atomic_load_n(&slot->tp_status, __ATOMIC_ACQUIRE);
		enum event event = NOTHING;

		if (!(status & TP_STATUS_USER))
			break;
		port->at = port->at + port->slot < port->size ? port->at + port->slot : 0;
		__builtin_prefetch(port->ring + port->at);
		__builtin_prefetch(port->ring + port->at + 64);
		if (status & TP_STATUS_COPY) {
			free_slot(&slot->tp_status);
			event = beside(loop, port);
		} else if (slot->tp_snaplen != slot->tp_len || slot->tp_len < ETH_HLEN) {
			port->cut += slot->tp_snaplen != slot->tp_len;
			free_slot(&slot->tp_status);
		} else {
			struct received it = {(char *)slot + slot->tp_mac, slot->tp_len,
					      slot->tp_mac - sizeof(*slot) - VNET_LEN, {0}, &slot->tp_status};

			memcpy(&it.undone, it.start - VNET_LEN, VNET_LEN);
			if (status & TP_STATUS_VLAN_VALID)
				put_tag(&it, slot->tp_vlan_tci,
					status & TP_STATUS_VLAN_TPID_VALID ? slot->tp_vlan_tpid : ETH_P_8021Q);
			event = forward(loop, port, &it);
			if (event != NOTHING)
				loop->held = it.slot;
		}
		if (event != NOTHING)
			return event;
	}
	return NOTHING;
}

/* The time of CLOCK_MONOTONIC in nanoseconds. */
static uint64_t now(void)
{
	struct timespec told;

	clock_gettime(CLOCK_MONOTONIC, &told);
	return told.tv_sec * 1000000000ull + told.tv_nsec;
}

/* Handles a batch from each port that poll(2) reported. */
static enum event turn(struct loop *loop, const struct pollfd *told)
{
	for (uint32_t n = 0; n < loop->number; n++) {
		uint32_t place = (loop->next + n) % loop->number;
		enum event event = NOTHING;

		if (told[place].revents & POLLERR) {
			loop->faulty = place;
			event = FAULT;
		} else if (told[place].revents) {
			event = receive(loop, loop->ports[place]);
		}
		for (uint32_t at = 0; at < loop->number; at++)
			if (loop->ports[at]->waiting)
				flush(loop, loop->ports[at]);
		if (event != NOTHING) {
			loop->next = place + 1;
			return event;
		}
	}
	return NOTHING;
}

uint32_t size_of_port(void)
{
	return sizeof(struct port);
}

uint32_t size_of_loop(void)
{
	return sizeof(struct loop);
}

enum event loop_run(struct loop *loop, int patience)
{
	uint64_t until = now() + patience * 1000000ull;
	struct pollfd waited[MAX_PORTS + 1];
	enum event event = NOTHING;

	free_slot(loop->held);
	loop->held = 0;
	for (uint32_t at = 0; at < loop->number; at++)
		waited[at] = (struct pollfd){loop->ports[at]->file, POLLIN, 0};
	waited[loop->number] = (struct pollfd){loop->wake, POLLIN, 0};
	while (event == NOTHING) {
		uint64_t at;

		if (poll(waited, loop->number + 1, patience) <= 0)
			return NOTHING;
		if (waited[loop->number].revents)
			return WOKEN;
		at = now();
		loop->worker_online(loop->worker, at);
		event = turn(loop, waited);
		loop->worker_offline(loop->worker);
		if (at > until)
			break;
	}
	return event;
}
