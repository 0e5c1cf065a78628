// SPDX-License-Identifier: GPL-2.0-or-later
// One UDP request at a time: pingpong serve ADDRESS PORT; pingpong ask SOURCE ADDRESS PORT WARMUP COUNT.
// The asker prints the nanoseconds of each round trip, one a line, in order; 0 is one that got no answer in a second.
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>

static struct sockaddr_in address(const char *host, const char *port)
{
	struct sockaddr_in made = {.sin_family = AF_INET, .sin_port = htons(atoi(port))};

	if (inet_pton(AF_INET, host, &made.sin_addr) != 1)
		exit(2);
	return made;
}

static int opened(const char *host, const char *port)
{
	struct sockaddr_in own = address(host, port);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&own, sizeof(own))) {
		perror("pingpong");
		exit(1);
	}
	return fd;
}

static long long now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static int serve(int fd)
{
	struct sockaddr_in from;
	char data[64];

	for (;;) {
		socklen_t size = sizeof(from);
		ssize_t got = recvfrom(fd, data, sizeof(data), 0, (struct sockaddr *)&from, &size);

		if (got > 0)
			sendto(fd, data, got, 0, (struct sockaddr *)&from, size);
	}
}

static int ask(int fd, struct sockaddr_in to, long warmup, long count)
{
	struct timeval patience = {.tv_sec = 1};
	long long *times = calloc(count, sizeof(*times));
	long data[2] = {0}, got[2];

	if (!times || connect(fd, (struct sockaddr *)&to, sizeof(to)))
		return 1;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	for (long i = -warmup; i < count; i++) {
		long long begun = now();
		ssize_t size;

		data[0] = i;
		send(fd, data, sizeof(data), 0);
		do // skips late answers that were given up
			size = recv(fd, got, sizeof(got), 0);
		while (size == sizeof(got) && got[0] != i);
		if (i >= 0)
			times[i] = size == sizeof(got) ? now() - begun : 0;
	}
	for (long i = 0; i < count; i++)
		printf("%lld\n", times[i]);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 4 && !strcmp(argv[1], "serve"))
		return serve(opened(argv[2], argv[3]));
	if (argc == 7 && !strcmp(argv[1], "ask"))
		return ask(opened(argv[2], "0"), address(argv[3], argv[4]), atol(argv[5]), atol(argv[6]));
	return 2;
}
