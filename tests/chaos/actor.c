/* SPDX-License-Identifier: MIT */
/*
 * actor - the programs of the chaos test: actor MODE TAG [ARGUMENT]. Each ends by itself after a few seconds at most.
 *
 * TAG is the folder of the run: it marks the process, so that the test finds what it has started, and nothing else.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SECONDS_OF_A_CHILD 6
#define SECONDS_OF_A_SLEEPER 12
#define SECONDS_OF_AN_ACCEPTOR 20
#define CLIENTS_MAX 128

static void
sleep_ms(long ms)
{
	struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

	while (nanosleep(&time, &time) < 0 && errno == EINTR)
		;
}

static int
write_all(int fd, const char *data, size_t length)
{
	while (length > 0) {
		ssize_t n = write(fd, data, length);

		if (n < 0 && errno == EAGAIN) {
			struct pollfd pfd = {.fd = fd, .events = POLLOUT};

			(void)poll(&pfd, 1, 1000);
			continue;
		}
		if (n < 0)
			return -1;
		data += n;
		length -= (size_t)n;
	}
	return 0;
}

/* A session of its own: not ended with the program's process group. True in the child. */
static int
is_left_behind(void)
{
	pid_t pid = fork();

	if (pid != 0)
		return 0;
	(void)setsid();
	alarm(SECONDS_OF_A_CHILD);
	return 1;
}

/* ---- that serve ---------------------------------------------------------------------- */

static int
echo(const char *unused)
{
	char buffer[16384];
	ssize_t n;

	(void)unused;
	while ((n = read(0, buffer, sizeof(buffer))) > 0) {
		if (write_all(1, buffer, (size_t)n) < 0)
			return 1;
	}
	return n < 0;
}

static int
say(const char *text)
{
	return write_all(1, text, strlen(text)) < 0 || write_all(1, "\n", 1) < 0;
}

/* Appends what the client sent to a file, as one line. */
static int
record(const char *path)
{
	char line[4096];
	size_t used = 0;
	ssize_t n;
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);

	while (used < sizeof(line) - 1 && (n = read(0, line + used, sizeof(line) - 1 - used)) > 0)
		used += (size_t)n;
	line[used++] = '\n';
	return fd < 0 || write(fd, line, used) != (ssize_t)used;
}

static int
serve_client(struct pollfd *client)
{
	char buffer[4096];
	ssize_t n = recv(client->fd, buffer, sizeof(buffer), MSG_DONTWAIT);

	if (n > 0 || (n < 0 && errno == EAGAIN))
		return n > 0 && write_all(client->fd, buffer, (size_t)n) < 0 ? 0 : 1;
	return 0;
}

static void
accept_client(struct pollfd *clients, int *count)
{
	int fd;

	if (*count == CLIENTS_MAX)
		return;
	fd = accept(0, NULL, NULL);
	if (fd >= 0)
		clients[(*count)++] = (struct pollfd){.fd = fd, .events = POLLIN};
}

/* wait = true: echo for all who come, until nobody has for so many milliseconds. */
static int
accept_and_echo(const char *idle_ms)
{
	struct pollfd clients[CLIENTS_MAX] = {{.fd = 0, .events = POLLIN}};
	int count = 1;

	alarm(SECONDS_OF_AN_ACCEPTOR);
	for (;;) {
		int ready = poll(clients, (nfds_t)count, count > 1 ? 1000 : atoi(idle_ms));
		int known = count;

		if (ready == 0 && count == 1)
			return 0;
		if (ready <= 0)
			continue;
		if ((clients[0].revents & ~POLLIN) != 0)
			return 1;
		if (clients[0].revents != 0)
			accept_client(clients, &count);
		for (int i = known - 1; i > 0; i--) {
			if (clients[i].revents != 0 && !serve_client(&clients[i])) {
				close(clients[i].fd);
				clients[i] = clients[--count];
			}
		}
	}
}

/* ---- that do not ---------------------------------------------------------------------- */

static int
leave_at_once(const char *status)
{
	return atoi(status);
}

static int
sleep_long(const char *unused)
{
	(void)unused;
	alarm(SECONDS_OF_A_SLEEPER);
	while (pause() < 0)
		;
	return 0;
}

static int
be_deaf(const char *unused)
{
	(void)signal(SIGTERM, SIG_IGN);
	return sleep_long(unused);
}

/* Ends, and leaves a child that holds the client's socket. */
static int
leave_child(const char *ms)
{
	if (is_left_behind()) {
		for (;;)
			pause();
	}
	sleep_ms(atoi(ms));
	return 0;
}

/* The same; the child changes what belongs to the open file description all the time. */
static int
change_flags(const char *ms)
{
	if (is_left_behind()) {
		for (int i = 0;; i++) {
			(void)fcntl(0, F_SETFL, i % 2 == 0 ? O_RDWR : O_RDWR | O_NONBLOCK);
			sleep_ms(1);
		}
	}
	sleep_ms(atoi(ms));
	return 0;
}

static int
shut_down(const char *how)
{
	(void)shutdown(0, atoi(how));
	sleep_ms(100);
	return 0;
}

static int
fork_some(const char *count)
{
	for (int i = 0; i < atoi(count); i++) {
		if (fork() == 0)
			return sleep_long(NULL);
	}
	sleep_ms(300);
	return 0;
}

static int
flood(const char *unused)
{
	static const char block[16384] = "flood";

	(void)unused;
	alarm(SECONDS_OF_A_SLEEPER);
	while (write_all(1, block, sizeof(block)) == 0)
		;
	return 1;
}

static int
crash(const char *unused)
{
	(void)unused;
	(void)signal(SIGSEGV, SIG_DFL);
	raise(SIGSEGV);
	return 0;
}

static int
close_streams(const char *ms)
{
	close(0);
	close(1);
	close(2);
	sleep_ms(atoi(ms));
	return 0;
}

/* Stops every process of its user. Never run as root, whatever a config says. */
static int
stop_all(const char *ms)
{
	if (getuid() == 0 || geteuid() == 0)
		return 1;
	for (int i = 0; i < atoi(ms); i++) {
		(void)kill(-1, SIGSTOP);
		sleep_ms(1);
	}
	return 0;
}

/* wait = true: serves one client, ends, and leaves a child that holds the listening socket and makes it blocking. */
static int
keep_socket(const char *unused)
{
	int fd = accept(0, NULL, NULL);

	(void)unused;
	if (is_left_behind()) {
		close(fd);
		for (;;) {
			(void)fcntl(0, F_SETFL, O_RDWR);
			sleep_ms(1);
		}
	}
	return 0;
}

static const struct {
	const char *name;
	int (*run)(const char *argument);
} modes[] = {
	{"echo", echo},
	{"say", say},
	{"record", record},
	{"accept", accept_and_echo},
	{"exit", leave_at_once},
	{"sleep", sleep_long},
	{"deaf", be_deaf},
	{"leave", leave_child},
	{"flags", change_flags},
	{"shut", shut_down},
	{"fork", fork_some},
	{"flood", flood},
	{"crash", crash},
	{"close", close_streams},
	{"stopall", stop_all},
	{"keep", keep_socket},
};

int
main(int argc, char **argv)
{
	(void)signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; argc >= 3 && i < sizeof(modes) / sizeof(modes[0]); i++) {
		if (strcmp(argv[1], modes[i].name) == 0)
			return modes[i].run(argc > 3 ? argv[3] : "0");
	}
	fprintf(stderr, "Usage: actor MODE TAG [ARGUMENT]\n");
	return 2;
}
