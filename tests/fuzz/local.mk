# SPDX-License-Identifier: MIT
# Fuzz targets: libFuzzer programs with --enable-fuzzers (run one by hand: tests/fuzz/fuzz_conf DIR CORPUS), else tests that
# run over their seeds.
FUZZ_TARGETS = tests/fuzz/fuzz_address tests/fuzz/fuzz_agent tests/fuzz/fuzz_conf tests/fuzz/fuzz_import tests/fuzz/fuzz_proxy_header tests/fuzz/fuzz_srv tests/fuzz/fuzz_units
FUZZ_LIBS = src/service/libservice.a src/program/libprogram.a src/pool/libpool.a src/net/libnet.a src/upstream/libupstream.a src/engine/libengine.a src/conf/libconf.a src/base/libbase.a \
	$(LIBCONFIG_LIBS) $(LIBCARES_LIBS) $(SYSTEMD_LIBS)
if FUZZERS
FUZZ_MAIN = tests/fuzz/fuzz.h
else
FUZZ_MAIN = tests/fuzz/fuzz.h tests/fuzz/seeds.c
TESTS += $(FUZZ_TARGETS)
endif
FUZZ_LINK_FLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
check_PROGRAMS += $(FUZZ_TARGETS)
EXTRA_DIST += tests/fuzz/seeds.c tests/fuzz/corpus

tests_fuzz_fuzz_address_SOURCES = tests/fuzz/fuzz_address.c $(FUZZ_MAIN)
tests_fuzz_fuzz_address_LDADD = $(FUZZ_LIBS)
tests_fuzz_fuzz_address_LDFLAGS = $(FUZZ_LINK_FLAGS)
tests_fuzz_fuzz_agent_SOURCES = tests/fuzz/fuzz_agent.c $(FUZZ_MAIN)
tests_fuzz_fuzz_agent_LDADD = $(FUZZ_LIBS)
tests_fuzz_fuzz_agent_LDFLAGS = $(FUZZ_LINK_FLAGS)
tests_fuzz_fuzz_conf_SOURCES = tests/fuzz/fuzz_conf.c $(FUZZ_MAIN)
tests_fuzz_fuzz_conf_LDADD = $(FUZZ_LIBS)
tests_fuzz_fuzz_conf_LDFLAGS = $(FUZZ_LINK_FLAGS)
tests_fuzz_fuzz_import_SOURCES = tests/fuzz/fuzz_import.c $(FUZZ_MAIN)
tests_fuzz_fuzz_import_LDADD = src/import/libimport.a $(FUZZ_LIBS)
tests_fuzz_fuzz_import_LDFLAGS = $(FUZZ_LINK_FLAGS)
tests_fuzz_fuzz_proxy_header_SOURCES = tests/fuzz/fuzz_proxy_header.c $(FUZZ_MAIN)
tests_fuzz_fuzz_proxy_header_LDADD = $(FUZZ_LIBS)
tests_fuzz_fuzz_proxy_header_LDFLAGS = $(FUZZ_LINK_FLAGS)
tests_fuzz_fuzz_srv_SOURCES = tests/fuzz/fuzz_srv.c $(FUZZ_MAIN)
tests_fuzz_fuzz_srv_LDADD = $(FUZZ_LIBS)
tests_fuzz_fuzz_srv_LDFLAGS = $(FUZZ_LINK_FLAGS)
tests_fuzz_fuzz_units_SOURCES = tests/fuzz/fuzz_units.c $(FUZZ_MAIN)
tests_fuzz_fuzz_units_LDADD = $(FUZZ_LIBS)
tests_fuzz_fuzz_units_LDFLAGS = $(FUZZ_LINK_FLAGS)
