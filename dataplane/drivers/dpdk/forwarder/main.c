/* SPDX-License-Identifier: GPL-2.0-or-later */
/* forwarder [--sources] --control SOCKET [--maps FOLDER] [--lock NUMBER] [--workers N] [--nap MICROSECONDS]
 *           [--frame BYTES] [-- EAL…]
 *
 * lock: an open file that stays locked while this process lives. The process writes its number into it.
 *
 * The process goes on after the engine that started it has ended, until it is told to stop. */
#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_log.h>

#include "forwarder.h"

#define LOOK_EVERY 200 /* milliseconds between two looks at links */
#define MOST_FRAMES 32768u /* for all ports together */
#define LEAST_FRAMES 8192u
#define FRAMES_MEMORY (100u << 20)
#define SLOW_FRAMES 1024
#define MAX_EAL 48
#define WRONG_COMMAND_LINE 2

struct forwarder forwarder = {.options = {.workers = 1, .nap = 300, .frame = 2048}};

static void stop(int signal)
{
	(void)signal;
	atomic_store(&forwarder.stopping, true);
}

static int fail(const char *why)
{
	fprintf(stderr, "forwarder: %s\n", why);
	return EXIT_FAILURE;
}

static unsigned int number(const char *text, unsigned int most)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (!*text || *end || value > most) {
		fprintf(stderr, "forwarder: %s: a number up to %u is expected\n", text, most);
		exit(WRONG_COMMAND_LINE);
	}
	return value;
}

/* Returns where the options of DPDK's environment begin. */
static int read_options(int argc, char **argv)
{
	static const struct option known[] = {
		{"sources", no_argument, 0, 'S'},	 {"control", required_argument, 0, 'c'},
		{"maps", required_argument, 0, 'm'},	 {"lock", required_argument, 0, 'l'}, {"workers", required_argument, 0, 'w'},
		{"nap", required_argument, 0, 'n'},	 {"frame", required_argument, 0, 'f'},
		{0},
	};
	struct options *options = &forwarder.options;
	int option;

	while ((option = getopt_long(argc, argv, "+", known, NULL)) != -1) {
		switch (option) {
		case 'S':
			puts(SOURCES);
			exit(EXIT_SUCCESS);
		case 'c':
			options->control = optarg;
			break;
		case 'm':
			options->maps = optarg;
			break;
		case 'l':
			dprintf(number(optarg, 1024), "%d\n", (int)getpid());
			break;
		case 'w':
			options->workers = number(optarg, MAX_LOOPS);
			break;
		case 'n':
			options->nap = number(optarg, 100000);
			break;
		case 'f':
			options->frame = number(optarg, 65535 - RTE_PKTMBUF_HEADROOM);
			break;
		default:
			exit(WRONG_COMMAND_LINE);
		}
	}
	if (!options->control || !options->workers) {
		fprintf(stderr, "forwarder: --control SOCKET, and one worker at least, are needed\n");
		exit(WRONG_COMMAND_LINE);
	}
	return optind;
}

/* Starts DPDK's environment, with one more thread for each worker. The scheduler places the threads. A thread bound to a
 * core would take it from whatever else runs there, even if another core is free. */
static bool start_environment(int argc, char **argv)
{
	char *arguments[MAX_EAL] = {argv[0]}, cores[1024] = "";
	cpu_set_t allowed;
	char list[512] = "";
	int given = 1;

	sched_getaffinity(0, sizeof(allowed), &allowed);
	for (int core = 0; core < CPU_SETSIZE && strlen(list) < sizeof(list) - 8; core++)
		if (CPU_ISSET(core, &allowed))
			sprintf(list + strlen(list), "%s%d", *list ? "," : "", core);
	snprintf(cores, sizeof(cores), "(0-%u)@(%s)", forwarder.options.workers, list);
	arguments[given++] = "--lcores";
	arguments[given++] = cores;
	arguments[given++] = "--no-telemetry";
	while (argc-- > 0 && given < MAX_EAL - 1)
		arguments[given++] = *argv++;
	return rte_eal_init(given, arguments) >= 0;
}

static bool make_memory(char *why)
{
	unsigned int frames = FRAMES_MEMORY / forwarder.options.frame;

	frames = RTE_MAX(LEAST_FRAMES, RTE_MIN(frames, MOST_FRAMES));
	forwarder.huge = rte_eal_has_hugepages();
	forwarder.pool = rte_pktmbuf_pool_create("frames", frames - 1, 256, 0,
						 forwarder.options.frame + RTE_PKTMBUF_HEADROOM, SOCKET_ID_ANY);
	forwarder.slow = rte_ring_create("slow", SLOW_FRAMES, SOCKET_ID_ANY, RING_F_SC_DEQ);
	forwarder.wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	atomic_store(&forwarder.ports, calloc(1, sizeof(struct ports)));
	if (forwarder.pool && forwarder.slow && forwarder.wake >= 0 && atomic_load(&forwarder.ports))
		return true;
	snprintf(why, WHY_SIZE, "no memory for %u frames of %u bytes", frames, forwarder.options.frame);
	return false;
}

int main(int argc, char **argv)
{
	struct sigaction how = {.sa_handler = stop};
	char why[WHY_SIZE] = "";
	int rest = read_options(argc, argv);
	unsigned int core, started = 0;

	signal(SIGPIPE, SIG_IGN);
	rte_openlog_stream(stderr);
	if (!start_environment(argc - rest, argv + rest))
		return fail("DPDK's environment does not start");
	sigaction(SIGTERM, &how, NULL);
	sigaction(SIGINT, &how, NULL);
	if (!make_memory(why) || !decide_open(&forwarder.options, why))
		return fail(why);
	RTE_LCORE_FOREACH_WORKER(core) {
		struct loop *loop = &forwarder.loops[started];

		loop->number = started++;
		if (!decide_begin(loop, why))
			return fail(why);
		rte_eal_remote_launch(work, loop, core);
	}
	if (!control_open(forwarder.options.control, why))
		return fail(why);
	while (!atomic_load(&forwarder.stopping))
		control_serve(LOOK_EVERY);
	rte_eal_mp_wait_lcore();
	ports_close();
	decide_close();
	control_close();
	rte_eal_cleanup();
	return EXIT_SUCCESS;
}
