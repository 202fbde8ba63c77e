/* SPDX-License-Identifier: MIT */
/*
 * The same figures twice: aligned text, and JSON by Jansson. One table names the quantiles of both. No figure is
 * computed here that struct result could not answer itself.
 */
#include "config.h"

#include "client/report.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "base/clock.h"
#include "base/errmsg.h"
#include "base/histogram.h"
#include "base/units.h"
#include "client/bench.h"
#include "client/result.h"

#define NS_PER_US 1000.0

static const struct {
	const char *name;
	uint32_t ppm;
} quantiles[] = {
	{ "p50", 500000 },
	{ "p90", 900000 },
	{ "p99", 990000 },
	{ "p99.9", 999000 },
};

/* ---- text ---------------------------------------------------------------------- */

/* "850 ns", "12.3 us", "4.56 ms", "1.23 s": three digits, whatever the size. */
static const char *
format_ns(double ns, char buf[32])
{
	static const struct {
		double factor;
		const char *unit;
	} units[] = { { 1e9, "s" }, { 1e6, "ms" }, { 1e3, "us" } };

	for (size_t i = 0; i < CP_COUNT(units); i++) {
		double scaled = ns / units[i].factor;

		if (scaled < 1.0)
			continue;
		snprintf(buf, 32, "%.*f %s", scaled < 9.995 ? 2 : scaled < 99.95 ? 1 : 0, scaled, units[i].unit);
		return buf;
	}
	snprintf(buf, 32, "%.0f ns", ns);
	return buf;
}

static void
print_heading(FILE *out, const char *target, const struct bench_config *config, const struct result *result)
{
	char size[UNITS_TEXT_MAX];

	fprintf(out, "%s: %llu connection%s, %llu thread%s, %s a request, ", target,
		(unsigned long long)config->connections, config->connections == 1 ? "" : "s",
		(unsigned long long)config->threads, config->threads == 1 ? "" : "s",
		units_format_size(config->size_bytes, size));
	if (config->rate != 0)
		fprintf(out, "%llu requests a second are due", (unsigned long long)config->rate);
	else
		fprintf(out, "one after the other");
	fprintf(out, "%s, %.3f s\n", config->reconnect ? ", each on a new connection" : "",
		(double)result->window_ns / (double)CLOCK_NS_PER_S);
}

static void
print_counts(FILE *out, const struct bench_config *config, const struct result *result)
{
	uint64_t errors = result_error_sum(result);

	fprintf(out, "requests  %llu: %llu ok, %llu failed\n", (unsigned long long)result->requests,
		(unsigned long long)result->ok, (unsigned long long)errors);
	if (errors != 0) {
		fprintf(out, "failures ");
		for (unsigned kind = 0; kind < RESULT_ERRORS; kind++) {
			if (result->errors[kind] == 0)
				continue;
			fprintf(out, " %s %llu", result_error_name((enum result_error)kind),
				(unsigned long long)result->errors[kind]);
		}
		if (result->other_errno != 0)
			fprintf(out, " (%s)", errmsg_errno(result->other_errno));
		fprintf(out, "\n");
	}
	if (result->not_sent != 0) {
		fprintf(out, "not sent  %llu that were due: no connection was free (more --connections?)\n",
			(unsigned long long)result->not_sent);
	}
	fprintf(out, "opened    %llu connections\n", (unsigned long long)result->connects);
	fprintf(out, "rate      %.1f requests/s, %.3f MB/s each way\n", result_rate(result),
		result_rate(result) * (double)config->size_bytes / 1e6);
}

static void
print_latency(FILE *out, const struct histogram *latency)
{
	char buf[32];

	if (histogram_count(latency) == 0)
		return;
	fprintf(out, "latency   min %s", format_ns((double)histogram_min(latency), buf));
	fprintf(out, ", mean %s", format_ns(histogram_mean(latency), buf));
	for (size_t i = 0; i < CP_COUNT(quantiles); i++) {
		fprintf(out, ", %s %s", quantiles[i].name,
			format_ns((double)histogram_quantile(latency, quantiles[i].ppm), buf));
	}
	fprintf(out, ", max %s\n", format_ns((double)histogram_max(latency), buf));
}

static int
finish_output(FILE *out, struct errmsg *err)
{
	if (fflush(out) == 0 && !ferror(out))
		return 0;
	errmsg_set(err, "cannot write the report");
	return -EIO;
}

int
report_print_text(FILE *out, const char *target, const struct bench_config *config, const struct result *result,
	struct errmsg *err)
{
	print_heading(out, target, config, result);
	print_counts(out, config, result);
	print_latency(out, &result->latency);
	return finish_output(out, err);
}

/* ---- JSON ------------------------------------------------------------------------ */

/* Each returns an owned object, or NULL when out of memory. */

static json_t *
errors_to_json(const struct result *result)
{
	json_t *object = json_object();

	for (unsigned kind = 0; kind < RESULT_ERRORS; kind++) {
		json_object_set_new(object, result_error_name((enum result_error)kind),
			json_integer((json_int_t)result->errors[kind]));
	}
	return object;
}

static json_t *
latency_to_json(const struct histogram *latency)
{
	json_t *object = json_object();

	json_object_set_new(object, "min", json_real((double)histogram_min(latency) / NS_PER_US));
	json_object_set_new(object, "mean", json_real(histogram_mean(latency) / NS_PER_US));
	for (size_t i = 0; i < CP_COUNT(quantiles); i++) {
		json_object_set_new(object, quantiles[i].name,
			json_real((double)histogram_quantile(latency, quantiles[i].ppm) / NS_PER_US));
	}
	json_object_set_new(object, "max", json_real((double)histogram_max(latency) / NS_PER_US));
	return object;
}

static json_t *
config_to_json(const struct bench_config *config)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b}", "connections", (json_int_t)config->connections,
		"threads", (json_int_t)config->threads, "rate", (json_int_t)config->rate,
		"size_bytes", (json_int_t)config->size_bytes, "duration_ms", (json_int_t)config->duration_ms,
		"requests", (json_int_t)config->requests, "timeout_ms", (json_int_t)config->timeout_ms,
		"reconnect", (int)config->reconnect);
}

static json_t *
report_to_json(const char *target, const struct bench_config *config, const struct result *result)
{
	return json_pack("{s:s, s:o, s:f, s:I, s:I, s:I, s:o, s:s?, s:I, s:I, s:f, s:f, s:o}", "address", target,
		"config", config_to_json(config), "seconds", (double)result->window_ns / (double)CLOCK_NS_PER_S,
		"requests", (json_int_t)result->requests, "ok", (json_int_t)result->ok,
		"failed", (json_int_t)result_error_sum(result), "errors", errors_to_json(result),
		"other_error", result->other_errno != 0 ? errmsg_errno(result->other_errno) : NULL,
		"not_sent", (json_int_t)result->not_sent, "connects", (json_int_t)result->connects,
		"requests_per_second", result_rate(result),
		"bytes_per_second", result_rate(result) * (double)config->size_bytes,
		"latency_us", latency_to_json(&result->latency));
}

int
report_print_json(FILE *out, const char *target, const struct bench_config *config, const struct result *result,
	struct errmsg *err)
{
	json_t *report = report_to_json(target, config, result);
	int r;

	if (report == NULL) {
		errmsg_set(err, "no memory");
		return -ENOMEM;
	}
	r = json_dumpf(report, out, JSON_INDENT(2) | JSON_REAL_PRECISION(12));
	json_decref(report);
	fputc('\n', out);
	if (r < 0) {
		errmsg_set(err, "cannot write the report");
		return -EIO;
	}
	return finish_output(out, err);
}
