#include "policy/policy.h"
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static const char *const decisions[] = {"deny", "ask", "allow"};
static const char *const sources[] = {"org", "user", "sandbox", "kit", "parent"};
static const char *const methods[] = {
	"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"};
static const struct {
	const char *name, *text;
} reasons[] = {
	{"rule", "a rule says so"},
	{"default-deny", "no rule allows it"},
	{"no-http-rule", "rules allow other requests to this host, but not this one"},
	{"governed", "only the organisation's policy can allow it"},
	{"address", "no rule names the address, which is not a public one, or could be that of a "
		    "denied name"},
	{"metadata", "the address is a metadata service, and no rule names exactly it"},
	{"host-loopback", "it is a service of the host itself, and no rule names it"},
	{"ambiguous-path",
		"servers may read this path in different ways, and a rule looks at paths"},
	{"not-inspectable",
		"requests to this host are judged one by one and cannot be seen in this flow"},
	{"inside-name", "the name or address has a meaning inside of the sandbox only"},
	{"malformed", "the request contradicts itself"},
};
static_assert(ARRAY_LEN(sources) == POLICY_SOURCE_COUNT, "a name per source");
static_assert(ARRAY_LEN(reasons) == POLICY_REASON_COUNT, "a name per reason");
static_assert(1U << ARRAY_LEN(methods) == POLICY_METHODS + 1U, "a name per method");

static int find(const char *const *all, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(all[i], name) == 0)
			return (int)i;
	return -1;
}

const char *policy_decision_name(enum policy_decision d)
{
	return (unsigned)d < ARRAY_LEN(decisions) ? decisions[d] : decisions[POLICY_DENY];
}

bool policy_decision_from(const char *name, enum policy_decision *ret_d)
{
	int i = find(decisions, ARRAY_LEN(decisions), name);

	if (i >= 0)
		*ret_d = (enum policy_decision)i;
	return i >= 0;
}

const char *policy_source_name(enum policy_source s)
{
	assert((unsigned)s < ARRAY_LEN(sources));
	return sources[s];
}

bool policy_source_from(const char *name, enum policy_source *ret_s)
{
	int i = find(sources, ARRAY_LEN(sources), name);

	if (i >= 0)
		*ret_s = (enum policy_source)i;
	return i >= 0;
}

const char *policy_reason_name(enum policy_reason r)
{
	assert((unsigned)r < ARRAY_LEN(reasons));
	return reasons[r].name;
}

const char *policy_reason_text(enum policy_reason r)
{
	assert((unsigned)r < ARRAY_LEN(reasons));
	return reasons[r].text;
}

unsigned policy_method_bit(const char *method)
{
	int i = find(methods, ARRAY_LEN(methods), method);

	return i < 0 ? 0 : 1U << i;
}

int policy_methods_parse(const char *text, uint16_t *ret_methods, struct err *e)
{
	unsigned found = 0;
	const char *s = text;

	if (strcasecmp(text, "ANY") == 0) {
		*ret_methods = 0;
		return 0;
	}
	for (;;) {
		size_t n = strcspn(s, ","), used = n;
		char word[16];
		unsigned bit = 0;

		while (used > 0 && *s == ' ') {
			s++;
			used--;
			n--;
		}
		while (used > 0 && s[used - 1] == ' ')
			used--;
		if (used < sizeof(word)) {
			for (size_t i = 0; i < used; i++)
				word[i] = (char)toupper((unsigned char)s[i]);
			word[used] = '\0';
			bit = policy_method_bit(word);
		}
		if (!bit)
			return err_set(e, ERR_INVALID, -EINVAL,
				"method '%.*s' is none of GET HEAD POST PUT PATCH DELETE OPTIONS "
				"CONNECT TRACE, or ANY alone",
				used > 40 ? 40 : (int)used, s);
		found |= bit;
		s += n;
		if (*s++ == '\0')
			break;
	}
	*ret_methods = (uint16_t)found;
	return 0;
}

char *policy_methods_text(uint16_t mask, char dst[POLICY_METHODS_TEXT])
{
	size_t n = 0;

	snprintf(dst, POLICY_METHODS_TEXT, "ANY");
	for (unsigned i = 0; i < ARRAY_LEN(methods); i++)
		if (mask & 1U << i)
			n += (size_t)snprintf(
				dst + n, POLICY_METHODS_TEXT - n, "%s%s", n ? "," : "", methods[i]);
	return dst;
}
