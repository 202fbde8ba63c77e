# Built by `make check` so that it does not rot, run by hand: figures want a quiet machine.
check_PROGRAMS += bench/micro
bench_micro_SOURCES = bench/micro.c
bench_micro_LDADD = src/pool/libpool.a src/net/libnet.a src/engine/libengine.a src/conf/libconf.a src/base/libbase.a \
	$(LIBCONFIG_LIBS) $(SYSTEMD_LIBS)

# Run by hand: bench/README.md.
EXTRA_DIST += bench/README.md bench/compare
