/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ends of a measurement: a generator of frames, a bare redirect to compare with, a counting sink, and a program that
 * runs another one on the same frame again and again. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define FRAME 60
#define TUNNEL 20
#define CLASSES 4
#define PORTS 65536
#define PROCESSORS 64
#define AT_ONCE 1000
#define SEGMENTS 10
#define DELAYS 16384
#define DELAY_STEP 32
#define IPIP 4
#define WAITS (1 << 20)
#define SYN 0x02
#define ACK 0x10

/* Places in a frame: the IP checksum, the last words of source and destination address, the source port, the last byte of
 * the TCP sequence number or the UDP checksum, the TCP flags; the protocol; and, in UDP's data, when the frame was made. */
#define CHECKSUM 24
#define SOURCE 28
#define DESTINATION 32
#define PORT 34
#define CLASS 41
#define FLAGS 47
#define PROTOCOL 23
#define MADE 44

#define swapped(word) ((__u16)__builtin_bswap16(word))

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u32);
} ports SEC(".maps");

/* How many frames arrived, by class and by the last byte of the destination MAC address. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, CLASSES * 256);
	__type(key, __u32);
	__type(value, __u64);
} arrived SEC(".maps");

/* When the next batch of frames is due, the nanoseconds between two batches, how many frames were made, and the frames of a
 * batch. */
struct pace {
	__u64 due, interval, made, batch;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct pace);
} pace SEC(".maps");

/* How many frames took how long since they were made, in steps. The last step counts all that took longer. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, DELAYS);
	__type(key, __u32);
	__type(value, __u64);
} delays SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 5);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} programs SEC(".maps");

/* frame: goes to the first service, from port 0 of the first source. sum: over its IP header without the checksum and the
 * three words that change. A flow is a number, from which port, source and service follow. services: how many VIPs, side by
 * side. random: flows are drawn; else one follows the other, from `next` on. whole: AT_ONCE flows of TCP at a time, a SYN of
 * each, then ACKs. */
struct {
	__u32 frame[16];
	__u32 flows;
	__u32 services;
	__u32 sum;
	__u32 random;
	__u32 next;
	__u32 whole;
	__u32 which;
} sent SEC(".data");

/* The last random number of each processor, in a cache line of its own. */
struct {
	__u32 number;
	__u32 unused[15];
} drawn[PROCESSORS];

/* A linear congruential generator (Knuth's and Lewis' constants), whose upper bits are good. The kernel's random numbers
 * take 6 ns each: a third of what the program under test takes more than the bare one. */
static __always_inline __u32 any_number(void)
{
	__u32 *number = &drawn[bpf_get_smp_processor_id() % PROCESSORS].number;

	*number = *number * 1664525 + 1013904223;
	return *number;
}

/* The flow of the next frame, if flows are whole. Puts the TCP flags into the frame. */
static __always_inline __u32 whole_flow(void *frame)
{
	__u32 number = sent.next++, round = number / AT_ONCE;

	*(__u8 *)(frame + FLAGS) = round % SEGMENTS ? ACK : SYN;
	return (round / SEGMENTS * AT_ONCE + number % AT_ONCE) % sent.flows;
}

/* A page begins as `frame`. It is recycled with the changes of the last program, and its data begins at the first byte
 * again. Anything in the Ethernet header may have changed; in the IP header, only the words that differ by flow. This is
 * short: each nanosecond here is added to every program, and hides the differences between them. */
static __always_inline int generated(struct xdp_md *ctx)
{
	__u32 *words = (void *)(long)ctx->data;
	__u32 flow, sum;
	__u16 source, destination;

	if ((void *)words + FRAME > (void *)(long)ctx->data_end)
		return XDP_DROP;
	words[0] = sent.frame[0];
	words[1] = sent.frame[1];
	words[2] = sent.frame[2];
	words[3] = sent.frame[3];
	if (sent.random)
		flow = (__u64)any_number() * sent.flows >> 32;
	else
		flow = sent.whole ? whole_flow(words) : sent.next++ % sent.flows;
	*(__u16 *)((void *)words + PORT) = flow;
	if (sent.flows > PORTS || sent.services > 1) {
		source = swapped(flow >> 16);
		destination = sent.services > 1 ? swapped(flow % sent.services) : 0;
		sum = sent.sum + source + destination;
		sum = (sum & 0xFFFF) + (sum >> 16);
		sum = (sum & 0xFFFF) + (sum >> 16);
		*(__u16 *)((void *)words + CHECKSUM) = ~sum;
		*(__u16 *)((void *)words + SOURCE) = source;
		*(__u16 *)((void *)words + DESTINATION) = destination;
	}
	return bpf_redirect_map(&ports, 0, XDP_DROP);
}

