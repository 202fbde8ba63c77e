/* SPDX-License-Identifier: MIT */
/*
 * acl.c - the networks sorted by the length of their prefix: the first that contains the address is the longest match.
 *
 * Lists in a config file are short (tens of rows), so a scan of a sorted array beats a tree in speed and in size.
 */
#include "config.h"

#include "net/acl.h"

#include <stdlib.h>
#include <sys/socket.h>

#include "base/address.h"
#include "base/mem.h"
#include "conf/option.h"

struct acl_row {
	struct cidr network;
	bool allowed;
};

struct acl {
	bool default_allowed;
	size_t count;
	struct acl_row rows[]; /* longest prefix first */
};

static int
compare_rows(const void *left, const void *right)
{
	const struct acl_row *a = left;
	const struct acl_row *b = right;

	return (int)b->network.prefix_bits - (int)a->network.prefix_bits;
}

struct acl *
acl_new(const struct option_networks *allow, const struct option_networks *deny)
{
	size_t count = allow->count + deny->count;
	struct acl *acl = mem_zalloc(sizeof(*acl) + count * sizeof(acl->rows[0]));

	if (acl == NULL)
		return NULL;
	acl->default_allowed = allow->count == 0;
	for (size_t i = 0; i < allow->count; i++)
		acl->rows[acl->count++] = (struct acl_row){.network = allow->items[i], .allowed = true};
	for (size_t i = 0; i < deny->count; i++)
		acl->rows[acl->count++] = (struct acl_row){.network = deny->items[i], .allowed = false};
	qsort(acl->rows, acl->count, sizeof(acl->rows[0]), compare_rows);
	return acl;
}

void
acl_free(struct acl **acl)
{
	mem_freep(acl);
}

bool
acl_permits(const struct acl *acl, const struct peer *peer)
{
	if (acl == NULL || (peer->family != AF_INET && peer->family != AF_INET6))
		return true;
	for (size_t i = 0; i < acl->count; i++) {
		if (cidr_contains(&acl->rows[i].network, peer))
			return acl->rows[i].allowed;
	}
	return acl->default_allowed;
}
