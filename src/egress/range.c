#include "egress/range.h"
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define UNKNOWN UINT64_MAX /* of a length; no position reaches it */
#define LARGEST (UINT64_MAX / 4)

static bool number(const char **at, uint64_t *ret)
{
	const char *p = *at;
	uint64_t n = 0;

	for (; *p >= '0' && *p <= '9'; p++) {
		n = n * 10 + (uint64_t)(*p - '0');
		if (n > LARGEST)
			return false;
	}
	if (p == *at)
		return false;
	*at = p;
	*ret = n;
	return true;
}

bool range_parse(const char *value, uint64_t margin, struct range *ret)
{
	const char *p = value;

	*ret = (struct range){.kind = RANGE_SPAN, .margin = margin};
	if (strncasecmp(p, "bytes=", 6) != 0 || margin > LARGEST)
		return false;
	p += 6;
	if (*p == '-') {
		ret->kind = RANGE_LAST;
		p++;
		return number(&p, &ret->last) && *p == '\0' && ret->last > 0;
	}
	if (!number(&p, &ret->first) || *p++ != '-')
		return false;
	if (*p == '\0') {
		ret->kind = RANGE_FROM;
		return true;
	}
	return number(&p, &ret->last) && *p == '\0' && ret->first <= ret->last;
}

/* from() - where the widened span begins */
static uint64_t from(uint64_t first, uint64_t margin)
{
	return first > margin ? first - margin : 0;
}

void range_widen(const struct range *r, char dst[RANGE_TEXT])
{
	unsigned long long first = from(r->first, r->margin), last = r->last + r->margin;

	if (r->kind == RANGE_LAST)
		(void)snprintf(dst, RANGE_TEXT, "bytes=-%llu", last);
	else if (r->kind == RANGE_FROM)
		(void)snprintf(dst, RANGE_TEXT, "bytes=%llu-", first);
	else
		(void)snprintf(dst, RANGE_TEXT, "bytes=%llu-%llu", first, last);
}

static bool parse_answer(const char *p, uint64_t *first, uint64_t *last, uint64_t *total)
{
	if (strncasecmp(p, "bytes ", 6) != 0)
		return false;
	p += 6;
	if (!number(&p, first) || *p++ != '-' || !number(&p, last) || *p++ != '/')
		return false;
	*total = UNKNOWN;
	if (strcmp(p, "*") == 0)
		return *first <= *last;
	return number(&p, total) && *p == '\0' && *first <= *last && *last < *total;
}

enum range_result range_fit(
	const struct range *r, const char *content_range, struct range_piece *ret)
{
	uint64_t a, b, total, first = r->first, last = r->kind == RANGE_FROM ? LARGEST : r->last;

	if (r->kind == RANGE_NONE || !parse_answer(content_range, &a, &b, &total))
		return RANGE_BAD;
	if (r->kind == RANGE_LAST) {
		if (total == UNKNOWN)
			return RANGE_BAD;
		first = from(total, r->last);
		last = total - 1;
	}
	if (first >= total) {
		*ret = (struct range_piece){.skip = UINT64_MAX};
		(void)snprintf(
			ret->content_range, RANGE_TEXT, "bytes */%llu", (unsigned long long)total);
		return RANGE_BEYOND;
	}
	/* The neighbourhood must be there, or the whole have ended: a server may send less than it was asked. */
	if (a > from(first, r->margin))
		return RANGE_BAD;
	if (total == UNKNOWN || b + 1 != total) {
		if (b < r->margin)
			return RANGE_BAD;
		last = last < b - r->margin ? last : b - r->margin;
	}
	last = last < b ? last : b;
	if (first > last)
		return RANGE_BAD;
	*ret = (struct range_piece){.skip = first - a, .take = last - first + 1};
	if (total == UNKNOWN)
		(void)snprintf(ret->content_range, RANGE_TEXT, "bytes %llu-%llu/*",
			(unsigned long long)first, (unsigned long long)last);
	else
		(void)snprintf(ret->content_range, RANGE_TEXT, "bytes %llu-%llu/%llu",
			(unsigned long long)first, (unsigned long long)last,
			(unsigned long long)total);
	return RANGE_FITS;
}
