/* SPDX-License-Identifier: MIT */
/*
 * Each direction is a struct flow: a buffer, whether its source has ended, whether its sink knows.
 *
 * Input is read once per poll(2) that says POLLIN, so it needs no O_NONBLOCK, which would be set for whoever shares
 * it; output is a struct sink for the same reason. A failure of the connection in one direction does not end
 * the other: a server that stops reading may still answer, and its answer is worth having.
 */
#include "config.h"

#include "client/relay.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/errmsg.h"
#include "base/fdutil.h"
#include "base/mem.h"
#include "client/sink.h"

#define BUFFER_BYTES (64 * 1024)

/*
 *   open --source ends--> ended --buffer empty, sink told--> closed
 *   open, ended --sink fails (flow_abandon)----------------> closed
 */
struct flow {
	char *buffer;     /* owned, BUFFER_BYTES; NULL: data is all there will be */
	const char *data; /* what is not passed on yet: in the buffer, or the caller's text */
	size_t len;
	bool ended;       /* the source will give no more */
	bool closed;      /* and the sink has been told, or is gone */
};

struct relay {
	int input;        /* borrowed */
	int socket;
	struct sink output;
	struct flow up;   /* input -> socket */
	struct flow down; /* socket -> output */
	int result;       /* the first failure; 0: none so far */
	struct errmsg *err;
};

enum { SLOT_INPUT, SLOT_SOCKET, SLOT_OUTPUT, SLOTS };

/* ---- flows ---------------------------------------------------------------------- */

static bool
flow_has_room(const struct flow *flow)
{
	return !flow->ended && flow->data + flow->len < flow->buffer + BUFFER_BYTES;
}

static char *
flow_tail(struct flow *flow)
{
	return flow->buffer + (flow->data - flow->buffer) + flow->len;
}

static size_t
flow_room(const struct flow *flow)
{
	return (size_t)(flow->buffer + BUFFER_BYTES - (flow->data + flow->len));
}

static void
flow_drop(struct flow *flow, size_t n)
{
	flow->data += n;
	flow->len -= n;
	if (flow->len == 0 && flow->buffer != NULL)
		flow->data = flow->buffer;
}

/* Nobody is left to pass anything on to. */
static void
flow_abandon(struct flow *flow)
{
	flow_drop(flow, flow->len);
	flow->ended = true;
	flow->closed = true;
}

static void
fail(struct relay *relay, int error, const char *what)
{
	if (relay->result != 0)
		return;
	relay->result = error;
	errmsg_set(relay->err, "%s: %s", what, errmsg_errno(-error));
}

/* ---- the four ends ----------------------------------------------------------------- */

static void
read_input(struct relay *relay)
{
	struct flow *up = &relay->up;
	ssize_t n = read(relay->input, flow_tail(up), flow_room(up));

	if (n > 0) {
		up->len += (size_t)n;
	} else if (n == 0) {
		up->ended = true;
	} else if (errno != EAGAIN && errno != EINTR) {
		fail(relay, -errno, "reading standard input");
		up->ended = true;
	}
}

static void
send_to_peer(struct relay *relay)
{
	struct flow *up = &relay->up;
	ssize_t n = send(relay->socket, up->data, up->len, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n >= 0) {
		flow_drop(up, (size_t)n);
	} else if (errno != EAGAIN && errno != EINTR) {
		fail(relay, -errno, "the peer ended the connection before it had been sent everything");
		flow_abandon(up);
	}
}

static void
receive_from_peer(struct relay *relay)
{
	struct flow *down = &relay->down;
	ssize_t n = recv(relay->socket, flow_tail(down), flow_room(down), MSG_DONTWAIT);

	if (n > 0) {
		down->len += (size_t)n;
	} else if (n == 0) {
		down->ended = true;
	} else if (errno != EAGAIN && errno != EINTR) {
		fail(relay, -errno, "receiving");
		down->ended = true;
		flow_abandon(&relay->up);
	}
}

/* Without a reader for what arrives there is no use in going on at all. */
static void
abandon_output(struct relay *relay, int error)
{
	fail(relay, error, "writing standard output");
	flow_abandon(&relay->down);
	flow_abandon(&relay->up);
}

static void
write_output(struct relay *relay)
{
	struct flow *down = &relay->down;
	ssize_t n = sink_write(&relay->output, down->data, down->len);

	if (n >= 0)
		flow_drop(down, (size_t)n);
	else if (n != -EAGAIN)
		abandon_output(relay, (int)n);
}

