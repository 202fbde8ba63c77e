dist_man_MANS += man/connpool-client.1 man/connpool-run.1 man/connpoold-import.8 man/connpoold.8 man/connpoold.conf.5 man/connpoold_handler.7

# The calls of handler.h in groups; each call is a name of its group's page.
CALL_PAGES = man/connpoold_connect.3 man/connpoold_info.3 man/connpoold_recv.3 man/connpoold_send.3 man/connpoold_wait.3
dist_man_MANS += $(CALL_PAGES)
LIST_CALLS = $(SED) -n 's/^\.Nm \(cp_[a-z_]*\).*/\1/p'

install-data-hook:
	for page in $(CALL_PAGES); do \
		for call in `$(LIST_CALLS) $(top_srcdir)/$$page`; do \
			ln -sf $${page#man/} $(DESTDIR)$(man3dir)/$$call.3 || exit 1; \
		done; \
	done

uninstall-hook:
	for page in $(CALL_PAGES); do \
		for call in `$(LIST_CALLS) $(top_srcdir)/$$page`; do \
			rm -f $(DESTDIR)$(man3dir)/$$call.3; \
		done; \
	done
