/* SPDX-License-Identifier: MIT */
/*
 * http_head - the head of an HTTP/1 request, as far as a service that has one answer must know it: whether it is one,
 * where it ends, and whether it asks for the head of the answer alone.
 *
 * Fed byte by byte as they come, in any pieces; nothing of it is kept. Pure; any thread.
 */
#ifndef CP_SERVICE_HTTP_HEAD_H
#define CP_SERVICE_HTTP_HEAD_H

#include <stddef.h>

/* A request line and all lines of a head; browsers and checks send a few hundred bytes. */
#define HTTP_HEAD_MAX 8192u
/* Of methods, to tell them apart. */
#define HTTP_METHOD_MAX 16u

enum http_head_state {
	HTTP_HEAD_PARTIAL, /* more must come */
	HTTP_HEAD_WHOLE,
	HTTP_HEAD_BAD,       /* it is none */
	HTTP_HEAD_TOO_LARGE, /* HTTP_HEAD_MAX bytes and no end */
};

/* Zeroed, it has read nothing. */
struct http_head {
	enum http_head_state state;
	size_t size;                  /* read of it */
	char method[HTTP_METHOD_MAX]; /* with a NUL; cut */
	unsigned char place;          /* private: http_head.c, down to the end */
	unsigned char matched;
	unsigned method_length;
};

/* Reads on until the head is over. Bytes behind it are left alone. */
enum http_head_state http_head_feed(struct http_head *head, const char *data, size_t size);

#endif
