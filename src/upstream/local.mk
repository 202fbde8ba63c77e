noinst_LIBRARIES += src/upstream/libupstream.a
src_upstream_libupstream_a_SOURCES = \
	src/upstream/agent.c src/upstream/agent.h \
	src/upstream/check.c src/upstream/check.h \
	src/upstream/probe.c src/upstream/probe.h \
	src/upstream/resolve.h \
	src/upstream/balance.c src/upstream/balance.h \
	src/upstream/group.h \
	src/upstream/server.c src/upstream/server.h \
	src/upstream/server_ready.c \
	src/upstream/upstream.c src/upstream/upstream.h \
	src/upstream/upstreams.c src/upstream/upstreams.h
src_upstream_libupstream_a_SOURCES += \
	src/upstream/resolve.c \
	src/upstream/resolve_lookup.c src/upstream/resolve_lookup.h \
	src/upstream/resolve_set.c src/upstream/resolve_set.h \
	src/upstream/resolve_srv.c src/upstream/resolve_srv.h
src_upstream_libupstream_a_SOURCES += \
	src/upstream/client.c src/upstream/client.h
src_upstream_libupstream_a_SOURCES += \
	src/upstream/upstreams_plan.c src/upstream/upstreams_plan.h
