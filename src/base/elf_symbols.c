/* SPDX-License-Identifier: MIT */
/*
 * elf_symbols.c - reads the section of symbols, as elf(5) has it.
 *
 * Called in a signal handler, of files that may have been replaced since they were loaded: nothing is read that was not
 * found to lie within the bytes. Structures are copied out, because nobody promises that they are aligned.
 */
#include "config.h"

#include "base/elf_symbols.h"

#include <link.h>
#include <string.h>

struct bytes {
	const unsigned char *start;
	size_t size;
};

struct table {
	uint64_t symbols; /* offset of the first one */
	uint64_t count;
	uint64_t strings;
	uint64_t strings_size;
};

static bool
is_within(const struct bytes *bytes, uint64_t offset, uint64_t count)
{
	return offset <= bytes->size && count <= bytes->size - offset;
}

static bool
copy_section(const struct bytes *bytes, const ElfW(Ehdr) * header, unsigned index, ElfW(Shdr) * ret_section)
{
	uint64_t offset = (uint64_t)index * sizeof(*ret_section);

	if (index >= header->e_shnum || !is_within(bytes, header->e_shoff, 0) ||
		!is_within(bytes, header->e_shoff + offset, sizeof(*ret_section)))
		return false;
	memcpy(ret_section, bytes->start + header->e_shoff + offset, sizeof(*ret_section));
	return true;
}

/* The whole table, or, of a stripped file, that of exported symbols. */
static bool
find_table(const struct bytes *bytes, unsigned type, struct table *ret_table)
{
	ElfW(Ehdr) header;

	if (!is_within(bytes, 0, sizeof(header)))
		return false;
	memcpy(&header, bytes->start, sizeof(header));
	if (memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_shentsize != sizeof(ElfW(Shdr)))
		return false;
	for (unsigned i = 0; i < header.e_shnum; i++) {
		ElfW(Shdr) section;
		ElfW(Shdr) strings;

		if (!copy_section(bytes, &header, i, &section) || section.sh_type != type ||
			section.sh_entsize != sizeof(ElfW(Sym)) ||
			!is_within(bytes, section.sh_offset, section.sh_size) ||
			!copy_section(bytes, &header, section.sh_link, &strings) ||
			!is_within(bytes, strings.sh_offset, strings.sh_size))
			continue;
		*ret_table = (struct table){.symbols = section.sh_offset,
			.count = section.sh_size / sizeof(ElfW(Sym)),
			.strings = strings.sh_offset,
			.strings_size = strings.sh_size};
		return true;
	}
	return false;
}

static bool
is_at(const ElfW(Sym) * symbol, uint64_t address)
{
	return (symbol->st_info & 0xf) == STT_FUNC && symbol->st_shndx != SHN_UNDEF && address >= symbol->st_value &&
	       address - symbol->st_value < symbol->st_size;
}

static bool
find_in(const struct bytes *bytes, const struct table *table, uint64_t address, const char **ret_name,
	uint64_t *ret_start)
{
	for (uint64_t i = 0; i < table->count; i++) {
		ElfW(Sym) symbol;
		const char *name;

		memcpy(&symbol, bytes->start + table->symbols + i * sizeof(symbol), sizeof(symbol));
		if (!is_at(&symbol, address) || symbol.st_name >= table->strings_size)
			continue;
		name = (const char *)bytes->start + table->strings + symbol.st_name;
		if (memchr(name, '\0', (size_t)(table->strings_size - symbol.st_name)) == NULL)
			continue;
		*ret_name = name;
		*ret_start = symbol.st_value;
		return true;
	}
	return false;
}

bool
elf_symbols_find(const unsigned char *start, size_t size, uint64_t address, const char **ret_name, uint64_t *ret_start)
{
	const struct bytes bytes = {.start = start, .size = size};
	struct table table;

	if (find_table(&bytes, SHT_SYMTAB, &table) && find_in(&bytes, &table, address, ret_name, ret_start))
		return true;
	return find_table(&bytes, SHT_DYNSYM, &table) && find_in(&bytes, &table, address, ret_name, ret_start);
}
