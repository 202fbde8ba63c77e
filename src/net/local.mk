noinst_LIBRARIES += src/net/libnet.a
src_net_libnet_a_SOURCES = \
	src/net/accept_error.c src/net/accept_error.h src/net/accept_thread.c src/net/accept_thread.h src/net/acceptor.c src/net/acceptor.h src/net/acl.c src/net/acl.h src/net/admission.c src/net/admission.h src/net/conn.c src/net/conn.h \
	src/net/listener.c src/net/listener.h src/net/proxy_accept.c src/net/proxy_accept.h src/net/refusals.c \
	src/net/refusals.h src/net/route.c src/net/route.h src/net/socket.c src/net/socket.h src/net/socket_file.c src/net/socket_file.h \
	src/net/sources.c src/net/sources.h
