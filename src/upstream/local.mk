noinst_LIBRARIES += src/upstream/libupstream.a
src_upstream_libupstream_a_SOURCES = \
	src/upstream/check.h \
	src/upstream/resolve.h \
	src/upstream/server.h \
	src/upstream/upstream.h \
	src/upstream/upstreams.h
