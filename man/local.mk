dist_man_MANS += man/connpool-client.1
