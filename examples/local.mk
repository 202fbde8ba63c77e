# SPDX-License-Identifier: MIT
# The examples, built as tests/modules/ are, for tests/func/examples-01.py. Their own Makefiles are for an installed connpoold.
EXAMPLES = examples/chat/chat.so examples/resolve/resolve.so
nobase_dist_doc_DATA = \
	examples/README.md \
	examples/chat/Makefile examples/chat/README.md examples/chat/chat.c examples/chat/chat.conf \
	examples/kv/Makefile examples/kv/README.md examples/kv/kv.c examples/kv/kv.conf \
	examples/resolve/Makefile examples/resolve/README.md examples/resolve/resolve.c examples/resolve/resolve.conf
if HAVE_HIREDIS
EXAMPLES += examples/kv/kv.so
endif
CLEANFILES += $(EXAMPLES)

check_DATA += $(EXAMPLES)

BUILD_EXAMPLE = $(MKDIR_P) $(@D) && $(CC) -I$(top_srcdir)/include $(AM_CFLAGS) $(CPPFLAGS) $(CFLAGS) -shared -fPIC

examples/chat/chat.so: examples/chat/chat.c $(HANDLER_H)
	$(AM_V_CC)$(BUILD_EXAMPLE) -o $@ $(top_srcdir)/examples/chat/chat.c
examples/kv/kv.so: examples/kv/kv.c $(HANDLER_H)
	$(AM_V_CC)$(BUILD_EXAMPLE) $(HIREDIS_CFLAGS) -o $@ $(top_srcdir)/examples/kv/kv.c $(HIREDIS_LIBS)
examples/resolve/resolve.so: examples/resolve/resolve.c $(HANDLER_H)
	$(AM_V_CC)$(BUILD_EXAMPLE) -o $@ $(top_srcdir)/examples/resolve/resolve.c
