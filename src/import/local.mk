noinst_LIBRARIES += src/import/libimport.a
src_import_libimport_a_SOURCES = \
	src/import/arena.c src/import/arena.h src/import/claims.c src/import/claims.h \
	src/import/convert.c src/import/convert.h src/import/convert_access.c src/import/convert_parts.h \
	src/import/convert_program.c src/import/convert_socket.c src/import/emit.c src/import/emit.h \
	src/import/entry.c src/import/entry.h src/import/import.c src/import/import.h src/import/inetd.c src/import/inetd.h \
	src/import/kinds.c src/import/kinds.h src/import/lines.c src/import/lines.h src/import/merge.c src/import/merge.h \
	src/import/network.c src/import/network.h src/import/plan.c src/import/plan.h src/import/quote.c src/import/quote.h \
	src/import/report.c src/import/report.h src/import/words.c src/import/words.h src/import/xinetd.c src/import/xinetd.h

# All else is in the library, so that the unit tests can have it without main().
sbin_PROGRAMS += src/connpoold-import
src_connpoold_import_SOURCES = src/import/main.c
src_connpoold_import_LDADD = src/import/libimport.a src/base/libbase.a
