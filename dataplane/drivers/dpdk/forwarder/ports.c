/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Ports: DPDK's devices, made and removed while workers run. A network card that is taken from the kernel as a whole makes
 * two ports: the card, and the far end of a veth through which the host gets its frames. */
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_bus_vdev.h>
#include <rte_dev.h>
#include <rte_errno.h>

#include "forwarder.h"

#define DESCRIPTORS 1024
#define SLOT_HEAD 128 /* bytes in front of a frame in a packet socket's ring */

struct port *port_of(const struct ports *ports, uint32_t index)
{
	for (unsigned int at = 0; at < ports->number; at++)
		if (ports->port[at]->index == index && !ports->port[at]->to_host)
			return ports->port[at];
	return NULL;
}

/* Gives workers another table, and waits until none uses the former one. */
static void publish(struct ports *ports)
{
	struct ports *former = atomic_exchange(&forwarder.ports, ports);

	for (unsigned int at = 0; at < forwarder.options.workers; at++) {
		uint64_t before = atomic_load(&forwarder.loops[at].turns);

		while (atomic_load(&forwarder.loops[at].turns) < before + 2 && !atomic_load(&forwarder.stopping))
			usleep(50);
	}
	free(former);
}

static struct ports *copied(void)
{
	struct ports *made = malloc(sizeof(*made));

	if (made)
		*made = *atomic_load(&forwarder.ports);
	return made;
}

static uint16_t free_place(const struct ports *ports)
{
	for (uint16_t place = 0; place < MAX_PORTS; place++) {
		bool taken = false;

		for (unsigned int at = 0; at < ports->number; at++)
			taken |= ports->port[at]->place == place;
		if (!taken)
			return place;
	}
	return MAX_PORTS;
}

bool port_link_changed(struct port *port)
{
	struct rte_eth_link link = {0};
	bool up;

	if (rte_eth_link_get_nowait(port->id, &link))
		return false;
	up = link.link_status == RTE_ETH_LINK_UP;
	if (up == port->up)
		return false;
	port->up = up;
	return true;
}

static bool is_virtual(const char *device)
{
	return strncmp(device, "net_", 4) == 0;
}

static uint16_t at_most(unsigned int wanted, unsigned int most)
{
	return RTE_MIN(RTE_MIN(wanted, most), MAX_QUEUES);
}

/* Sets up queues, and all else that a device needs before it starts. */
static bool configure(struct port *port, unsigned int queues, unsigned int mtu, char *why)
{
	struct rte_eth_conf how = {0};
	struct rte_eth_dev_info info;
	uint16_t received = DESCRIPTORS, sent = DESCRIPTORS;
	int failed = rte_eth_dev_info_get(port->id, &info);

	if (failed) {
		snprintf(why, WHY_SIZE, "%s tells nothing of itself: %s", port->device, rte_strerror(-failed));
		return false;
	}
	port->rx_queues = at_most(queues, info.max_rx_queues);
	port->tx_queues = at_most(RTE_MAX(queues, forwarder.options.workers), info.max_tx_queues);
	how.txmode.offloads = info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE;
	if (mtu > RTE_ETHER_MTU && (!is_virtual(port->device) || mtu + RTE_ETHER_HDR_LEN <= info.max_rx_pktlen))
		how.rxmode.mtu = mtu; /* packet sockets take larger frames than they claim */
	if (port->rx_queues > 1) {
		how.rxmode.mq_mode = info.flow_type_rss_offloads ? RTE_ETH_MQ_RX_RSS : RTE_ETH_MQ_RX_NONE;
		how.rx_adv_conf.rss_conf.rss_hf =
			info.flow_type_rss_offloads & (RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP);
	}
	failed = rte_eth_dev_configure(port->id, port->rx_queues, port->tx_queues, &how);
	if (!failed)
		failed = rte_eth_dev_adjust_nb_rx_tx_desc(port->id, &received, &sent);
	for (uint16_t queue = 0; !failed && queue < port->rx_queues; queue++)
		failed = rte_eth_rx_queue_setup(port->id, queue, received, SOCKET_ID_ANY, NULL, forwarder.pool);
	for (uint16_t queue = 0; !failed && queue < port->tx_queues; queue++) {
		rte_spinlock_init(&port->sending[queue]);
		failed = rte_eth_tx_queue_setup(port->id, queue, sent, SOCKET_ID_ANY, NULL);
	}
	if (!failed)
		failed = rte_eth_dev_start(port->id);
	if (failed) {
		snprintf(why, WHY_SIZE, "%s does not start: %s", port->device, rte_strerror(-failed));
		return false;
	}
	rte_eth_allmulticast_enable(port->id); /* if the driver cannot, the host gets fewer multicast frames */
	return true;
}

static void discard(struct port *port)
{
	struct rte_eth_dev_info info;

	if (!rte_eth_dev_info_get(port->id, &info)) {
		rte_eth_dev_stop(port->id);
		rte_eth_dev_close(port->id);
		rte_eal_hotplug_remove(port->bus, port->device);
	}
	free(port->request);
	free(port);
}

