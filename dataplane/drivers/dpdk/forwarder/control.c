/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The control socket (SOCK_SEQPACKET). Each message is one datagram of JSON. Requests are answered in their order; events
 * may come in between. One engine is connected at a time: a new one replaces the former one.
 *
 *   {"do": "add", "index": 7, "name": "eth0", "device": "net_af_packet7", "arguments": "iface=eth0", "queues": 1,
 *    "mtu": 1500, "xsks": "", "first": 0, "twin": "", "receives": true}
 *                                                                 {"done": {"mac": "…", "queues": 1, "up": true, …}}
 *   {"do": "remove", "index": 7}     {"do": "mtu", "index": 7, "mtu": 1500}     {"do": "link", "index": 7}
 *   {"do": "stats"}                  {"do": "stop"}                  the answer to a refused one: {"error": "why"}
 *   {"event": "hello", "pid": 1, "sources": "…", "workers": 1, "huge": false, "ports": [{"index": 7, …}]}
 *   {"event": "link", "index": 7, "up": false}      {"event": "slow", "frame": "base64"}
 *   {"event": "fault", "what": "…"} */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <jansson.h>

#include "forwarder.h"
#include "slow.h"

#define LARGEST_REQUEST 4096
#define SEND_BUFFER (1 << 20)

static int listening = -1, engine = -1;

bool control_open(const char *path, char *why)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	if (strlen(path) >= sizeof(address.sun_path)) {
		snprintf(why, WHY_SIZE, "%s: a socket's path has at most %zu bytes", path, sizeof(address.sun_path) - 1);
		return false;
	}
	strcpy(address.sun_path, path);
	unlink(path);
	listening = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (listening < 0 || bind(listening, (struct sockaddr *)&address, sizeof(address)) || listen(listening, 4)) {
		snprintf(why, WHY_SIZE, "%s: %s", path, strerror(errno));
		return false;
	}
	return true;
}

static void hang_up(void)
{
	atomic_store(&forwarder.heard, false);
	if (engine >= 0)
		close(engine);
	engine = -1;
}

