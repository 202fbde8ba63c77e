noinst_LIBRARIES += src/program/libprogram.a
src_program_libprogram_a_SOURCES = \
	src/program/ending.c src/program/ending.h \
	src/program/error_lines.c src/program/error_lines.h \
	src/program/needs.c src/program/needs.h \
	src/program/program.c src/program/program.h \
	src/program/spawner.c src/program/spawner.h \
	src/program/spawner_channel.c \
	src/program/spawner_environment.c \
	src/program/spawner_keeper.c \
	src/program/spawner_launch.c src/program/spawner_launch.h \
	src/program/spawner_line.c src/program/spawner_line.h \
	src/program/spawner_load.c src/program/spawner_load.h \
	src/program/spawner_recipe.c src/program/spawner_recipe.h \
	src/program/spawner_server.c \
	src/program/spawner_table.c \
	src/program/spawner_wire.c src/program/spawner_wire.h
