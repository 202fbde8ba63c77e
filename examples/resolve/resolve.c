/* SPDX-License-Identifier: MIT */
/*
 * resolve.c - a line with a name, answered with its addresses and an empty line.
 *
 * getaddrinfo(3) blocks for as long as the name servers like: it runs on a helper thread, where only the connection
 * that asked waits for it. Between two names a connection has no stack (CP_PARK).
 */
#include <connpoold/handler.h>

#include <errno.h>
#include <netdb.h>
#include <string.h>

struct settings {
	int family;
	uint64_t addresses_max;
};

static const struct cp_word families[] = {{"any", AF_UNSPEC}, {"ipv4", AF_INET}, {"ipv6", AF_INET6}, {NULL, 0}};

static const struct cp_option options[] = {
	CP_OPT_WORD(struct settings, family, "family", families, "any", "Which addresses are wanted."),
	CP_OPT_NUMBER(struct settings, addresses_max, "addresses_max", 1, 1000, "16", "How many are told of a name."),
	CP_OPT_END,
};

enum { COUNT_FOUND, COUNT_NOT_FOUND, COUNT_BUSY };
static const char *const counters[] = {"found", "not_found", "busy", NULL};

/* On the stack of the fiber, which stays as long as the helper thread uses it. */
struct lookup {
	char name[256];
	struct addrinfo hints;
	struct addrinfo *found;
	int error;
};

/* On a helper thread. */
static void
look_up(void *arg)
{
	struct lookup *lookup = arg;

	lookup->error = getaddrinfo(lookup->name, NULL, &lookup->hints, &lookup->found);
}

static int
tell(struct cp_conn *conn, const struct addrinfo *found, uint64_t addresses_max)
{
	for (uint64_t i = 0; found != NULL && i < addresses_max; found = found->ai_next, i++) {
		char text[NI_MAXHOST];

		if (getnameinfo(found->ai_addr, found->ai_addrlen, text, sizeof(text), NULL, 0, NI_NUMERICHOST) != 0)
			continue;
		if (cp_printf(conn, "%s\n", text) < 0)
			return -1;
	}
	return cp_printf(conn, "\n") < 0 ? -1 : CP_PARK;
}

static int
answer(struct cp_conn *conn, struct lookup *lookup)
{
	const struct settings *settings = cp_state(conn);
	int verdict;

	lookup->hints = (struct addrinfo){.ai_family = settings->family, .ai_socktype = SOCK_STREAM};
	if (cp_blocking(conn, look_up, lookup) < 0) {
		if (errno != EAGAIN)
			return -1;
		cp_count(conn, COUNT_BUSY, 1);
		return cp_printf(conn, "? too many ask, try again\n\n") < 0 ? -1 : CP_PARK;
	}
	if (lookup->error != 0) {
		cp_count(conn, COUNT_NOT_FOUND, 1);
		return cp_printf(conn, "? %s\n\n", gai_strerror(lookup->error)) < 0 ? -1 : CP_PARK;
	}
	cp_count(conn, COUNT_FOUND, 1);
	verdict = tell(conn, lookup->found, settings->addresses_max);
	freeaddrinfo(lookup->found);
	return verdict;
}

static int
serve(struct cp_conn *conn)
{
	struct lookup lookup = {.found = NULL};
	ssize_t n = cp_read_line(conn, lookup.name, sizeof(lookup.name));

	if (n < 0 && errno == EMSGSIZE)
		return cp_printf(conn, "? no name is so long\n\n") < 0 ? -1 : CP_DONE;
	if (n <= 0)
		return (int)n;
	lookup.name[strcspn(lookup.name, "\r\n")] = '\0';
	return answer(conn, &lookup);
}

const struct cp_handler connpoold_handler = {
	.abi = CP_HANDLER_ABI,
	.name = "resolve",
	.flags = CP_CLIENT_FIRST,
	.serve = serve,
	.options = options,
	.settings_size = sizeof(struct settings),
	.counters = counters,
};