/* Sends a message and frees it. An engine that takes nothing for that long is not waited for. */
static void tell(json_t *told)
{
	char *text = json_dumps(told, JSON_COMPACT);

	json_decref(told);
	if (text && engine >= 0 && send(engine, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		hang_up();
	free(text);
}

static json_t *told_port(struct port *port)
{
	struct rte_ether_addr mac = {0};
	struct rte_eth_dev_info info = {0};
	char text[RTE_ETHER_ADDR_FMT_SIZE];
	json_t *request = port->request ? json_loads(port->request, 0, NULL) : NULL;

	rte_eth_macaddr_get(port->id, &mac);
	rte_eth_dev_info_get(port->id, &info);
	rte_ether_format_addr(text, sizeof(text), &mac);
	return json_pack("{s:i, s:s, s:s, s:i, s:b, s:o}", "index", (int)port->index, "pmd",
			 info.driver_name ? info.driver_name : "", "mac", text, "queues", (int)port->rx_queues, "up",
			 (int)port->up, "request", request ? request : json_null());
}

static json_t *told_ports(void)
{
	const struct ports *ports = atomic_load(&forwarder.ports);
	json_t *told = json_array();

	for (unsigned int at = 0; at < ports->number; at++)
		if (!ports->port[at]->to_host)
			json_array_append_new(told, told_port(ports->port[at]));
	return told;
}

static json_t *statistics(void)
{
	const struct ports *ports = atomic_load(&forwarder.ports);
	json_t *told = json_array();
	uint64_t unsuitable = 0, limited = 0;

	for (unsigned int at = 0; at < ports->number; at++) {
		struct port *port = ports->port[at];
		struct rte_eth_stats counted = {0};
		json_t *one = json_object();

		rte_eth_stats_get(port->id, &counted);
		json_object_set_new(one, "index", json_integer(port->index));
		json_object_set_new(one, "to_host", json_boolean(port->to_host));
		json_object_set_new(one, "up", json_boolean(port->up));
		json_object_set_new(one, "received", json_integer(counted.ipackets));
		json_object_set_new(one, "sent", json_integer(counted.opackets));
		json_object_set_new(one, "missed",
				    json_integer(counted.imissed + counted.rx_nombuf + counted.ierrors));
		json_object_set_new(one, "failed", json_integer(atomic_load(&port->failed)));
		json_array_append_new(told, one);
	}
	for (unsigned int at = 0; at < forwarder.options.workers; at++) {
		unsuitable += forwarder.loops[at].unsuitable;
		limited += forwarder.loops[at].limited;
	}
	return json_pack("{s:o, s:I, s:I}", "ports", told, "unsuitable", (json_int_t)unsuitable, "limited",
			 (json_int_t)limited);
}

static json_t *hello(void)
{
	return json_pack("{s:s, s:i, s:s, s:i, s:i, s:b, s:o}", "event", "hello", "pid", (int)getpid(), "sources",
			 SOURCES, "workers", (int)forwarder.options.workers, "frame", (int)forwarder.options.frame,
			 "huge", (int)forwarder.huge, "ports", told_ports());
}

static json_t *refused(const char *why)
{
	return json_pack("{s:s}", "error", why);
}

static json_t *added(json_t *request)
{
	struct wanted wanted = {0};
	char why[WHY_SIZE] = "";
	json_error_t fault;
	int index, queues, mtu, first, receives;
	struct port *port;
	char *text;
	bool made;

	if (json_unpack_ex(request, &fault, 0, "{s:i, s:s, s:s, s:s, s:i, s:i, s:s, s:i, s:s, s:b}", "index", &index, "name",
			   &wanted.name, "device", &wanted.device, "arguments", &wanted.arguments, "queues", &queues,
			   "mtu", &mtu, "xsks", &wanted.xsks, "first", &first, "twin", &wanted.twin, "receives", &receives))
		return refused(fault.text);
	if (index <= 0 || queues < 1 || first < 0 || mtu < RTE_ETHER_MIN_MTU)
		return refused("index, queues and mtu are positive numbers");
	wanted.index = index;
	wanted.queues = queues;
	wanted.mtu = mtu;
	wanted.first = first;
	wanted.receives = receives;
	wanted.request = text = json_dumps(request, JSON_COMPACT);
	made = text && port_add(&wanted, why);
	free(text);
	if (!made)
		return refused(*why ? why : "no memory");
	port = port_of(atomic_load(&forwarder.ports), index);
	return json_pack("{s:o}", "done", told_port(port));
}

static json_t *answered(json_t *request)
{
	const char *what = json_string_value(json_object_get(request, "do"));
	json_int_t index = json_integer_value(json_object_get(request, "index"));
	json_int_t mtu = json_integer_value(json_object_get(request, "mtu"));
	char why[WHY_SIZE] = "";

	if (!what)
		return refused("a request says what to do");
	if (!strcmp(what, "add"))
		return added(request);
	if (!strcmp(what, "stats"))
		return json_pack("{s:o}", "done", statistics());
	if (!strcmp(what, "stop")) {
		atomic_store(&forwarder.stopping, true);
		return json_pack("{s:{}}", "done");
	}
	if (!strcmp(what, "link")) {
		struct port *port = port_of(atomic_load(&forwarder.ports), index);

		if (!port)
			return refused("there is no such port");
		port_link_changed(port);
		return json_pack("{s:o}", "done", told_port(port));
	}
	if (!strcmp(what, "remove") ? port_remove(index, why) : !strcmp(what, "mtu") && port_mtu(index, mtu, why))
		return json_pack("{s:{}}", "done");
	return refused(*why ? why : "no such request");
}

static void take_request(void)
{
	char text[LARGEST_REQUEST];
	ssize_t size = recv(engine, text, sizeof(text), MSG_DONTWAIT);
	json_error_t fault;
	json_t *request;

	if (size <= 0) {
		if (size == 0 || (errno != EAGAIN && errno != EINTR))
			hang_up();
		return;
	}
	request = json_loadb(text, size, 0, &fault);
	tell(request ? answered(request) : refused(fault.text));
	json_decref(request);
}

static void take_engine(void)
{
	int fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC), size = SEND_BUFFER;

	if (fd < 0)
		return;
	hang_up();
	engine = fd;
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	tell(hello());
	atomic_store(&forwarder.heard, engine >= 0);
}

static void hand_over(void)
{
	struct slow *frame;
	uint64_t wakes;

	if (read(forwarder.wake, &wakes, sizeof(wakes)) < 0)
		return;
	while (!rte_ring_dequeue(forwarder.slow, (void **)&frame)) {
		char *text = slow_text(frame);

		if (text)
			tell(json_pack("{s:s, s:s}", "event", "slow", "frame", text));
		free(text);
		free(frame);
	}
}

static void look_at_links(void)
{
	const struct ports *ports = atomic_load(&forwarder.ports);

	for (unsigned int at = 0; at < ports->number; at++) {
		struct port *port = ports->port[at];

		if (!port->to_host && port_link_changed(port))
			tell(json_pack("{s:s, s:i, s:b}", "event", "link", "index", (int)port->index, "up", (int)port->up));
	}
}

/* Serves what comes, for so many milliseconds. */
void control_serve(int milliseconds)
{
	struct pollfd waiting[] = {{listening, POLLIN, 0}, {forwarder.wake, POLLIN, 0}, {engine, POLLIN, 0}};

	if (poll(waiting, 3, milliseconds) == 0) {
		look_at_links();
		return;
	}
	if (waiting[1].revents)
		hand_over();
	if (waiting[2].revents && engine >= 0)
		take_request();
	if (waiting[0].revents)
		take_engine();
}

void control_close(void)
{
	hang_up();
	close(listening);
	unlink(forwarder.options.control);
}
