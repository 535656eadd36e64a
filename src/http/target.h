/* target.h - path segments and query of a request target in origin form
 *
 * Strict: percent-escapes decoded once, no NUL, no '/' or control byte out of an escape, no empty
 * segment, no "." or "..". Pure.
 */
#ifndef HTTP_TARGET_H
#define HTTP_TARGET_H
#include "base/own.h"
#include <stdbool.h>
#include <stddef.h>

#define HTTP_SEGMENTS_MAX 8
#define HTTP_PARAMS_MAX	  16

struct http_target {
	const char *segment[HTTP_SEGMENTS_MAX]; /* point into text[] */
	size_t n_segments;
	struct {
		const char *name, *value; /* value "" when there is no '=' */
	} param[HTTP_PARAMS_MAX];
	size_t n_params;
	char text[2048];
};

/* http_target_split() - false when malformed or beyond the limits */
bool http_target_split(struct http_target *t, const char *target) MUST_USE;
/* http_target_param() - NULL when absent */
const char *http_target_param(const struct http_target *t, const char *name);
#endif
