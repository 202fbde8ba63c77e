/* SPDX-License-Identifier: MIT */
/*
 * module_elf.c - headers, segments and the table of symbols, as elf(5) has them.
 *
 * Each offset and each count is somebody else's: nothing is read that was not found to lie within the bytes. Structures
 * are copied out, because nobody promises that they are aligned.
 */
#include "config.h"

#include "service/module_elf.h"

#include <errno.h>
#include <link.h>
#include <stdbool.h>
#include <string.h>

#include "base/errmsg.h"

/* Our own header, from the linker: what we were made for. */
extern const ElfW(Ehdr) __ehdr_start __attribute__((visibility("hidden")));

struct bytes {
	const unsigned char *start;
	size_t size;
};

/* ---- reading ------------------------------------------------------------------------ */

static bool
is_within(const struct bytes *bytes, uint64_t offset, uint64_t count)
{
	return offset <= bytes->size && count <= bytes->size - offset;
}

/* False: it is not there. */
static bool
copy_out(const struct bytes *bytes, uint64_t offset, void *target, size_t count)
{
	if (!is_within(bytes, offset, count))
		return false;
	memcpy(target, bytes->start + offset, count);
	return true;
}

/* The one of that index in a table. Neither number is above what fits into 32 bits: the sum can't overflow. */
static bool
copy_entry(const struct bytes *bytes, uint64_t table, uint32_t index, void *target, uint32_t entry_size)
{
	return table <= bytes->size && copy_out(bytes, table + (uint64_t)index * entry_size, target, entry_size);
}

/* ---- looking -------------------------------------------------------------------------- */

/* The loader would name something else as the reason, or nothing that helps. */
static bool
is_made_for_us(const ElfW(Ehdr) * header)
{
	return header->e_machine == __ehdr_start.e_machine &&
	       memcmp(header->e_ident + EI_CLASS, __ehdr_start.e_ident + EI_CLASS, 2) == 0;
}

static bool
is_whole(const struct bytes *bytes, const ElfW(Ehdr) * header)
{
	if (header->e_phentsize != sizeof(ElfW(Phdr)))
		return false;
	for (unsigned i = 0; i < header->e_phnum; i++) {
		ElfW(Phdr) segment;

		if (!copy_entry(bytes, header->e_phoff, i, &segment, sizeof(segment)))
			return false;
		if (segment.p_type == PT_LOAD && !is_within(bytes, segment.p_offset, segment.p_filesz))
			return false;
	}
	return true;
}

int
module_elf_check(const unsigned char *start, size_t size, struct errmsg *err)
{
	const struct bytes bytes = {start, size};
	ElfW(Ehdr) header;

	if (size < SELFMAG || memcmp(start, ELFMAG, SELFMAG) != 0)
		errmsg_set(err, "is not a shared object (ELF)");
	else if (!copy_out(&bytes, 0, &header, sizeof(header)))
		errmsg_set(err, "is not whole: its end is missing (is it just being copied?)");
	else if (!is_made_for_us(&header))
		errmsg_set(err, "is for another kind of machine");
	else if (header.e_type == ET_REL)
		errmsg_set(err, "is an object file, no shared object: link it (cc -shared)");
	else if (!is_whole(&bytes, &header))
		errmsg_set(err, "is not whole: its end is missing (is it just being copied?)");
	else
		return 0;
	return -ENOEXEC;
}

/* ---- symbols ---------------------------------------------------------------------------- */

static bool
is_name(const struct bytes *bytes, const ElfW(Shdr) * names, uint32_t offset, const char *name)
{
	size_t size = strlen(name) + 1;

	if (offset > names->sh_size || size > names->sh_size - offset || names->sh_offset > bytes->size)
		return false;
	return is_within(bytes, names->sh_offset + offset, size) &&
	       memcmp(bytes->start + names->sh_offset + offset, name, size) == 0;
}

/* A variable of that name among the dynamic symbols of this section. */
static bool
find_symbol(const struct bytes *bytes, const ElfW(Shdr) * section, const ElfW(Shdr) * names, const char *name,
	ElfW(Sym) * ret_symbol)
{
	uint64_t count = section->sh_size / sizeof(*ret_symbol);

	for (uint32_t i = 0; i < count; i++) {
		if (!copy_entry(bytes, section->sh_offset, i, ret_symbol, sizeof(*ret_symbol)))
			return false;
		if (ret_symbol->st_shndx != SHN_UNDEF && is_name(bytes, names, ret_symbol->st_name, name))
			return true;
	}
	return false;
}

/* The number that will stand at that address. */
static bool
read_at(const struct bytes *bytes, const ElfW(Ehdr) * header, uint64_t address, uint32_t *ret_number)
{
	for (unsigned i = 0; i < header->e_phnum; i++) {
		ElfW(Phdr) segment;

		if (!copy_entry(bytes, header->e_phoff, i, &segment, sizeof(segment)))
			return false;
		if (segment.p_type != PT_LOAD || address < segment.p_vaddr ||
			address - segment.p_vaddr >= segment.p_filesz)
			continue;
		/* That the segment lies within the bytes is known. */
		return copy_out(bytes, segment.p_offset + (address - segment.p_vaddr), ret_number, sizeof(*ret_number));
	}
	return false;
}

/* By the sections, which nearly every file has: what was stripped of them is none the worse for being loaded. */
int
module_elf_read_number(const unsigned char *start, size_t size, const char *variable, uint32_t *ret_number)
{
	const struct bytes bytes = {start, size};
	ElfW(Ehdr) header;

	if (!copy_out(&bytes, 0, &header, sizeof(header)) || header.e_shentsize != sizeof(ElfW(Shdr)))
		return -ENOENT;
	for (unsigned i = 0; i < header.e_shnum; i++) {
		ElfW(Shdr) section;
		ElfW(Shdr) names;
		ElfW(Sym) symbol;

		if (!copy_entry(&bytes, header.e_shoff, i, &section, sizeof(section)))
			return -ENOENT;
		if (section.sh_type == SHT_DYNSYM &&
			copy_entry(&bytes, header.e_shoff, section.sh_link, &names, sizeof(names)) &&
			find_symbol(&bytes, &section, &names, variable, &symbol) &&
			read_at(&bytes, &header, symbol.st_value, ret_number))
			return 0;
	}
	return -ENOENT;
}
