/* SPDX-License-Identifier: MIT */
/*
 * source - reading a config file, and the scanner that goes over it before libconfig does.
 *
 * The scanner knows just enough of the syntax to tell strings, comments, names and numbers apart. It never judges
 * what libconfig judges itself. The descriptor is closed on every path.
 */
#include "config.h"

#include "conf/source.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/errmsg.h"
#include "base/fdutil.h"
#include "base/mem.h"

/* A pipe (a shell's process substitution, a FIFO) has this long for all that it has to say. */
#define PIPE_MS 1000u

/* ---- reading ----------------------------------------------------------------- */

/* 0: there is something to read, or the end. -ETIMEDOUT. */
static int
await_input(int fd, uint64_t until_ns)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};
	uint64_t now_ns = clock_now_ns();

	if (now_ns >= until_ns || poll(&pfd, 1, (int)((until_ns - now_ns) / CLOCK_NS_PER_MS) + 1) == 0)
		return -ETIMEDOUT;
	return 0;
}

/* fd is non-blocking: a reload must not wait for whoever writes a FIFO. */
static int
read_all(int fd, char **text, size_t *length, struct errmsg *err)
{
	const uint64_t until_ns = clock_now_ns() + PIPE_MS * CLOCK_NS_PER_MS;
	size_t room = 0;

	for (;;) {
		ssize_t n;

		if (*length + 1 >= room) {
			char *grown = mem_realloc_array(*text, room == 0 ? 16384 : room * 2, 1);

			if (grown == NULL)
				return -ENOMEM;
			*text = grown;
			room = room == 0 ? 16384 : room * 2;
		}
		n = read(fd, *text + *length, room - *length - 1);
		if (n < 0 && (errno == EINTR || (errno == EAGAIN && await_input(fd, until_ns) == 0)))
			continue;
		if (n < 0 && errno == EAGAIN) {
			errmsg_set(err, "is a pipe that was not written to its end within %u ms", PIPE_MS);
			return -ETIMEDOUT;
		}
		if (n < 0) {
			int error = errno;

			errmsg_set(err, "cannot read: %s", errmsg_errno(error));
			return -error;
		}
		if (n == 0)
			break;
		*length += (size_t)n;
		if (*length > SOURCE_BYTES_MAX) {
			errmsg_set(err, "is too large, expected at most %u bytes", SOURCE_BYTES_MAX);
			return -EFBIG;
		}
	}
	(*text)[*length] = '\0';
	return 0;
}

int
source_read(const char *path, char **ret_text, size_t *ret_length, struct errmsg *err)
{
	char *text = NULL;
	size_t length = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	int r;

	if (fd < 0) {
		r = -errno;
		errmsg_set(err, "cannot open: %s", errmsg_errno(-r));
		return r;
	}
	r = read_all(fd, &text, &length, err);
	fd_close(&fd);
	if (r < 0) {
		mem_free(text);
		return r;
	}
	*ret_text = text;
	*ret_length = length;
	return 0;
}

/* ---- making it safe ------------------------------------------------------------ */

/* Sections within sections; libconfig walks them by recursion. */
#define DEPTH_MAX 64

struct scan {
	const char *at;
	const char *end;
	char *out;
	unsigned line;
	bool at_line_start;       /* nothing but blanks on this line so far */
	char before;              /* the token before: its sign, '"' for a string, 'a' for a name or number */
	char brackets[DEPTH_MAX]; /* those that are open */
	unsigned depth;
};

static void
copy(struct scan *scan, size_t count)
{
	for (; count > 0 && scan->at < scan->end; count--) {
		if (*scan->at == '\n')
			scan->line++;
		*scan->out++ = *scan->at++;
	}
}

static bool
starts_with(const struct scan *scan, const char *what)
{
	size_t length = strlen(what);

	return (size_t)(scan->end - scan->at) >= length && memcmp(scan->at, what, length) == 0;
}

/* A string is a value, an element of a list, or goes on with one before. */
static bool
may_be_string(const struct scan *scan)
{
	if (scan->before == ',')
		return scan->depth > 0 && scan->brackets[scan->depth - 1] != '{';
	return strchr("=:[(\"", scan->before) != NULL;
}

/* 0, or -EINVAL when the string goes on to the end of the file or stands where libconfig would leak it. */
static int
scan_string(struct scan *scan, struct errmsg *err)
{
	unsigned first_line = scan->line;

	if (!may_be_string(scan)) {
		errmsg_set(err, "a string stands alone, expected NAME = \"…\";");
		return -EINVAL;
	}
	scan->before = '"';
	copy(scan, 1);
	while (scan->at < scan->end && *scan->at != '"')
		copy(scan, *scan->at == '\\' ? 2 : 1);
	if (scan->at == scan->end) {
		scan->line = first_line;
		errmsg_set(err, "the string that begins here has no end, expected '\"'");
		return -EINVAL;
	}
	copy(scan, 1);
	return 0;
}

