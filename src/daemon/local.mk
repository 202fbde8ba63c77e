noinst_LIBRARIES += src/daemon/libdaemon.a
src_daemon_libdaemon_a_SOURCES = \
	src/daemon/daemon.c src/daemon/daemon.h src/daemon/generation.c src/daemon/generation.h src/daemon/inspect.c \
	src/daemon/inspect.h src/daemon/lending.c src/daemon/lending.h src/daemon/limits.c src/daemon/limits.h src/daemon/loader.c src/daemon/loader.h src/daemon/reload.c src/daemon/reload.h src/daemon/watch.c src/daemon/watch.h

sbin_PROGRAMS += src/connpoold
src_connpoold_SOURCES = src/main.c
src_connpoold_LDFLAGS = $(AM_LDFLAGS) $(PERTURB_LDFLAGS) $(EXPORT_CALLS)
EXTRA_src_connpoold_DEPENDENCIES = src/service/module.syms
src_connpoold_LDADD = src/daemon/libdaemon.a src/service/libservice.a src/program/libprogram.a src/pool/libpool.a src/net/libnet.a src/upstream/libupstream.a \
	src/engine/libengine.a \
	src/conf/libconf.a src/base/libbase.a $(LIBCONFIG_LIBS) $(LIBCARES_LIBS) $(SYSTEMD_LIBS)
