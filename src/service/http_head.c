/* SPDX-License-Identifier: MIT */
/*
 * http_head.c - a machine that reads the head of a request (RFC 9112, sections 2 and 3).
 *
 * It is strict where a mistake shows that the client speaks something else, and takes a bare LF for the end of a line,
 * as section 2.2 allows: checks are often written by hand. It allocates nothing and keeps nothing but the method.
 */
#include "config.h"

#include "service/http_head.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

/* Where in the head the next byte stands. */
enum place {
	PLACE_METHOD,
	PLACE_TARGET_START,
	PLACE_TARGET,
	PLACE_VERSION,
	PLACE_LINE_START,
	PLACE_NAME,
	PLACE_VALUE,
	PLACE_LINE_LF, /* behind a CR */
	PLACE_END_LF,  /* behind the CR of the empty line */
	PLACE_OVER,
	PLACE_WRONG,
};

/* What a request line ends with, but for its last digit. */
static const char version[] = "HTTP/1.";

/* Of methods and names of fields: "token" of RFC 9110. */
static bool
is_token(unsigned char c)
{
	return isalnum(c) || (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

/* What no line of text has; bytes above 127 are let through, as they come in values. */
static bool
is_control(unsigned char c)
{
	return (c < 0x20 && c != '\t') || c == 0x7f;
}

static enum place
read_method(struct http_head *head, unsigned char c)
{
	/* An empty line before it is to be borne (section 2.2). */
	if (head->method_length == 0 && (c == '\r' || c == '\n'))
		return PLACE_METHOD;
	if (c == ' ' && head->method_length > 0)
		return PLACE_TARGET_START;
	if (!is_token(c))
		return PLACE_WRONG;
	if (head->method_length < HTTP_METHOD_MAX - 1)
		head->method[head->method_length] = (char)c;
	head->method_length++;
	return PLACE_METHOD;
}

static enum place
read_target(unsigned char c, enum place place)
{
	if (c == ' ' && place == PLACE_TARGET)
		return PLACE_VERSION;
	return c <= ' ' || c == 0x7f ? PLACE_WRONG : PLACE_TARGET;
}

static enum place
end_of_line(unsigned char c, enum place otherwise)
{
	if (c == '\n')
		return PLACE_LINE_START;
	return c == '\r' ? PLACE_LINE_LF : otherwise;
}

static enum place
read_version(struct http_head *head, unsigned char c)
{
	const size_t length = sizeof(version) - 1;

	if (head->matched < length)
		return c == (unsigned char)version[head->matched++] ? PLACE_VERSION : PLACE_WRONG;
	if (head->matched++ == length)
		return isdigit(c) ? PLACE_VERSION : PLACE_WRONG;
	return end_of_line(c, PLACE_WRONG);
}

static enum place
read_line_start(unsigned char c)
{
	if (c == '\n')
		return PLACE_OVER;
	if (c == '\r')
		return PLACE_END_LF;
	return is_token(c) ? PLACE_NAME : PLACE_WRONG;
}

static enum place
read_byte(struct http_head *head, unsigned char c)
{
	switch ((enum place)head->place) {
	case PLACE_METHOD:
		return read_method(head, c);
	case PLACE_TARGET_START:
	case PLACE_TARGET:
		return read_target(c, (enum place)head->place);
	case PLACE_VERSION:
		return read_version(head, c);
	case PLACE_LINE_START:
		return read_line_start(c);
	case PLACE_NAME:
		return c == ':' ? PLACE_VALUE : is_token(c) ? PLACE_NAME : PLACE_WRONG;
	case PLACE_VALUE:
		return end_of_line(c, is_control(c) ? PLACE_WRONG : PLACE_VALUE);
	case PLACE_LINE_LF:
		return c == '\n' ? PLACE_LINE_START : PLACE_WRONG;
	case PLACE_END_LF:
		return c == '\n' ? PLACE_OVER : PLACE_WRONG;
	case PLACE_OVER:
	case PLACE_WRONG:
		break;
	}
	return PLACE_WRONG;
}

enum http_head_state
http_head_feed(struct http_head *head, const char *data, size_t size)
{
	for (size_t i = 0; i < size && head->state == HTTP_HEAD_PARTIAL; i++) {
		enum place place = read_byte(head, (unsigned char)data[i]);

		head->place = (unsigned char)place;
		head->size++;
		if (place == PLACE_OVER)
			head->state = HTTP_HEAD_WHOLE;
		else if (place == PLACE_WRONG)
			head->state = HTTP_HEAD_BAD;
		else if (head->size == HTTP_HEAD_MAX)
			head->state = HTTP_HEAD_TOO_LARGE;
	}
	return head->state;
}