static int
scan_comment(struct scan *scan, struct errmsg *err)
{
	unsigned first_line = scan->line;

	copy(scan, 2);
	while (scan->at < scan->end && !starts_with(scan, "*/"))
		copy(scan, 1);
	if (scan->at == scan->end) {
		scan->line = first_line;
		errmsg_set(err, "the comment that begins here has no end, expected \"*/\"");
		return -EINVAL;
	}
	copy(scan, 2);
	return 0;
}

static bool
is_name_char(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '-' || c == '*';
}

/*
 * A number. What does not fit into 32 bits gets libconfig's mark for 64, what does not fit into 64 becomes the largest
 * that does, which no option takes. Fractions and numbers that are marked already are left as they are, but for their
 * size.
 */
static void
scan_number(struct scan *scan)
{
	const bool is_hex = starts_with(scan, "0x") || starts_with(scan, "0X");
	const char *digit = scan->at + (is_hex ? 2 : 0);
	uint64_t value;

	errno = 0;
	value = strtoull(scan->at, NULL, is_hex ? 16 : 10);
	while (digit < scan->end && (is_hex ? isxdigit((unsigned char)*digit) : isdigit((unsigned char)*digit)))
		digit++;
	if (digit < scan->end && (*digit == '.' || *digit == 'e' || *digit == 'E')) {
		while (digit < scan->end && (isalnum((unsigned char)*digit) || *digit == '.'))
			digit++;
		copy(scan, (size_t)(digit - scan->at));
		return;
	}
	if (errno == ERANGE || value > INT64_MAX) {
		scan->out += sprintf(scan->out, "%" PRId64, INT64_MAX);
		scan->at = digit;
	} else {
		copy(scan, (size_t)(digit - scan->at));
	}
	while (scan->at < scan->end && *scan->at == 'L')
		scan->at++;
	if (value > INT32_MAX)
		*scan->out++ = 'L';
}

/* Any sign that is no part of a longer token. */
static int
scan_sign(struct scan *scan, struct errmsg *err)
{
	const char c = *scan->at;

	if (strchr("{[(", c) != NULL) {
		if (scan->depth == DEPTH_MAX) {
			errmsg_set(err, "sections within sections, expected at most %d", DEPTH_MAX);
			return -EINVAL;
		}
		scan->brackets[scan->depth++] = c;
	} else if (strchr("}])", c) != NULL && scan->depth > 0) {
		scan->depth--;
	}
	if (!isspace((unsigned char)c))
		scan->before = c;
	copy(scan, 1);
	return 0;
}

/* A name, true or false, or the sign of a number, which is scanned as the next token. */
static void
scan_name(struct scan *scan)
{
	const bool is_sign = *scan->at == '-';

	scan->before = 'a';
	do {
		copy(scan, 1);
	} while (!is_sign && scan->at < scan->end && is_name_char(*scan->at));
}

static int
scan_token(struct scan *scan, struct errmsg *err)
{
	const char c = *scan->at;

	if (c == '"')
		return scan_string(scan, err);
	if (starts_with(scan, "/*"))
		return scan_comment(scan, err);
	if (c == '#' || starts_with(scan, "//")) {
		while (scan->at < scan->end && *scan->at != '\n')
			copy(scan, 1);
	} else if (scan->at_line_start && starts_with(scan, "@include")) {
		errmsg_set(err, "@include is not available, expected include_dir = \"FOLDER\" instead");
		return -EINVAL;
	} else if (isdigit((unsigned char)c)) {
		scan->before = 'a';
		scan_number(scan);
	} else if (is_name_char(c)) {
		scan_name(scan);
	} else {
		return scan_sign(scan, err);
	}
	return 0;
}

/* 0, or -EINVAL with the line in which the first NUL byte stands. */
static int
check_bytes(const char *text, size_t length, unsigned *ret_line, struct errmsg *err)
{
	const char *nul = memchr(text, '\0', length);

	if (nul == NULL)
		return 0;
	*ret_line = 1;
	for (const char *at = text; at < nul; at++)
		*ret_line += *at == '\n';
	errmsg_set(err, "holds a NUL byte, expected text");
	return -EINVAL;
}

int
source_make_safe(const char *text, size_t length, char **ret_safe, unsigned *ret_line, struct errmsg *err)
{
	struct scan scan = {.at = text, .end = text + length, .line = 1, .at_line_start = true, .before = ';'};
	char *safe;
	int r = check_bytes(text, length, ret_line, err);

	if (r < 0)
		return r;
	/* A number at its worst grows from the ten digits of 2^31 by one mark. */
	safe = mem_zalloc_array(length + 32, 2);
	if (safe == NULL)
		return -ENOMEM;
	scan.out = safe;
	while (scan.at < scan.end) {
		const char c = *scan.at;

		r = scan_token(&scan, err);
		if (r < 0) {
			*ret_line = scan.line;
			mem_free(safe);
			return r;
		}
		scan.at_line_start = c == '\n' || (scan.at_line_start && (c == ' ' || c == '\t'));
	}
	*scan.out = '\0';
	*ret_safe = safe;
	return 0;
}
