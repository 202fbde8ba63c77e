/* SPDX-License-Identifier: MIT */
/*
 * elf_symbols - which function of a program or a shared object an address belongs to, static ones too.
 *
 * For backtraces: dladdr(3) knows exported functions alone, and a handler's are static.
 */
#ifndef CP_BASE_ELF_SYMBOLS_H
#define CP_BASE_ELF_SYMBOLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Looks for the function at this address, as the file has it, in the file's symbols. False: it has none there. The name
 * points into bytes, which may be anything. Async-signal-safe.
 */
bool elf_symbols_find(
	const unsigned char *bytes, size_t size, uint64_t address, const char **ret_name, uint64_t *ret_start);

#endif