/* Makes and starts a DPDK device. Returns none if it cannot. */
static struct port *made(const struct wanted *wanted, char *why)
{
	struct port *port = calloc(1, sizeof(*port));
	int failed;

	if (!port) {
		snprintf(why, WHY_SIZE, "no memory");
		return NULL;
	}
	port->index = wanted->index;
	port->receives = wanted->receives;
	port->request = strdup(wanted->request);
	snprintf(port->name, sizeof(port->name), "%s", wanted->name);
	snprintf(port->device, sizeof(port->device), "%s", wanted->device);
	snprintf(port->bus, sizeof(port->bus), "%s", is_virtual(wanted->device) ? "vdev" : "pci");
	failed = rte_eth_dev_get_port_by_name(port->device, &port->id);
	if (failed)
		failed = rte_eal_hotplug_add(port->bus, port->device, wanted->arguments);
	if (!failed)
		failed = rte_eth_dev_get_port_by_name(port->device, &port->id);
	if (failed) {
		snprintf(why, WHY_SIZE, "DPDK has no device %s: %s", port->device, rte_strerror(-failed));
		free(port->request);
		free(port);
		return NULL;
	}
	if (!configure(port, wanted->queues, wanted->mtu, why)) {
		discard(port);
		return NULL;
	}
	return port;
}

/* Makes the port to the host that belongs to a network card's port. */
static struct port *made_twin(const struct wanted *wanted, char *why)
{
	char device[NAME_SIZE], arguments[2 * NAME_SIZE];
	struct wanted far = *wanted;

	snprintf(device, sizeof(device), "net_af_packet_twin%u", wanted->index);
	snprintf(arguments, sizeof(arguments), "iface=%s,qpairs=1,blocksz=65536,framesz=%u,framecnt=512", wanted->twin,
		 forwarder.options.frame);
	far.device = device;
	far.arguments = arguments;
	far.queues = 1;
	far.receives = true;
	return made(&far, why);
}

bool port_add(const struct wanted *wanted, char *why)
{
	const struct ports *now = atomic_load(&forwarder.ports);
	struct port *port, *twin = NULL;
	struct ports *changed;

	if (port_of(now, wanted->index)) {
		snprintf(why, WHY_SIZE, "there is a port for interface %u", wanted->index);
		return false;
	}
	if (now->number + 2 > MAX_PORTS) {
		snprintf(why, WHY_SIZE, "there are %d ports, and no more", MAX_PORTS);
		return false;
	}
	if (wanted->mtu + RTE_ETHER_HDR_LEN + 2 * RTE_VLAN_HLEN + SLOT_HEAD > forwarder.options.frame) {
		snprintf(why, WHY_SIZE, "an MTU of %u needs larger frames than %u bytes", wanted->mtu,
			 forwarder.options.frame);
		return false;
	}
	if (!sockets_steer_into(wanted->xsks, wanted->first, why))
		return false;
	port = made(wanted, why);
	sockets_steer_into("", 0, why);
	if (!port)
		return false;
	if (*wanted->twin) {
		twin = made_twin(wanted, why);
		if (!twin) {
			discard(port);
			return false;
		}
		port->twin = twin;
		twin->twin = port;
		twin->to_host = true;
	}
	changed = copied();
	if (!changed) {
		discard(port);
		if (twin)
			discard(twin);
		snprintf(why, WHY_SIZE, "no memory");
		return false;
	}
	port->place = free_place(changed);
	changed->port[changed->number++] = port;
	if (twin) {
		twin->place = free_place(changed);
		changed->port[changed->number++] = twin;
	}
	port_link_changed(port);
	publish(changed);
	return true;
}

bool port_remove(uint32_t index, char *why)
{
	struct port *port = port_of(atomic_load(&forwarder.ports), index);
	struct ports *changed = port ? copied() : NULL;
	unsigned int kept = 0;

	if (!changed) {
		snprintf(why, WHY_SIZE, port ? "no memory" : "there is no port for interface %u", index);
		return false;
	}
	for (unsigned int at = 0; at < changed->number; at++)
		if (changed->port[at] != port && changed->port[at] != port->twin)
			changed->port[kept++] = changed->port[at];
	changed->number = kept;
	publish(changed);
	if (port->twin)
		discard(port->twin);
	discard(port);
	return true;
}

bool port_mtu(uint32_t index, unsigned int mtu, char *why)
{
	struct port *port = port_of(atomic_load(&forwarder.ports), index);
	int failed;

	if (!port) {
		snprintf(why, WHY_SIZE, "there is no port for interface %u", index);
		return false;
	}
	failed = rte_eth_dev_set_mtu(port->id, mtu);
	if (failed && failed != -ENOTSUP) {
		snprintf(why, WHY_SIZE, "%s has no MTU of %u: %s", port->device, mtu, rte_strerror(-failed));
		return false;
	}
	return true;
}

/* Call it when no worker runs any more. */
void ports_close(void)
{
	struct ports *ports = atomic_load(&forwarder.ports);

	for (unsigned int at = 0; at < ports->number; at++)
		discard(ports->port[at]);
	ports->number = 0;
}
