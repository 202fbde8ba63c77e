# SPDX-License-Identifier: MIT
POOL_RIG = tests/unit/pool/poolrig.c tests/unit/pool/poolrig.h tests/unit/pool/threads.h
UNIT_TESTS += tests/unit/pool/test_queue
tests_unit_pool_test_queue_SOURCES = tests/unit/pool/test_queue.c
tests_unit_pool_test_queue_LDADD = $(UNIT_LIBS)
UNIT_TESTS += tests/unit/pool/test_worker
tests_unit_pool_test_worker_SOURCES = tests/unit/pool/test_worker.c $(POOL_RIG)
tests_unit_pool_test_worker_LDADD = $(UNIT_LIBS)
# Threads that can't be had are one of its cases.
tests_unit_pool_test_worker_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=pthread_create
UNIT_TESTS += tests/unit/pool/test_pool
tests_unit_pool_test_pool_SOURCES = tests/unit/pool/test_pool.c $(POOL_RIG)
tests_unit_pool_test_pool_LDADD = $(UNIT_LIBS)
