// SPDX-License-Identifier: MIT
// throws.cc - a module in C++ whose clients wait in catch blocks: each must find its own exception there again.
//
// A line is a secret: it is thrown, caught, and told again after the next line has come. "nest", "throw" and "leave"
// before it: in two catch blocks, by "throw;" after the wait, or by leaving the block by return without a wait.
#include <connpoold/handler.h>

#include <exception>
#include <stdexcept>
#include <string>

namespace
{

std::string
read_word(struct cp_conn *conn)
{
	char line[64];
	ssize_t n = cp_read_line(conn, line, sizeof(line));

	if (n <= 0)
		throw std::domain_error("gone");
	return std::string(line, static_cast<size_t>(n - 1));
}

std::string
current()
{
	try {
		std::rethrow_exception(std::current_exception());
	} catch (const std::exception &e) {
		return e.what();
	}
}

void
say(struct cp_conn *conn, const std::string &text)
{
	if (cp_printf(conn, "%s %d\n", text.c_str(), std::uncaught_exceptions()) < 0)
		throw std::domain_error("gone");
}

// Waits in a destructor, while the exception is in flight.
struct waits_when_left {
	struct cp_conn *conn;

	~waits_when_left()
	{
		cp_sleep(conn, 1);
	}
};

void
throw_across(struct cp_conn *conn, const std::string &secret)
{
	waits_when_left waits{conn};

	throw std::runtime_error(secret);
}

void
keep(struct cp_conn *conn, const std::string &how, const std::string &secret)
{
	try {
		throw_across(conn, secret);
	} catch (...) {
		say(conn, "caught");
		if (how == "leave")
			return;
		if (how == "nest") {
			try {
				throw std::logic_error(secret + " inner");
			} catch (...) {
				read_word(conn);
				say(conn, current());
			}
		}
		read_word(conn);
		if (how == "throw")
			throw;
		say(conn, current());
	}
}

int
serve(struct cp_conn *conn)
{
	try {
		std::string how = read_word(conn);
		std::string secret = read_word(conn);

		try {
			keep(conn, how, secret);
		} catch (const std::runtime_error &e) {
			say(conn, std::string("again ") + e.what());
		}
		// Nothing is left of it.
		say(conn, std::current_exception() ? "dirty" : "clean");
	} catch (const std::domain_error &) {
		return -1;
	}
	return CP_DONE;
}

}

extern const struct cp_handler connpoold_handler = {CP_HANDLER_ABI, "throws", 0, serve, nullptr, 0, nullptr, nullptr,
	nullptr, nullptr, nullptr};
