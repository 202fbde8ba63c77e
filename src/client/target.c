/* SPDX-License-Identifier: MIT */
/*
 * Guesses only where nothing else can be meant: a slash or @ in front is a Unix socket, and whatever has no known
 * scheme is HOST:PORT. All real parsing is address_parse()'s, and so are its messages. Main thread.
 */
#include "config.h"

#include "client/target.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/address.h"
#include "base/errmsg.h"
#include "base/mem.h"

static bool
has_scheme(const char *text)
{
	static const char *const schemes[] = { "tcp:", "udp:", "unix:", "systemd:" };

	for (size_t i = 0; i < CP_COUNT(schemes); i++) {
		if (strncmp(text, schemes[i], strlen(schemes[i])) == 0)
			return true;
	}
	return false;
}

static const char *
missing_scheme(const char *text)
{
	if (has_scheme(text))
		return "";
	if (text[0] == '/' || text[0] == '@' || strncmp(text, "./", 2) == 0 || strncmp(text, "../", 3) == 0)
		return "unix:";
	return "tcp:";
}

int
target_parse(struct address *ret, const char *text, struct errmsg *err)
{
	struct address address;
	char *full;
	int r;

	full = mem_printf("%s%s", missing_scheme(text), text);
	if (full == NULL) {
		errmsg_set(err, "no memory");
		return -ENOMEM;
	}
	r = address_parse(&address, full, err);
	mem_freep(&full);
	if (r < 0)
		return r;
	if (address.kind == ADDRESS_SYSTEMD || (address.kind == ADDRESS_TCP && address.port == 0)) {
		errmsg_set(err, "'%s': %s", text,
			address.kind == ADDRESS_SYSTEMD ? "a socket of the service manager can't be connected to"
							: "a port from 1 to 65535 is needed");
		address_fini(&address);
		return -EINVAL;
	}
	*ret = address;
	return 0;
}
