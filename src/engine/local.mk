noinst_LIBRARIES += src/engine/libengine.a
src_engine_libengine_a_SOURCES = \
	src/engine/fiber.c src/engine/fiber.h \
	src/engine/loop.c src/engine/loop.h \
	src/engine/relay.c src/engine/relay.h \
	src/engine/sanitize.h src/engine/sched.h \
	src/engine/stack.c src/engine/stack.h \
	src/engine/timer.c src/engine/timer.h