SEC("xdp.frags") int generate(struct xdp_md *ctx)
{
	return generated(ctx);
}

static long until_due(__u32 turn, __u64 *due)
{
	return bpf_ktime_get_ns() >= *due;
}

/* The same, but a batch at a time when it is due, and each frame holds the time at which it is made. A late batch is not
 * made up for. */
SEC("xdp.frags") int paced(struct xdp_md *ctx)
{
	int action = generated(ctx);
	__u8 *bytes = (void *)(long)ctx->data;
	__u32 only = 0;
	struct pace *held = bpf_map_lookup_elem(&pace, &only);
	__u64 due;

	if (!held || bytes + FRAME > (__u8 *)(long)ctx->data_end)
		return XDP_DROP;
	if (held->batch && held->made++ % held->batch == 0) {
		due = held->due;
		bpf_loop(WAITS, until_due, &due, 0);
		due = bpf_ktime_get_ns();
		held->due = (due - held->due < held->interval ? held->due : due) + held->interval;
	}
	*(__u64 *)(bytes + MADE) = bpf_ktime_get_ns();
	return action;
}

/* A sink that measures how long each frame took. */
SEC("xdp.frags") int timed(struct xdp_md *ctx)
{
	__u8 *bytes = (void *)(long)ctx->data;
	__u32 tunnel, key;
	__u64 took, *number;

	if (bytes + FRAME > (__u8 *)(long)ctx->data_end)
		return XDP_DROP;
	tunnel = bytes[PROTOCOL] == IPIP ? TUNNEL : 0;
	bytes += tunnel;
	if (bytes + FRAME > (__u8 *)(long)ctx->data_end)
		return XDP_DROP;
	took = (bpf_ktime_get_ns() - *(__u64 *)(bytes + MADE)) / DELAY_STEP;
	key = took < DELAYS ? took : DELAYS - 1;
	number = bpf_map_lookup_elem(&delays, &key);
	if (number)
		(*number)++;
	return XDP_DROP;
}

SEC("xdp.frags") int bare_redirect(struct xdp_md *ctx)
{
	return bpf_redirect_map(&ports, 1, XDP_DROP);
}

SEC("xdp.frags") int count(struct xdp_md *ctx)
{
	__u8 *bytes = (void *)(long)ctx->data;
	__u64 *number;
	__u32 key;

	if (bytes + FRAME > (__u8 *)(long)ctx->data_end)
		return XDP_DROP;
	key = bytes[CLASS] % CLASSES << 8 | bytes[5];
	number = bpf_map_lookup_elem(&arrived, &key);
	if (number)
		(*number)++;
	return XDP_DROP;
}

/* Restores the frame after the last run, then runs the wanted program. */
SEC("xdp.frags") int again(struct xdp_md *ctx)
{
	__u32 *words = (void *)(long)ctx->data;

	if ((void *)(long)ctx->data_end - (void *)words > FRAME + 4 && bpf_xdp_adjust_head(ctx, TUNNEL))
		return XDP_ABORTED;
	words = (void *)(long)ctx->data;
	if ((void *)words + FRAME > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	words[0] = sent.frame[0];
	words[1] = sent.frame[1];
	words[2] = sent.frame[2];
	*(__u16 *)(words + 3) = sent.frame[3];
	bpf_tail_call(ctx, &programs, sent.which);
	return XDP_ABORTED;
}

SEC("xdp.frags") int empty(struct xdp_md *ctx)
{
	return XDP_TX;
}

SEC("xdp.frags") int grow(struct xdp_md *ctx)
{
	return bpf_xdp_adjust_head(ctx, -TUNNEL) ? XDP_ABORTED : XDP_TX;
}

SEC("xdp.frags") int grow_twice(struct xdp_md *ctx)
{
	if (bpf_xdp_adjust_head(ctx, -TUNNEL) || bpf_xdp_adjust_head(ctx, TUNNEL))
		return XDP_ABORTED;
	return bpf_xdp_adjust_head(ctx, -TUNNEL) ? XDP_ABORTED : XDP_TX;
}

char _license[] SEC("license") = "GPL";
