dist_man_MANS += man/connpool-client.1 man/connpoold.8 man/connpoold.conf.5 man/connpoold_handler.7
