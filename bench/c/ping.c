/* SPDX-License-Identifier: Apache-2.0
 *
 * Round-trip times over UDP at light load. In C, because what is looked for is tens of microseconds: a runtime's event
 * loop and garbage collector would be most of what it measured. The client sleeps between pings until the next one is
 * due, so that every one finds all of the way asleep, as light load does, and takes both times itself.
 *
 *     ping serve <port>                                 answers every datagram with itself, until killed
 *     ping first <address> <port>                       asks, each time as a new flow, until there is an answer
 *     ping ask <address> <port> <count> <interval µs>   one round-trip a line, nanoseconds; lost: -1
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long long now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static int serve(int fd, int port)
{
	struct sockaddr_in own = { .sin_family = AF_INET, .sin_port = htons(port) }, from;
	char bytes[64];

	if (bind(fd, (struct sockaddr *)&own, sizeof(own)) != 0) {
		perror("ping: bind");
		return 1;
	}
	for (;;) {
		socklen_t length = sizeof(from);
		ssize_t got = recvfrom(fd, bytes, sizeof(bytes), 0, (struct sockaddr *)&from, &length);
		if (got >= 0)
			sendto(fd, bytes, got, 0, (struct sockaddr *)&from, length);
	}
}

/* What came late answers an earlier ping: it is read and forgotten. */
static int ask(int fd, const char *address, int port, int count, long interval_us)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct timeval patience = { .tv_usec = 200000 };

	if (inet_pton(AF_INET, address, &to.sin_addr) != 1 || connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0) {
		perror("ping: connect");
		return 1;
	}
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	long long due = now();
	for (int i = 0; i < count; i++) {
		int number = -1;
		long long start = now();
		if (send(fd, &i, sizeof(i), 0) == sizeof(i))
			while (recv(fd, &number, sizeof(number), 0) == sizeof(number) && number != i)
				;
		printf("%lld\n", number == i ? now() - start : -1);
		due += interval_us * 1000;
		struct timespec until = { due / 1000000000, due % 1000000000 };
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
	}
	return 0;
}

#define FIRST_INTERVAL_US 250
#define FIRST_FLOWS 64

/* "asking" when it begins, "answered" when one of the last flows is: when a change reaches packets. */
static int first(const char *address, int port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct pollfd flows[FIRST_FLOWS];
	char byte = 0;

	if (inet_pton(AF_INET, address, &to.sin_addr) != 1) {
		fprintf(stderr, "ping: address : %s, give an IPv4 address\n", address);
		return 2;
	}
	for (int i = 0; i < FIRST_FLOWS; i++)
		flows[i] = (struct pollfd){ .fd = -1, .events = POLLIN };
	puts("asking");
	fflush(stdout);
	for (int i = 0;; i = (i + 1) % FIRST_FLOWS) {
		struct timespec pause = { .tv_nsec = FIRST_INTERVAL_US * 1000 };

		if (flows[i].fd >= 0)
			close(flows[i].fd);
		flows[i].fd = socket(AF_INET, SOCK_DGRAM, 0);
		sendto(flows[i].fd, &byte, 1, 0, (struct sockaddr *)&to, sizeof(to));
		if (ppoll(flows, FIRST_FLOWS, &pause, NULL) <= 0)
			continue;
		for (int j = 0; j < FIRST_FLOWS; j++)
			if (flows[j].fd >= 0 && recv(flows[j].fd, &byte, 1, MSG_DONTWAIT) == 1) {
				puts("answered");
				return 0;
			}
	}
}

int main(int argc, char **argv)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	if (argc == 3 && strcmp(argv[1], "serve") == 0)
		return serve(fd, atoi(argv[2]));
	if (argc == 4 && strcmp(argv[1], "first") == 0)
		return first(argv[2], atoi(argv[3]));
	if (argc == 6 && strcmp(argv[1], "ask") == 0)
		return ask(fd, argv[2], atoi(argv[3]), atoi(argv[4]), atol(argv[5]));
	fprintf(stderr, "usage: ping serve <port> | ping first <address> <port> | ping ask <address> <port> <count> <interval µs>\n");
	return 2;
}
