# Built by `make check` so that it does not rot, run by hand: figures want a quiet machine.
check_PROGRAMS += bench/micro
bench_micro_SOURCES = bench/micro.c
bench_micro_LDADD = src/engine/libengine.a src/base/libbase.a
