/* pattern.h - the resource of a rule: which hosts and ports it speaks of
 *
 *   example.com        that name                *.example.com    exactly one label more
 *   **.example.com     the name itself and everything below, at any depth
 *   api?.x.com  api[12].x.com  api[!1].x.com  crl*.x.com         globs inside a label
 *   10.0.0.7  10.0.0.0/8  [2001:db8::1]  2001:db8::/32           addresses
 *   localhost:8080     a service on the host's loopback          **     everything
 * each with ":PORT" (a range of IPv6 as "[2001:db8::/32]:PORT"); ":*" says any port, as nothing does.
 * Refused, with the reason: a bare '*', IPv6 without brackets, a URL, '**' elsewhere than in front,
 * a glob in the last label, a range with bits beyond its length, ports that are not 1-65535 in plain
 * decimal, and every name that policy_host_parse() refuses. Pure.
 */
#ifndef POLICY_PATTERN_H
#define POLICY_PATTERN_H
#include "base/err.h"
#include "policy/host.h"

enum policy_pattern_kind {
	POLICY_PATTERN_ALL, /* ** */
	POLICY_PATTERN_NAME,
	POLICY_PATTERN_BELOW, /* **.x: x and all below */
	POLICY_PATTERN_GLOB, /* *.x and globs: as many labels as the pattern has */
	POLICY_PATTERN_NET, /* address/prefix */
	POLICY_PATTERN_LOCAL,
};

#define POLICY_PATTERN_MAX 320 /* text with its NUL */

struct policy_pattern {
	enum policy_pattern_kind kind;
	uint16_t port; /* 0: any */
	uint8_t prefix; /* of a NET */
	bool broad; /* a wildcard straight under a public top level domain: for denials only */
	struct policy_address net;
	uint16_t len, tail; /* of host; offset of the literal labels at its end */
	char host[POLICY_HOST_MAX + 1]; /* canonical; BELOW: without "**." */
};

/* policy_pattern_parse() - one resource, @len bytes. -EINVAL with a sentence that names it. */
int policy_pattern_parse(
	const char *text, size_t len, struct policy_pattern *ret_p, struct err *e) MUST_USE;
/* policy_pattern_next() - the items of a comma list, one a call, spaces around them dropped.
 * *@at begins at the text. 1: an item; 0: the end; -EINVAL: an empty or a bad one.
 */
int policy_pattern_next(const char **at, struct policy_pattern *ret_p, struct err *e) MUST_USE;
/* policy_pattern_text() - the canonical spelling, which parses to the same. Returns dst. */
char *policy_pattern_text(const struct policy_pattern *p, char dst[POLICY_PATTERN_MAX]);

/* policy_glob() - match @len bytes of one label (or of a path's segment) with '*', '?', [set], [!set].
 * @pattern was accepted before. Linear in time but for '*', where it is the product of the lengths.
 */
bool policy_glob(const char *pattern, size_t pattern_len, const char *text, size_t len);
/* policy_labels() - does @name (a canonical one) match @pattern label by label? */
bool policy_labels(const char *pattern, size_t pattern_len, const char *name, size_t len);
#endif
