/* SPDX-License-Identifier: MIT */
/*
 * fuzz_srv - answers with SRV records: whatever comes, what is taken from it is sorted, within its bounds and without
 * doubles.
 */
#include "config.h"

#include <errno.h>

#include "fuzz.h"
#include "upstream/resolve_srv.h"

static void
check_answer(const struct srv_answer *answer)
{
	CP_ASSERT(answer->count <= SRV_RECORDS_MAX);
	CP_ASSERT(answer->left_out == 0 || answer->count == SRV_RECORDS_MAX);
	for (size_t i = 0; i < answer->count; i++) {
		const struct srv_record *record = &answer->records[i];
		const struct srv_record *before = i > 0 ? record - 1 : NULL;

		CP_ASSERT(record->port != 0 && record->target[0] != '\0');
		CP_ASSERT(memchr(record->target, '\0', SRV_TARGET_MAX) != NULL);
		CP_ASSERT(before == NULL || before->priority <= record->priority);
		CP_ASSERT(before == NULL || before->priority < record->priority || before->weight >= record->weight);
		CP_ASSERT(before == NULL || memcmp(before, record, sizeof(*record)) != 0);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct srv_answer answer;
	int rc = srv_parse(data, size, &answer);

	CP_ASSERT(rc == 0 || rc == -ENODATA || rc == -EBADMSG);
	CP_ASSERT(rc != 0 || answer.count > 0);
	CP_ASSERT(rc != 0 || answer.ttl_s <= INT32_MAX);
	check_answer(&answer);
	return 0;
}
