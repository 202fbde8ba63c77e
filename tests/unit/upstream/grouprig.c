/* SPDX-License-Identifier: MIT */
/*
 * grouprig.c - see grouprig.h. Its asking is for any thread, the rest for the test's.
 */
#include "config.h"

#include "grouprig.h"

#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "../net/netfixture.h"
#include "base/mem.h"

struct rig rig;

static void
on_granted(struct upstream_wish *wish)
{
	CP_CONTAINER_OF(wish, struct rig_client, wish)->granted++;
}

void
rig_begin(unsigned count, int balance)
{
	rig = (struct rig){.upstream = upstream_new("web"), .count = count};
	ck_assert_ptr_nonnull(rig.upstream);
	ck_assert_uint_le(count, RIG_SERVERS_MAX);
	rig.settings = (struct upstream_settings){
		.balance = balance, .connect_timeout_ms = 1000, .retries = 3, .check_rise = 2, .check_fall = 3};
	for (unsigned i = 0; i < count; i++) {
		struct sockaddr_in *sin = (struct sockaddr_in *)&rig.addresses[i].storage;

		rig.in_group[i] = true;
		rig.server_settings[i] = (struct server_settings){.weight = 1};
		sin->sin_family = AF_INET;
		sin->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		rig.addresses[i].length = sizeof(*sin);
	}
}

void
rig_apply(void)
{
	struct upstream_change change = {.settings = rig.settings};

	change.servers = mem_zalloc_array(rig.count, sizeof(change.servers[0]));
	change.server_settings = mem_zalloc_array(rig.count, sizeof(change.server_settings[0]));
	for (unsigned i = 0; i < rig.count; i++) {
		char name[32];

		if (!rig.in_group[i]) {
			server_unref(&rig.servers[i]);
			continue;
		}
		snprintf(name, sizeof(name), "tcp:10.0.0.%u:80", i + 1);
		change.servers[change.count] = rig.servers[i];
		if (rig.servers[i] == NULL) {
			change.servers[change.count] =
				server_new(rig.upstream, name, name, &rig.addresses[i], &rig.server_settings[i]);
			rig.servers[i] = server_ref(change.servers[change.count]);
		}
		change.server_settings[change.count++] = rig.server_settings[i];
	}
	upstream_apply(rig.upstream, &change, fixture_now_ns());
}

void
rig_end(void)
{
	for (unsigned i = 0; i < rig.count; i++) {
		if (rig.servers[i] != NULL)
			ck_assert_uint_eq(rig.servers[i]->active, 0);
		server_unref(&rig.servers[i]);
	}
	ck_assert_uint_eq(rig.upstream->waiting_count, 0);
	ck_assert_uint_eq(atomic_load(&rig.upstream->refs), 1);
	upstream_unref(&rig.upstream);
}

unsigned
rig_index(const struct server *server)
{
	for (unsigned i = 0; i < rig.count; i++) {
		if (rig.servers[i] == server)
			return i;
	}
	ck_abort_msg("a server of no index");
	return 0;
}

struct rig_client
rig_client(uint64_t source_hash)
{
	return (struct rig_client){.wish = {.granted = on_granted, .source_hash = source_hash}};
}

enum upstream_answer
rig_ask(struct rig_client *client)
{
	return upstream_take(rig.upstream, &client->wish, fixture_now_ns());
}

unsigned
rig_take(struct rig_client *client)
{
	ck_assert_int_eq(rig_ask(client), UPSTREAM_TAKEN);
	return rig_index(client->wish.server);
}

unsigned
rig_visit(uint64_t source_hash)
{
	struct rig_client client = rig_client(source_hash);
	unsigned index = rig_take(&client);

	server_leave(&client.wish.server);
	ck_assert_ptr_null(client.wish.server);
	return index;
}

void
rig_report(unsigned server, enum server_event event, unsigned times)
{
	while (times-- > 0)
		server_report(rig.servers[server], event, NULL, "the test says so");
}