/* ---- the loop ------------------------------------------------------------------------ */

static bool
is_over(const struct relay *relay)
{
	return relay->up.closed && relay->down.closed;
}

/* A negative descriptor is one that poll(2) leaves out: else a hang-up that is known already would wake it for ever. */
static void
choose_events(const struct relay *relay, struct pollfd slots[SLOTS])
{
	const struct flow *up = &relay->up, *down = &relay->down;
	short socket_events = (short)((flow_has_room(down) ? POLLIN : 0) | (up->len > 0 ? POLLOUT : 0));
	/* After the peer's end of file only its hang-up says that nothing more need be read from the input. */
	bool waits_for_hangup = down->ended && !up->closed;

	slots[SLOT_INPUT] = (struct pollfd){ .fd = flow_has_room(up) ? relay->input : -1, .events = POLLIN };
	slots[SLOT_SOCKET] = (struct pollfd){
		.fd = socket_events != 0 || waits_for_hangup ? relay->socket : -1, .events = socket_events };
	/* Also with nothing to write: POLLERR tells that a pipe's reader has gone. */
	slots[SLOT_OUTPUT] = (struct pollfd){
		.fd = down->closed ? -1 : relay->output.fd, .events = down->len > 0 ? POLLOUT : 0 };
}

static void
pass_ends_on(struct relay *relay)
{
	if (relay->up.ended && relay->up.len == 0 && !relay->up.closed) {
		/* A peer that has hung up makes it fail; recv() will tell. */
		(void)shutdown(relay->socket, SHUT_WR);
		relay->up.closed = true;
	}
	if (relay->down.ended && relay->down.len == 0 && !relay->down.closed) {
		sink_fini(&relay->output);
		relay->down.closed = true;
	}
}

static void
step(struct relay *relay, const struct pollfd slots[SLOTS])
{
	short socket_events = slots[SLOT_SOCKET].revents, output_events = slots[SLOT_OUTPUT].revents;

	if (slots[SLOT_INPUT].revents != 0)
		read_input(relay);
	if (socket_events & (POLLIN | POLLHUP | POLLERR) && flow_has_room(&relay->down))
		receive_from_peer(relay);
	/* Does not wait, so it may be tried at once with what was read just now. */
	if (relay->up.len > 0)
		send_to_peer(relay);
	if (socket_events & (POLLHUP | POLLERR) && relay->down.ended && relay->up.len == 0)
		flow_abandon(&relay->up);
	if (output_events & POLLOUT)
		write_output(relay);
	else if (output_events != 0)
		abandon_output(relay, -EPIPE);
	pass_ends_on(relay);
}

static void
run(struct relay *relay, int timeout_ms)
{
	struct pollfd slots[SLOTS];

	pass_ends_on(relay);
	while (!is_over(relay)) {
		int n;

		choose_events(relay, slots);
		n = poll(slots, SLOTS, timeout_ms);
		if (n > 0) {
			step(relay, slots);
		} else if (n == 0) {
			fail(relay, -ETIMEDOUT, "nothing moved for the idle time-out");
			return;
		} else if (errno != EINTR) {
			fail(relay, -errno, "poll");
			return;
		}
	}
}

int
relay_run(const struct relay_config *config, int *socket, int *output, struct errmsg *err)
{
	struct relay relay = { .input = config->input, .socket = fd_take(socket), .err = err };
	int timeout_ms = config->idle_timeout_ms == 0 ? -1 : (int)config->idle_timeout_ms;

	sink_init(&relay.output, output);
	relay.down.data = relay.down.buffer = mem_zalloc(BUFFER_BYTES);
	if (config->input < 0) {
		relay.up = (struct flow){ .data = config->text, .len = config->text_len, .ended = true };
	} else {
		relay.up.data = relay.up.buffer = mem_zalloc(BUFFER_BYTES);
	}
	if (relay.down.buffer == NULL || (config->input >= 0 && relay.up.buffer == NULL))
		fail(&relay, -ENOMEM, "two buffers");
	else
		run(&relay, timeout_ms);
	mem_freep(&relay.up.buffer);
	mem_freep(&relay.down.buffer);
	sink_fini(&relay.output);
	fd_close(&relay.socket);
	return relay.result;
}
