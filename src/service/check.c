/* SPDX-License-Identifier: MIT */
/*
 * check.c - tells clients what a command says: as text, as an answer of HTTP, or in the words of HAProxy's agent-check.
 *
 * On the fibers of connections. The command itself, and who runs it when, is verdict.c's affair: here one asks, waits
 * if need be, and puts the answer into the client's language. A client can bring about at most one run at a time.
 */
#include "config.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "connpoold/handler.h"
#include "service/http_head.h"
#include "service/services.h"
#include "service/verdict.h"
#include "upstream/agent.h"

/* A client that has said nothing by then wants its answer unasked, as checks that only connect do. */
#define SILENCE_MS 1000u
/* For the whole head of a request. */
#define HEAD_MS 5000u
#define PIECE_BYTES 1024
/* Of what a command wrote in a line that says why it is down. */
#define REASON_MAX 200

/* Somebody who waits; on the fiber's stack. */
struct asker {
	struct verdict_wish wish;
	struct cp_handle handle;
};

static uint64_t
now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- asking --------------------------------------------------------------------------- */

static void
on_ready(struct verdict_wish *wish)
{
	(void)cp_wake(((struct asker *)((char *)wish - offsetof(struct asker, wish)))->handle);
}

/* Returns owned; NULL: errno. */
static struct verdict_result *
ask(struct cp_conn *conn)
{
	struct verdict_share *share = cp_state(conn);
	struct asker asker = {.wish.ready = on_ready, .handle = cp_handle_of(conn)};
	int rc;
	int saved;

	if (asker.handle.connection == 0)
		return NULL;
	if (verdict_ask(share, &asker.wish))
		return asker.wish.result;
	/* No longer than the command's time: it is answered then, if not before. */
	rc = cp_sleep(conn, -1);
	saved = errno;
	verdict_withdraw(share, &asker.wish);
	if (rc < 0)
		verdict_result_unref(&asker.wish.result);
	errno = rc < 0 ? saved : ENOMEM;
	return asker.wish.result;
}

/* ---- HTTP: the request ------------------------------------------------------------------ */

enum request {
	REQUEST_ANSWER, /* it wants to know, or has said nothing */
	REQUEST_HEAD,
	REQUEST_BAD,
	REQUEST_TOO_LARGE,
	REQUEST_LATE,
	REQUEST_OTHER_METHOD,
};

/* The bytes read; 0: the end, -1: errno, ETIMEDOUT: not by until_ns. */
static ssize_t
recv_until(struct cp_conn *conn, char *buf, size_t size, uint64_t until_ns)
{
	uint64_t now = now_ns();

	if (now >= until_ns) {
		errno = ETIMEDOUT;
		return -1;
	}
	cp_set_timeout(conn, CP_TIMEOUT_IDLE, (int)((until_ns - now) / 1000000u) + 1);
	return cp_recv(conn, buf, size);
}

static enum request
judge_head(const struct http_head *head)
{
	static const char *const answered[] = {"GET", "OPTIONS"};

	if (head->state != HTTP_HEAD_WHOLE)
		return head->state == HTTP_HEAD_TOO_LARGE ? REQUEST_TOO_LARGE : REQUEST_BAD;
	if (strcmp(head->method, "HEAD") == 0)
		return REQUEST_HEAD;
	for (size_t i = 0; i < sizeof(answered) / sizeof(answered[0]); i++) {
		if (strcmp(head->method, answered[i]) == 0)
			return REQUEST_ANSWER;
	}
	return REQUEST_OTHER_METHOD;
}

/* What the client wants: an enum request, or -1 with errno. */
static int
read_request(struct cp_conn *conn)
{
	const uint64_t start_ns = now_ns();
	struct http_head head = {0};
	char piece[PIECE_BYTES];

	while (head.state == HTTP_HEAD_PARTIAL) {
		unsigned patience_ms = head.size == 0 ? SILENCE_MS : HEAD_MS;
		ssize_t n = recv_until(conn, piece, sizeof(piece), start_ns + patience_ms * (uint64_t)1000000);

		if (n < 0 && errno != ETIMEDOUT)
			return -1;
		if (n <= 0 && head.size == 0)
			return REQUEST_ANSWER;
		if (n <= 0)
			return n < 0 ? REQUEST_LATE : REQUEST_BAD;
		http_head_feed(&head, piece, (size_t)n);
	}
	cp_set_timeout(conn, CP_TIMEOUT_IDLE, 0);
	return judge_head(&head);
}

/* ---- HTTP: the answer -------------------------------------------------------------------- */

