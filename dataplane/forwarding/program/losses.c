/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Counts the frames that network drivers lose after a program's verdict, for each interface by which they were to leave.
 *
 * The kernel's XDP tracepoints report them (include/trace/events/xdp.h). Frames that leave cost one comparison a batch.
 * The tracepoints report frames of every network namespace. Only interfaces of `netns` that have an entry are counted. */
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#define MAX_INTERFACES 1024

/* The fields of the kernel's structures that are read here. BTF tells where they are. */
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct ns_common {
	unsigned int inum;
};

struct net {
	struct ns_common ns;
};

typedef struct {
	struct net *net;
} possible_net_t;

struct net_device {
	int ifindex;
	possible_net_t nd_net;
};

struct bpf_dtab_netdev {
	struct net_device *dev;
};
#pragma clang attribute pop

/* What is counted of an interface. */
struct sending {
	__u64 lost;
	__u64 sent;  /* frames that left while `testing` */
	__s64 error; /* of the last loss, -errno; 0: none was told */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, MAX_INTERFACES);
	__type(key, __u32);
	__type(value, struct sending);
} sendings SEC(".maps");

struct watched {
	__u32 netns;   /* inode of the namespace of the interfaces */
	__u32 testing; /* frames that leave are counted too */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct watched);
} watching SEC(".maps");

static __always_inline int is_testing(void)
{
	const __u32 first = 0;
	const struct watched *what = bpf_map_lookup_elem(&watching, &first);

	return what && what->testing;
}

/* Whether the interface is in the namespace that is watched. */
static __always_inline int is_watched(const struct net_device *dev)
{
	const __u32 first = 0;
	const struct watched *what = bpf_map_lookup_elem(&watching, &first);

	return dev && what && BPF_CORE_READ(dev, nd_net.net, ns.inum) == what->netns;
}

static __always_inline void add(__u32 index, int lost, int sent, int error)
{
	struct sending *of = bpf_map_lookup_elem(&sendings, &index);

	if (!of)
		return;
	if (lost > 0) {
		of->lost += lost;
		of->error = error;
	}
	if (sent > 0)
		of->sent += sent;
}

static __always_inline void count(const struct net_device *dev, int lost, int sent, int error)
{
	if (is_watched(dev))
		add(BPF_CORE_READ(dev, ifindex), lost, sent, error);
}

static __always_inline const struct net_device *device(__u64 argument)
{
	return (const struct net_device *)argument;
}

/* XDP_TX of a veth. Arguments: the interface, frames sent, frames lost, the error. */
SEC("tp_btf/xdp_bulk_tx")
int bulk_tx(__u64 *arguments)
{
	int lost = arguments[2], error = arguments[3];

	if (lost > 0)
		count(device(arguments[0]), lost, 0, error);
	return 0;
}

/* XDP_TX of network drivers that report each frame. Arguments: the interface, the program, its verdict. */
SEC("tp_btf/xdp_exception")
int exception(__u64 *arguments)
{
	if ((__u32)arguments[2] == XDP_TX)
		count(device(arguments[0]), 1, 0, 0);
	return 0;
}

/* A redirect that no interface takes. Arguments: the interface by which the frame came, the program, the map's entry, the
 * error, the map's type and id, and the key. Without a map, the key is the interface by which to leave. */
SEC("tp_btf/xdp_redirect_err")
int redirect_err(__u64 *arguments)
{
	const struct net_device *came_by = device(arguments[0]);
	const struct bpf_dtab_netdev *entry = (const void *)arguments[2];
	int error = arguments[3], type = arguments[4];

	if (type == BPF_MAP_TYPE_DEVMAP || type == BPF_MAP_TYPE_DEVMAP_HASH)
		count(entry ? BPF_CORE_READ(entry, dev) : came_by, 1, 0, error);
	else if (is_watched(came_by))
		add(arguments[6], 1, 0, error);
	return 0;
}

/* A batch of redirected frames that the network driver was given. Arguments: the interface by which they came, the one by
 * which they leave, frames sent, frames lost, the error. */
SEC("tp_btf/xdp_devmap_xmit")
int devmap_xmit(__u64 *arguments)
{
	int sent = arguments[2], lost = arguments[3], error = arguments[4];

	if (lost > 0 || is_testing())
		count(device(arguments[1]), lost, sent, error);
	return 0;
}

char _license[] SEC("license") = "GPL";
