noinst_LIBRARIES += src/service/libservice.a
src_service_libservice_a_SOURCES = \
	include/connpoold/handler.h \
	src/service/chargen.c \
	src/service/daytime.c \
	src/service/discard.c \
	src/service/echo.c \
	src/service/proxy.c \
	src/service/registry.c src/service/registry.h \
	src/service/services.h \
	src/service/session.c src/service/session.h src/service/session_parts.h \
	src/service/session_end.c \
	src/service/session_io.c \
	src/service/session_relay.c \
	src/service/time.c
