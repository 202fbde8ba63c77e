/* SPDX-License-Identifier: MIT */
/*
 * The file: what is served, what stands in comments, and in which order.
 */
#include "config.h"

#include "import/emit.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "import/arena.h"
#include "import/entry.h"
#include "import/plan.h"
#include "rig.h"

static struct arena arena;
static struct entry entry = {.name = "x", .place = {"f", 3}};

static struct plan
make_plan(const char *name, enum plan_state state, const char *reason)
{
	struct plan plan = {.entry = &entry, .name = name, .state = state, .reason = reason, .type = "echo"};

	words_add(&arena, &plan.addresses, "tcp:*:7");
	return plan;
}

static char *
emit(const struct plan *plans, const struct words *notes, bool keep_disabled)
{
	static const struct words no_notes;
	struct words files = {0};
	struct emission emission = {.plans = plans,
		.files = &files,
		.notes = notes != NULL ? notes : &no_notes,
		.keep_disabled = keep_disabled};
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	words_add(&arena, &files, "f");
	emit_config(&arena, &emission, out);
	ck_assert_int_eq(fclose(out), 0);
	return text;
}

/* No line is live but the braces of the list. */
static void
check_all_commented(const char *text)
{
	const char *list = strstr(text, "listeners: (\n");

	ck_assert_ptr_nonnull(list);
	for (const char *line = list + strlen("listeners: (\n"); *line != '\0'; line = strchr(line, '\n') + 1) {
		const char *start = line + strspn(line, "\t");

		ck_assert_msg(*start == '#' || *start == '\n' || strncmp(line, ");", 2) == 0, "live: %s", line);
	}
}

START_TEST(listeners_stand_with_commas_between)
{
	struct plan b = make_plan("b", PLAN_LIVE, NULL), a = make_plan("a", PLAN_LIVE, NULL);
	char *text;

	a.next = &b;
	plan_note(&arena, &b, "cps = 50 10: why");
	plan_set(&arena, &b.settings, "keep_alive", "true");
	plan_set(&arena, &b.options, "command", "[ \"/x\" ]");
	words_add(&arena, &b.addresses, "tcp:*:8");
	text = emit(&a, NULL, false);
	rig_expect(text,
		"listeners: (\n\t# a: f, line 3\n\t{\n\t\tname = \"a\";\n\t\taddress = \"tcp:*:7\";\n"
		"\t\tservice = \"echo\";\n\t},\n\n\t# b: f, line 3\n\t# - cps = 50 10: why\n\t{\n\t\tname = \"b\";\n"
		"\t\taddress = [ \"tcp:*:7\", \"tcp:*:8\" ];\n\t\tkeep_alive = true;\n\t\tservice = {\n"
		"\t\t\ttype = \"echo\";\n\t\t\tcommand = [ \"/x\" ];\n\t\t};\n\t}\n);\n");
	rig_expect(text, "became listeners: 2;");
	free(text);
	arena_fini(&arena);
}
END_TEST

START_TEST(one_that_is_not_served_is_a_comment)
{
	struct plan plan = make_plan("a", PLAN_INACTIVE, "no user");
	char *text = emit(&plan, NULL, false);

	rig_expect(text, "\t# - not served: no user\n\t# , {\n\t# \tname = \"a\";\n");
	check_all_commented(text);
	free(text);
	arena_fini(&arena);
}
END_TEST

START_TEST(one_that_is_switched_off_is_left_out_or_a_comment)
{
	struct plan plan = make_plan("a", PLAN_DISABLED, "off");
	char *text = emit(&plan, NULL, false);

	rig_expect_not(text, "name = \"a\"");
	rig_expect(text, "# - a: f, line 3\n");
	free(text);
	text = emit(&plan, NULL, true);
	rig_expect(text, "# \tname = \"a\";");
	check_all_commented(text);
	free(text);
	arena_fini(&arena);
}
END_TEST

START_TEST(one_without_an_equal_shows_what_was_written)
{
	struct plan plan = make_plan("a", PLAN_FOREIGN, "no UDP");
	struct entry written = entry;
	char *text;

	written.tail = &written.attributes;
	entry_set(&arena, &written, "socket_type", "dgram", written.place);
	plan.entry = &written;
	plan.type = NULL;
	text = emit(&plan, NULL, false);
	rig_expect(text, "# a: f, line 3\n# - not imported: no UDP\n#     socket_type = dgram\n");
	check_all_commented(text);
	free(text);
	arena_fini(&arena);
}
END_TEST

START_TEST(an_upstream_stands_before_its_listener)
{
	struct plan off = make_plan("b", PLAN_INACTIVE, "off"), plan = make_plan("a", PLAN_LIVE, NULL);
	char *text;

	plan.next = &off;
	plan.upstream = "web";
	plan.server = "tcp:10.0.0.1:80";
	off.upstream = "out";
	off.server = "tcp:[::1]:80";
	text = emit(&plan, NULL, false);
	rig_expect(text, "upstreams: {\n\tweb: { servers = ( { address = \"tcp:10.0.0.1:80\"; } ); };\n"
			 "\t# out: { servers = ( { address = \"tcp:[::1]:80\"; } ); };\n};\n\nlisteners: (\n");
	free(text);
	arena_fini(&arena);
}
END_TEST

START_TEST(long_comments_are_wrapped)
{
	struct plan plan = make_plan("a", PLAN_LIVE, NULL);
	char note[500];
	char *text;

	for (size_t i = 0; i < sizeof(note); i++)
		note[i] = i % 10 == 9 ? ' ' : 'x';
	note[sizeof(note) - 2] = '\0';
	plan_note(&arena, &plan, "%s", note);
	text = emit(&plan, NULL, false);
	rig_expect(text, "\t# - xxxxxxxxx");
	rig_expect(text, "\t#   xxxxxxxxx");
	for (const char *line = text; *line != '\0'; line = strchr(line, '\n') + 1)
		ck_assert_uint_le(strcspn(line, "\n"), 120);
	free(text);
	arena_fini(&arena);
}
END_TEST

START_TEST(nothing_written_ends_a_comment)
{
	struct plan plan = make_plan("a", PLAN_LIVE, NULL);
	struct words notes = {0};
	char long_word[300];
	char *text;

	plan_note(&arena, &plan, "env = a\nb\rc");
	memset(long_word, 'y', sizeof(long_word));
	long_word[sizeof(long_word) - 1] = '\0';
	words_add(&arena, &notes, long_word);
	text = emit(&plan, &notes, false);
	rig_expect(text, "\t# - env = a b c\n");
	rig_expect(text, long_word);
	free(text);
	arena_fini(&arena);
}
END_TEST

static Suite *
emit_suite(void)
{
	Suite *suite = suite_create("import/emit");
	TCase *tc;

	tc = tcase_create("listeners");
	tcase_add_test(tc, listeners_stand_with_commas_between);
	tcase_add_test(tc, one_that_is_not_served_is_a_comment);
	tcase_add_test(tc, one_that_is_switched_off_is_left_out_or_a_comment);
	tcase_add_test(tc, one_without_an_equal_shows_what_was_written);
	tcase_add_test(tc, an_upstream_stands_before_its_listener);
	suite_add_tcase(suite, tc);
	tc = tcase_create("comments");
	tcase_add_test(tc, long_comments_are_wrapped);
	tcase_add_test(tc, nothing_written_ends_a_comment);
	suite_add_tcase(suite, tc);
	return suite;
}

int
main(void)
{
	return rig_run(emit_suite());
}
