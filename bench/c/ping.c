/* SPDX-License-Identifier: Apache-2.0
 *
 * Round-trip times over UDP at light load. In C, because what is looked for is tens of microseconds: a runtime's event
 * loop and garbage collector would be most of what it measured. The client sleeps between pings until the next one is
 * due, so that every one finds all of the way asleep, as light load does, and takes both times itself.
 *
 *     ping serve <port>                                 answers every datagram with itself, until killed
 *     ping ask <address> <port> <count> <interval µs>   one round-trip a line, nanoseconds; lost: -1
 */
#include <arpa/inet.h>
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

int main(int argc, char **argv)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	if (argc == 3 && strcmp(argv[1], "serve") == 0)
		return serve(fd, atoi(argv[2]));
	if (argc == 6 && strcmp(argv[1], "ask") == 0)
		return ask(fd, argv[2], atoi(argv[3]), atoi(argv[4]), atol(argv[5]));
	fprintf(stderr, "usage: ping serve <port> | ping ask <address> <port> <count> <interval µs>\n");
	return 2;
}
