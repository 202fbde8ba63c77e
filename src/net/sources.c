/* SPDX-License-Identifier: MIT */
/*
 * sources.c - a chained hash table that grows and shrinks with what is in it.
 *
 * The hash is keyed by a secret of the process, so that a client with many addresses can't choose them to fall into one
 * chain. The lock is held for a few instructions, or for one growth; never across a system call but malloc's own.
 */
#include "config.h"

#include "net/sources.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "base/address.h"
#include "base/assert.h"
#include "base/lock.h"
#include "base/mem.h"

#define BUCKETS_MIN 64u

struct source {
	struct source *next;
	uint64_t connections;
	uint16_t family;
	uint8_t bytes[16];
};

struct sources {
	struct cp_lock lock;     /* LOCK_SOURCES; guards the fields down to the blank line */
	struct source **buckets; /* a power of two of them */
	unsigned bucket_count;
	unsigned count;

	uint64_t key[2]; /* fixed at init */
};

struct sources *
sources_new(void)
{
	struct sources *sources = mem_zalloc(sizeof(*sources));

	if (sources == NULL)
		return NULL;
	sources->bucket_count = BUCKETS_MIN;
	sources->buckets = mem_zalloc_array(BUCKETS_MIN, sizeof(sources->buckets[0]));
	if (sources->buckets == NULL) {
		mem_free(sources);
		return NULL;
	}
	lock_init(&sources->lock, LOCK_SOURCES);
	/* Without random bytes (a very early boot) the table works all the same. */
	if (getrandom(sources->key, sizeof(sources->key), GRND_NONBLOCK) < 0)
		sources->key[0] = (uintptr_t)sources;
	return sources;
}

void
sources_free(struct sources **holder)
{
	struct sources *sources = *holder;

	*holder = NULL;
	if (sources == NULL)
		return;
	for (unsigned i = 0; i < sources->bucket_count; i++) {
		while (sources->buckets[i] != NULL) {
			struct source *next = sources->buckets[i]->next;

			mem_free(sources->buckets[i]);
			sources->buckets[i] = next;
		}
	}
	lock_fini(&sources->lock);
	mem_free(sources->buckets);
	mem_free(sources);
}

/* Two rounds of multiply and fold over the address, each keyed: cheap, and not to be foreseen from outside. */
static uint64_t
hash_source(const struct sources *sources, uint16_t family, const uint8_t bytes[16])
{
	uint64_t words[2];
	__uint128_t product;

	memcpy(words, bytes, sizeof(words));
	product = (__uint128_t)(words[0] ^ sources->key[0] ^ family) * ((words[1] ^ sources->key[1]) | 1);
	words[0] = (uint64_t)product ^ (uint64_t)(product >> 64);
	product = (__uint128_t)(words[0] ^ sources->key[1]) * 0x9e3779b97f4a7c15ull;
	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static struct source **
find_locked(struct sources *sources, const struct peer *peer)
{
	uint64_t hash = hash_source(sources, peer->family, peer->bytes);
	struct source **at = &sources->buckets[hash & (sources->bucket_count - 1)];

	lock_assert_held(&sources->lock);
	while (*at != NULL &&
		((*at)->family != peer->family || memcmp((*at)->bytes, peer->bytes, sizeof(peer->bytes)) != 0))
		at = &(*at)->next;
	return at;
}

/* Failing to resize is no failure: the chains get longer, or the table stays large. */
static void
resize_locked(struct sources *sources, unsigned bucket_count)
{
	struct source **buckets = mem_zalloc_array(bucket_count, sizeof(buckets[0]));

	lock_assert_held(&sources->lock);
	if (buckets == NULL)
		return;
	for (unsigned i = 0; i < sources->bucket_count; i++) {
		struct source *source = sources->buckets[i];

		while (source != NULL) {
			struct source *next = source->next;
			uint64_t hash = hash_source(sources, source->family, source->bytes);

			source->next = buckets[hash & (bucket_count - 1)];
			buckets[hash & (bucket_count - 1)] = source;
			source = next;
		}
	}
	mem_free(sources->buckets);
	sources->buckets = buckets;
	sources->bucket_count = bucket_count;
}

static int
add_locked(struct sources *sources, const struct peer *peer, uint64_t limit)
{
	struct source **at = find_locked(sources, peer);
	struct source *source = *at;

	if (source != NULL) {
		if (limit > 0 && source->connections >= limit)
			return -EDQUOT;
		source->connections++;
		return 0;
	}
	source = mem_zalloc(sizeof(*source));
	if (source == NULL)
		return -ENOMEM;
	source->family = peer->family;
	memcpy(source->bytes, peer->bytes, sizeof(source->bytes));
	source->connections = 1;
	*at = source;
	if (++sources->count > sources->bucket_count)
		resize_locked(sources, sources->bucket_count * 2);
	return 0;
}

int
sources_add(struct sources *sources, const struct peer *peer, uint64_t limit)
{
	int rc;

	lock_acquire(&sources->lock);
	rc = add_locked(sources, peer, limit);
	lock_release(&sources->lock);
	return rc;
}

void
sources_remove(struct sources *sources, const struct peer *peer)
{
	struct source **at;
	struct source *source;

	lock_acquire(&sources->lock);
	at = find_locked(sources, peer);
	source = *at;
	CP_ASSERT(source != NULL && source->connections > 0);
	if (--source->connections == 0) {
		*at = source->next;
		mem_free(source);
		sources->count--;
		if (sources->bucket_count > BUCKETS_MIN && sources->count < sources->bucket_count / 8)
			resize_locked(sources, sources->bucket_count / 2);
	}
	lock_release(&sources->lock);
}

unsigned
sources_count(struct sources *sources)
{
	unsigned count;

	lock_acquire(&sources->lock);
	count = sources->count;
	lock_release(&sources->lock);
	return count;
}
