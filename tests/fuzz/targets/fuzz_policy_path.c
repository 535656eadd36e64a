/* fuzz_policy_path.c - the canonical path: idempotent, without dot segments, never longer than its room
 *
 * Input: a path pattern, a newline, a path.
 */
#include "policy/path.h"
#include <assert.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_canonical(const char *s, size_t len, unsigned flags)
{
	char again[POLICY_PATH_MAX + 1];
	unsigned flags2;
	size_t len2;

	assert(strlen(s) == len && (s[0] == '/' || strcmp(s, "*") == 0));
	assert(policy_path_canon(s, len, again, sizeof(again), &len2, &flags2) == POLICY_PATH_OK);
	assert(len2 == len && strcmp(s, again) == 0);
	assert((flags2 & ~flags) == 0 && !(flags2 & POLICY_PATH_DOTS));
	assert(!strstr(s, "/../") && !strstr(s, "/./"));
	for (size_t i = 0; i < len; i++)
		assert(s[i] > ' ' && s[i] < 0x7f && !strchr("\\#?", s[i]));
	if (!(flags & POLICY_PATH_SLASHES))
		assert(!strstr(s, "//") || (flags & POLICY_PATH_DOTS));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data, *nl = memchr(text, '\n', size);
	char out[POLICY_PATH_MAX + 1], pattern[POLICY_PATH_PATTERN_MAX + 2];
	size_t plen = nl ? (size_t)(nl - text) : 0, len;
	const char *path = nl ? nl + 1 : text;
	unsigned flags;

	if (policy_path_canon(path, size - (size_t)(path - text), out, sizeof(out), &len, &flags) !=
		POLICY_PATH_OK)
		return 0;
	check_canonical(out, len, flags);
	if (!nl || plen >= sizeof(pattern) || memchr(text, '\0', plen))
		return 0;
	memcpy(pattern, text, plen);
	pattern[plen] = '\0';
	if (policy_path_pattern_check(pattern, NULL) < 0)
		return 0;
	/* a denial covers what an allow would */
	assert(policy_path_matches(pattern, out, true) ||
		!policy_path_matches(pattern, out, false));
	if (!strchr(pattern, '*') && !policy_path_matches(pattern, pattern, false))
		assert(false);
	return 0;
}
