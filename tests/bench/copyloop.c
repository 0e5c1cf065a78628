// SPDX-License-Identifier: GPL-2.0-or-later
/* The loop that the pcap driver's loop is compared with. It takes frames from a ring of packet(7) and sends them unchanged by
 * another socket, a batch in one call. It does not look at them. */
#define _GNU_SOURCE
#include <poll.h>
#include <stdint.h>
#include <sys/socket.h>

#include <linux/if_packet.h>

#define BATCH 64
#define VNET_LEN 10

void copy(int from, char *ring, uint32_t size, uint32_t slot, int to, const volatile int *ending)
{
	struct pollfd waited = {from, POLLIN, 0};
	struct mmsghdr messages[BATCH] = {0};
	struct tpacket2_hdr *taken[BATCH];
	struct iovec vectors[BATCH];
	uint32_t at = 0;

	while (!*ending) {
		unsigned number = 0;

		if (poll(&waited, 1, 50) <= 0)
			continue;
		for (; number < BATCH; number++) {
			struct tpacket2_hdr *frame = (void *)(ring + at);

			if (!(__atomic_load_n(&frame->tp_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER))
				break;
			vectors[number] = (struct iovec){(char *)frame + frame->tp_mac - VNET_LEN, VNET_LEN + frame->tp_len};
			messages[number].msg_hdr = (struct msghdr){.msg_iov = &vectors[number], .msg_iovlen = 1};
			taken[number] = frame;
			at = at + slot < size ? at + slot : 0;
		}
		for (unsigned sent = 0; sent < number;) {
			int done = sendmmsg(to, messages + sent, number - sent, MSG_DONTWAIT);

			sent += done > 0 ? done : 1;
		}
		for (unsigned n = 0; n < number; n++)
			__atomic_store_n(&taken[n]->tp_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
	}
}
