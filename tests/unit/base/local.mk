UNIT_TESTS += tests/unit/base/test_histogram
tests_unit_base_test_histogram_SOURCES = tests/unit/base/test_histogram.c
tests_unit_base_test_histogram_LDADD = $(UNIT_LIBS)
