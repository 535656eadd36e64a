#define PCRE2_CODE_UNIT_WIDTH 8
#include "kit/args.h"
#include <errno.h>
#include <pcre2.h>
#include <stdio.h>
#include <string.h>

#define PATTERN_MAX 512
#define STEPS_MAX   100000

/* The schema's patterns are of a dialect without look-around and back references, which match in
 * linear time. PCRE2 has them, so they are refused, and the steps of what is left are bounded.
 */
static const char *beyond(const char *p)
{
	for (; *p; p++) {
		if (*p == '\\' && p[1]) {
			p++;
			if (strchr("123456789gkKGRXC", *p))
				return "back references are not allowed";
			continue;
		}
		if (p[0] == '(' && p[1] == '?' && p[2] && !strchr(":PimsU-", p[2]))
			return "look-around is not allowed";
		if (p[0] == '(' && p[1] == '?' && p[2] == 'P' && p[3] != '<')
			return "back references are not allowed";
		if (p[0] == '(' && p[1] == '*')
			return "verbs are not allowed";
	}
	return NULL;
}

static int run(pcre2_code *code, const char *value)
{
	pcre2_match_data *data = pcre2_match_data_create_from_pattern(code, NULL);
	pcre2_match_context *ctx = pcre2_match_context_create(NULL);
	int r = -ENOMEM;

	if (data && ctx) {
		(void)pcre2_set_match_limit(ctx, STEPS_MAX);
		(void)pcre2_set_depth_limit(ctx, 10000);
		(void)pcre2_set_heap_limit(ctx, 1024); /* KiB */
		r = pcre2_match(code, (PCRE2_SPTR)value, strlen(value), 0, 0, data, ctx);
		r = r >= 0 ? 1 : (r == PCRE2_ERROR_NOMATCH ? 0 : -EINVAL);
	}
	pcre2_match_context_free(ctx);
	pcre2_match_data_free(data);
	return r;
}

int kit_pattern_match(const char *pattern, const char *value, char why[128])
{
	const char *fault = strlen(pattern) > PATTERN_MAX ? "it is too long" : beyond(pattern);
	pcre2_code *code;
	PCRE2_SIZE at;
	int num, r;

	if (fault) {
		(void)snprintf(why, 128, "%s", fault);
		return -EINVAL;
	}
	code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
		PCRE2_UTF | PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_DOLLAR_ENDONLY |
			PCRE2_NEVER_BACKSLASH_C,
		&num, &at, NULL);
	if (!code) {
		if (pcre2_get_error_message(num, (PCRE2_UCHAR *)why, 128) < 0)
			(void)snprintf(why, 128, "malformed");
		return -EINVAL;
	}
	r = run(code, value);
	pcre2_code_free(code);
	if (r < 0)
		(void)snprintf(why, 128, "it takes too long to match");
	return r;
}