/* As RFC 9110 writes dates, whatever the locale. */
static const char *
format_date(char buf[32])
{
	static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
	static const char months[12][4] = {
		"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	time_t now = time(NULL);
	struct tm tm;

	gmtime_r(&now, &tm);
	snprintf(buf, 32, "%s, %02u %s %04u %02u:%02u:%02u GMT", days[tm.tm_wday], (unsigned)tm.tm_mday % 100,
		months[tm.tm_mon], (unsigned)(tm.tm_year + 1900) % 10000, (unsigned)tm.tm_hour % 100,
		(unsigned)tm.tm_min % 100, (unsigned)tm.tm_sec % 100);
	return buf;
}

/* field: one more, with its end of line, or "". CP_DONE or -1 with errno. */
static int
send_page(struct cp_conn *conn, const char *status, const char *field, const char *body, size_t length, bool with_body)
{
	char date[32];

	if (cp_printf(conn,
		    "HTTP/1.1 %s\r\nDate: %s\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n"
		    "Cache-Control: no-store\r\n%sConnection: close\r\n\r\n",
		    status, format_date(date), length, field) < 0)
		return -1;
	return with_body && cp_send(conn, body, length) < 0 ? -1 : CP_DONE;
}

static int
send_refusal(struct cp_conn *conn, const char *status, const char *field)
{
	char body[64];
	int length = snprintf(body, sizeof(body), "%s\n", status);

	return send_page(conn, status, field, body, (size_t)length, true);
}

static int
send_verdict(struct cp_conn *conn, const struct verdict_result *result, bool with_body)
{
	char age[48];

	snprintf(age, sizeof(age), "Age: %llu\r\n", (unsigned long long)((now_ns() - result->ended_ns) / 1000000000u));
	return send_page(conn, result->is_good ? "200 OK" : "503 Service Unavailable", age, result->text,
		result->length, with_body);
}

static int
serve_http(struct cp_conn *conn)
{
	int request = read_request(conn);
	struct verdict_result *result;
	int rc;

	switch (request) {
	case REQUEST_ANSWER:
	case REQUEST_HEAD:
		break;
	case REQUEST_BAD:
		return send_refusal(conn, "400 Bad Request", "");
	case REQUEST_TOO_LARGE:
		return send_refusal(conn, "431 Request Header Fields Too Large", "");
	case REQUEST_LATE:
		return send_refusal(conn, "408 Request Timeout", "");
	case REQUEST_OTHER_METHOD:
		return send_refusal(conn, "405 Method Not Allowed", "Allow: GET, HEAD, OPTIONS\r\n");
	default:
		return -1;
	}
	result = ask(conn);
	if (result == NULL)
		return -1;
	rc = send_verdict(conn, result, request == REQUEST_ANSWER);
	verdict_result_unref(&result);
	return rc;
}

/* ---- the other formats ----------------------------------------------------------------------- */

static int
serve_plain(struct cp_conn *conn)
{
	struct verdict_result *result = ask(conn);
	int rc;

	if (result == NULL)
		return -1;
	rc = cp_send(conn, result->text, result->length) < 0 ? -1 : CP_DONE;
	verdict_result_unref(&result);
	return rc;
}

/* The first line of the text, as far as it can be printed; its length. */
static size_t
first_line(const struct verdict_result *result, char buf[REASON_MAX])
{
	size_t used = 0;

	for (size_t i = 0; i < result->length && result->text[i] != '\n' && used < REASON_MAX - 1; i++) {
		unsigned char c = (unsigned char)result->text[i];

		if (c != '\r')
			buf[used++] = isprint(c) ? (char)c : '?';
	}
	buf[used] = '\0';
	return used;
}

/* A command that is content may have more to say: "drain", "up 50%". Any other text is for people. */
static bool
is_advice(const char *line, size_t length)
{
	struct agent_answer answer;

	agent_parse(line, length, &answer);
	return agent_has_advice(&answer) && answer.unknown[0] == '\0';
}

static int
serve_agent(struct cp_conn *conn)
{
	struct verdict_result *result = ask(conn);
	char line[REASON_MAX];
	size_t length;
	ssize_t sent;

	if (result == NULL)
		return -1;
	length = first_line(result, line);
	if (!result->is_good)
		sent = cp_printf(conn, "down #%s\n", length > 0 ? line : result->reason);
	else
		sent = cp_printf(conn, "%s\n", is_advice(line, length) ? line : "up");
	verdict_result_unref(&result);
	return sent < 0 ? -1 : CP_DONE;
}

static int
check_serve(struct cp_conn *conn)
{
	switch ((enum check_format)verdict_options(cp_state(conn))->format) {
	case CHECK_HTTP:
		return serve_http(conn);
	case CHECK_AGENT:
		return serve_agent(conn);
	case CHECK_PLAIN:
		break;
	}
	return serve_plain(conn);
}

const struct cp_handler check_handler = {.abi = CP_HANDLER_ABI, .name = "check", .serve = check_serve};
