# SPDX-License-Identifier: MIT
NETFIXTURE = tests/unit/net/netfixture.c tests/unit/net/netfixture.h
UNIT_TESTS += tests/unit/net/test_accept_error
tests_unit_net_test_accept_error_SOURCES = tests/unit/net/test_accept_error.c
tests_unit_net_test_accept_error_LDADD = $(UNIT_LIBS)
UNIT_TESTS += tests/unit/net/test_accept_thread
tests_unit_net_test_accept_thread_SOURCES = tests/unit/net/test_accept_thread.c
tests_unit_net_test_accept_thread_LDADD = $(UNIT_LIBS)
UNIT_TESTS += tests/unit/net/test_acceptor
tests_unit_net_test_acceptor_SOURCES = tests/unit/net/test_acceptor.c tests/unit/net/acceptor_room.c tests/unit/net/acceptorrig.c \
	tests/unit/net/acceptorrig.h $(NETFIXTURE)
tests_unit_net_test_acceptor_LDADD = $(UNIT_LIBS)
UNIT_TESTS += tests/unit/net/test_acl
tests_unit_net_test_acl_SOURCES = tests/unit/net/test_acl.c $(NETFIXTURE)
tests_unit_net_test_acl_LDADD = $(UNIT_LIBS)
UNIT_TESTS += tests/unit/net/test_admission
tests_unit_net_test_admission_SOURCES = tests/unit/net/test_admission.c $(NETFIXTURE)
tests_unit_net_test_admission_LDADD = $(UNIT_LIBS)
UNIT_TESTS += tests/unit/net/test_conn
tests_unit_net_test_conn_SOURCES = tests/unit/net/test_conn.c $(NETFIXTURE)
tests_unit_net_test_conn_LDADD = $(UNIT_LIBS)
UNIT_TESTS += tests/unit/net/test_listener
tests_unit_net_test_listener_SOURCES = tests/unit/net/test_listener.c $(NETFIXTURE)
tests_unit_net_test_listener_LDADD = $(UNIT_LIBS)
UNIT_TESTS += tests/unit/net/test_proxy_accept
tests_unit_net_test_proxy_accept_SOURCES = tests/unit/net/test_proxy_accept.c $(NETFIXTURE)
tests_unit_net_test_proxy_accept_LDADD = $(UNIT_LIBS)
UNIT_TESTS += tests/unit/net/test_refusals
tests_unit_net_test_refusals_SOURCES = tests/unit/net/test_refusals.c $(NETFIXTURE)
tests_unit_net_test_refusals_LDADD = $(UNIT_LIBS)
UNIT_TESTS += tests/unit/net/test_route
tests_unit_net_test_route_SOURCES = tests/unit/net/test_route.c $(NETFIXTURE)
tests_unit_net_test_route_LDADD = $(UNIT_LIBS)
UNIT_TESTS += tests/unit/net/test_socket
tests_unit_net_test_socket_SOURCES = tests/unit/net/test_socket.c tests/unit/net/socket_paths.c tests/unit/net/socketrig.c \
	tests/unit/net/socketrig.h $(NETFIXTURE)
tests_unit_net_test_socket_LDADD = $(UNIT_LIBS)
UNIT_TESTS += tests/unit/net/test_socket_file
tests_unit_net_test_socket_file_SOURCES = tests/unit/net/test_socket_file.c tests/unit/net/socketrig.c \
	tests/unit/net/socketrig.h $(NETFIXTURE)
tests_unit_net_test_socket_file_LDADD = $(UNIT_LIBS)
UNIT_TESTS += tests/unit/net/test_sources
tests_unit_net_test_sources_SOURCES = tests/unit/net/test_sources.c $(NETFIXTURE)
tests_unit_net_test_sources_LDADD = $(UNIT_LIBS)
