/* SPDX-License-Identifier: MIT */
/*
 * network - what stands in only_from and no_access, as networks with a prefix.
 */
#ifndef CP_IMPORT_NETWORK_H
#define CP_IMPORT_NETWORK_H

#include "base/defs.h"

struct arena;
struct errmsg;
struct words;

/*
 * Adds what item stands for: "10.1.0.0" is 10.1.0.0/16, "10.1" too, "10.1.{2,3}" two networks, "192.0.2.9/24" loses its
 * host bits. 0; -EINVAL: no address (a name, most likely), err says why and nothing was added.
 */
CP_MUST_CHECK int network_convert(struct arena *arena, struct words *networks, const char *item, struct errmsg *err);

#endif
