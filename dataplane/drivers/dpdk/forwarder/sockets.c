/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Adds what DPDK's drivers of Linux sockets leave out. It stands between them and the libraries that they call (ld's
 * --wrap):
 *
 * - net_af_packet also receives what the host sends, and receives fragments reassembled. Its sockets form a group. The
 *   group is told to leave out the host's frames, and to leave fragments as they are.
 * - net_af_xdp attaches a program that takes every frame. When it ends, it detaches whatever program is attached. The
 *   engine attaches its own program, which takes only frames for VIPs; the sockets go into that program's map. */
#include <errno.h>
#include <linux/if_packet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <xdp/xsk.h>

#include "forwarder.h"

#ifndef PACKET_FANOUT_FLAG_DEFRAG
#define PACKET_FANOUT_FLAG_DEFRAG 0x8000
#endif
#ifndef PACKET_FANOUT_FLAG_IGNORE_OUTGOING /* since Linux 5.10 */
#define PACKET_FANOUT_FLAG_IGNORE_OUTGOING 0x4000
#endif
#define FLAGS(type_flags) ((type_flags) << 16) /* their place in the option's value, see packet(7) */

/* For the port that is being made: the map, and its first queue's place in that map. */
static int xsks = -1;
static __u32 first_place;

int __real_setsockopt(int fd, int level, int name, const void *value, socklen_t size);
int __wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t size);
int __real_xsk_socket__create(struct xsk_socket **made, const char *interface, __u32 queue, struct xsk_umem *memory,
			      struct xsk_ring_cons *rx, struct xsk_ring_prod *tx, const struct xsk_socket_config *how);
int __wrap_xsk_socket__create(struct xsk_socket **made, const char *interface, __u32 queue, struct xsk_umem *memory,
			      struct xsk_ring_cons *rx, struct xsk_ring_prod *tx, const struct xsk_socket_config *how);
int __wrap_bpf_xdp_detach(int index, __u32 flags, const struct bpf_xdp_attach_opts *options);

/* Has the next port's sockets put into the map that is pinned there, side by side from a place on. "": into no map. */
bool sockets_steer_into(const char *pinned, unsigned int first, char *why)
{
	first_place = first;
	if (xsks >= 0)
		close(xsks);
	xsks = -1;
	if (!*pinned)
		return true;
	xsks = bpf_obj_get(pinned);
	if (xsks < 0)
		snprintf(why, WHY_SIZE, "%s: %s", pinned, strerror(errno));
	return xsks >= 0;
}

int __wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t size)
{
	int group;

	if (level != SOL_PACKET || name != PACKET_FANOUT || size != sizeof(group))
		return __real_setsockopt(fd, level, name, value, size);
	memcpy(&group, value, sizeof(group));
	group |= FLAGS(PACKET_FANOUT_FLAG_IGNORE_OUTGOING);
	group &= ~FLAGS(PACKET_FANOUT_FLAG_DEFRAG);
	return __real_setsockopt(fd, level, name, &group, size);
}

int __wrap_xsk_socket__create(struct xsk_socket **made, const char *interface, __u32 queue, struct xsk_umem *memory,
			      struct xsk_ring_cons *rx, struct xsk_ring_prod *tx, const struct xsk_socket_config *how)
{
	struct xsk_socket_config own = *how;
	__u32 place = first_place + queue;
	int fd, failed;

	if (xsks < 0)
		return -EINVAL;
	own.libxdp_flags |= XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD;
	failed = __real_xsk_socket__create(made, interface, queue, memory, rx, tx, &own);
	if (failed)
		return failed;
	fd = xsk_socket__fd(*made);
	if (bpf_map_update_elem(xsks, &place, &fd, BPF_ANY)) {
		failed = -errno;
		xsk_socket__delete(*made);
	}
	return failed;
}

int __wrap_bpf_xdp_detach(int index, __u32 flags, const struct bpf_xdp_attach_opts *options)
{
	(void)index;
	(void)flags;
	(void)options;
	return 0;
}
