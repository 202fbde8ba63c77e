noinst_LIBRARIES += src/pool/libpool.a
src_pool_libpool_a_SOURCES = \
	src/pool/pool.c src/pool/pool.h src/pool/queue.c src/pool/queue.h src/pool/worker.c src/pool/worker.h
