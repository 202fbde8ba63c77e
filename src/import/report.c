/* SPDX-License-Identifier: MIT */
/*
 * report - "FILE:LINE: warning: text", as compilers write it, so that editors find the place.
 */
#include "config.h"

#include "import/report.h"

#include <stdarg.h>

CP_PRINTF(4, 0)
static void
print_line(FILE *out, struct place place, const char *grade, const char *fmt, va_list args)
{
	if (out == NULL)
		return;
	if (place.file == NULL)
		fputs("connpoold-import: ", out);
	else if (place.line == 0)
		fprintf(out, "%s: ", place.file);
	else
		fprintf(out, "%s:%u: ", place.file, place.line);
	fputs(grade, out);
	vfprintf(out, fmt, args);
	fputc('\n', out);
}

void
report_error(struct report *report, struct place place, const char *fmt, ...)
{
	va_list args;

	report->errors++;
	va_start(args, fmt);
	print_line(report->out, place, "error: ", fmt, args);
	va_end(args);
}

void
report_warning(struct report *report, struct place place, const char *fmt, ...)
{
	va_list args;

	report->warnings++;
	va_start(args, fmt);
	print_line(report->out, place, "warning: ", fmt, args);
	va_end(args);
}
