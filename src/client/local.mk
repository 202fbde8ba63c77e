noinst_LIBRARIES += src/client/libclient.a
src_client_libclient_a_SOURCES = \
	src/client/bench.c src/client/bench.h src/client/bench_conn.c src/client/bench_conn.h \
	src/client/bench_worker.c src/client/bench_worker.h src/client/dial.c src/client/dial.h \
	src/client/gate.c src/client/gate.h src/client/options.c src/client/options.h \
	src/client/pattern.c src/client/pattern.h src/client/relay.c src/client/relay.h \
	src/client/report.c src/client/report.h src/client/result.c src/client/result.h \
	src/client/sink.c src/client/sink.h src/client/target.c src/client/target.h

# All else is in the library, so that the unit tests can have it without main().
bin_PROGRAMS += src/connpool-client
src_connpool_client_SOURCES = src/client/main.c
src_connpool_client_LDADD = src/client/libclient.a src/base/libbase.a $(JANSSON_LIBS)
