/* SPDX-License-Identifier: MIT */
/*
 * network - the five notations of xinetd.conf(5), but for names: those would have to be looked up for each client.
 */
#include "config.h"

#include "import/network.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/errmsg.h"
#include "import/arena.h"
#include "import/words.h"

/* Up to four parts of an IPv4 address. */
struct quad {
	unsigned parts[4];
	size_t count;
};

/* A number up to max; NULL: there is none. Returns what stands behind it. */
static const char *
parse_number(const char *text, unsigned max, unsigned *ret)
{
	unsigned number = 0;

	if (!isdigit((unsigned char)*text))
		return NULL;
	for (; isdigit((unsigned char)*text); text++) {
		number = number * 10 + (unsigned)(*text - '0');
		if (number > max)
			return NULL;
	}
	*ret = number;
	return text;
}

/* "10.1.2.3", "10.1", "10.1." before a '{'; NULL: something else. Returns what stands behind it. */
static const char *
parse_quad(const char *text, struct quad *quad)
{
	*quad = (struct quad){.count = 0};
	while (quad->count < 4) {
		text = parse_number(text, 255, &quad->parts[quad->count]);
		if (text == NULL)
			return NULL;
		quad->count++;
		if (*text != '.')
			return text;
		text++;
		if (*text == '{')
			return text;
	}
	return NULL;
}

static void
add_quad(struct arena *arena, struct words *networks, const struct quad *quad, unsigned bits)
{
	uint32_t number = 0;

	for (size_t i = 0; i < 4; i++)
		number = number << 8 | quad->parts[i];
	number &= bits == 0 ? 0 : UINT32_MAX << (32 - bits);
	words_add(arena, networks,
		bits == 32 ? arena_printf(arena, "%u.%u.%u.%u", number >> 24, number >> 16 & 255, number >> 8 & 255,
				     number & 255)
			   : arena_printf(arena, "%u.%u.%u.%u/%u", number >> 24, number >> 16 & 255, number >> 8 & 255,
				     number & 255, bits));
}

/* Parts that are 0 or missing at the end match anything. */
static unsigned
wildcard_bits(const struct quad *quad)
{
	size_t used = quad->count;

	while (used > 0 && quad->parts[used - 1] == 0)
		used--;
	return (unsigned)used * 8;
}

/* "{4,5}" behind the parts in quad. */
static int
add_factorised(struct arena *arena, struct words *networks, struct quad quad, const char *text)
{
	struct words found = {0};

	if (quad.count > 3)
		return -EINVAL;
	quad.count++;
	do {
		text = parse_number(text + 1, 255, &quad.parts[quad.count - 1]);
		if (text == NULL)
			return -EINVAL;
		add_quad(arena, &found, &quad, (unsigned)quad.count * 8);
	} while (*text == ',');
	if (strcmp(text, "}") != 0)
		return -EINVAL;
	for (size_t i = 0; i < found.count; i++)
		words_add(arena, networks, found.items[i]);
	return 0;
}

static int
add_ipv4(struct arena *arena, struct words *networks, const char *item)
{
	struct quad quad;
	const char *rest = parse_quad(item, &quad);
	unsigned bits;

	if (rest == NULL)
		return -EINVAL;
	if (*rest == '{')
		return add_factorised(arena, networks, quad, rest);
	if (*rest == '/') {
		rest = parse_number(rest + 1, 32, &bits);
		if (rest == NULL || *rest != '\0')
			return -EINVAL;
	} else if (*rest == '\0') {
		bits = wildcard_bits(&quad);
	} else {
		return -EINVAL;
	}
	add_quad(arena, networks, &quad, bits);
	return 0;
}

static int
add_ipv6(struct arena *arena, struct words *networks, const char *item)
{
	const char *slash = strchr(item, '/');
	char *address = slash != NULL ? arena_strndup(arena, item, (size_t)(slash - item)) : arena_strdup(arena, item);
	char text[INET6_ADDRSTRLEN];
	struct in6_addr bytes;
	unsigned bits = 128;
	const char *rest = slash != NULL ? parse_number(slash + 1, 128, &bits) : "";

	if (rest == NULL || *rest != '\0' || inet_pton(AF_INET6, address, &bytes) != 1)
		return -EINVAL;
	for (unsigned i = bits; i < 128; i++)
		bytes.s6_addr[i / 8] &= (uint8_t) ~(0x80u >> i % 8);
	(void)inet_ntop(AF_INET6, &bytes, text, sizeof(text));
	words_add(arena, networks, bits == 128 ? arena_strdup(arena, text) : arena_printf(arena, "%s/%u", text, bits));
	return 0;
}

int
network_convert(struct arena *arena, struct words *networks, const char *item, struct errmsg *err)
{
	bool is_ipv6 = strchr(item, ':') != NULL;
	int r = is_ipv6 ? add_ipv6(arena, networks, item) : add_ipv4(arena, networks, item);

	if (r == 0)
		return 0;
	if (is_ipv6 || item[strspn(item, "0123456789./{,}")] == '\0')
		errmsg_set(err, "\"%s\" is no address", item);
	else
		errmsg_set(err, "\"%s\" is a name: names are not looked up for each client, write its addresses", item);
	return r;
}
