noinst_LIBRARIES += src/run/librun.a
src_run_librun_a_SOURCES = \
	src/run/bridge.c src/run/bridge.h src/run/serve.c src/run/serve.h src/run/setup.c src/run/setup.h

# All else is in the library, so that the unit tests can have it without main().
bin_PROGRAMS += src/connpool-run
src_connpool_run_SOURCES = src/run/main.c
src_connpool_run_LDFLAGS = $(AM_LDFLAGS) $(PERTURB_LDFLAGS) $(EXPORT_CALLS)
EXTRA_src_connpool_run_DEPENDENCIES = src/service/module.syms
src_connpool_run_LDADD = src/run/librun.a src/service/libservice.a src/program/libprogram.a src/net/libnet.a src/upstream/libupstream.a src/engine/libengine.a \
	src/conf/libconf.a src/base/libbase.a $(LIBCONFIG_LIBS) $(LIBCARES_LIBS) $(SYSTEMD_LIBS)
