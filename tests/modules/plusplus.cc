// SPDX-License-Identifier: MIT
// plusplus.cc - the public header in C++: a module with an option and a state of its own.
#include <connpoold/handler.h>

#include <string>

namespace
{

struct settings {
	char *greeting;
	uint64_t times;
};

const struct cp_option options[] = {
	CP_OPT_STRING(settings, greeting, "greeting", "hello", "What is said."),
	CP_OPT_NUMBER(settings, times, "times", 1, 9, "2", "How often."),
	CP_OPT_END,
};

int
configure(const void *data, void **ret_state, struct cp_error *)
{
	auto *given = static_cast<const settings *>(data);
	auto *text = new std::string;

	for (uint64_t i = 0; i < given->times; i++)
		*text += given->greeting;
	*ret_state = text;
	return 0;
}

void
release(void *state)
{
	delete static_cast<std::string *>(state);
}

int
serve(struct cp_conn *conn)
{
	auto *text = static_cast<const std::string *>(cp_state(conn));

	return cp_printf(conn, "%s\n", text->c_str()) < 0 ? -1 : CP_DONE;
}

}

extern const struct cp_handler connpoold_handler = {CP_HANDLER_ABI, "plusplus", 0, serve, options, sizeof(settings),
	configure, release, nullptr, nullptr, nullptr};
