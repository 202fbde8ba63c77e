noinst_LIBRARIES += src/conf/libconf.a
src_conf_libconf_a_SOURCES = \
	src/conf/check.c src/conf/check.h src/conf/check_address.c src/conf/check_upstream.c \
	src/conf/conf.c src/conf/conf.h src/conf/diff.c src/conf/diff.h \
	src/conf/dump.c src/conf/dump.h src/conf/load.c src/conf/load.h \
	src/conf/option.c src/conf/option.h src/conf/options.c src/conf/options.h src/conf/reader.c src/conf/reader.h \
	src/conf/report.c src/conf/report.h src/conf/source.c src/conf/source.h src/conf/suggest.c src/conf/suggest.h
