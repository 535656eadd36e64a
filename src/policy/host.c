#include "policy/host.h"
#include <string.h>

static bool name_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/* a label that looks like a number makes some parsers read the whole name as an address */
static bool label_is_number(const char *s, size_t len)
{
	size_t digits = strspn(s, "0123456789");

	if (digits >= len)
		return true;
	return len >= 2 && s[0] == '0' && s[1] == 'x' &&
	       strspn(s + 2, "0123456789abcdef") >= len - 2;
}

static bool label_ok(const char *s, size_t len, bool last)
{
	if (len == 0 || len > 63 || s[0] == '-' || s[len - 1] == '-')
		return false;
	if (len >= 4 && memcmp(s, "xn--", 4) == 0 && (len == 4 || memchr(s, '_', len)))
		return false;
	if (!last)
		return true;
	return !memchr(s, '_', len) && !label_is_number(s, len);
}

/* parse_name() - into @h->name; labels are judged where they end */
static bool parse_name(const char *text, size_t len, struct policy_host *h)
{
	size_t label = 0;

	if (len > 0 && text[len - 1] == '.')
		len--;
	if (len == 0 || len > POLICY_HOST_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		char c = text[i];

		if (c >= 'A' && c <= 'Z')
			c = (char)(c | 0x20);
		h->name[i] = c;
		if (c == '.') {
			if (!label_ok(h->name + label, i - label, false))
				return false;
			label = i + 1;
		} else if (!name_byte(c))
			return false;
	}
	h->name[len] = '\0';
	h->len = (uint16_t)len;
	return label_ok(h->name + label, len - label, true);
}

static bool is_local(const char *name)
{
	static const char *const names[] = {
		"localhost", "host.sbx.internal", "host.docker.internal"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

void policy_host_from_address(const struct policy_address *a, struct policy_host *ret_h)
{
	*ret_h = (struct policy_host){.kind = POLICY_HOST_ADDRESS, .address = *a};
	policy_address_text(a, ret_h->name);
	ret_h->len = (uint16_t)strlen(ret_h->name);
}

bool policy_host_parse(const char *text, size_t len, struct policy_host *ret_h)
{
	struct policy_address a;
	struct policy_host h;

	if (len > 2 && text[0] == '[' && text[len - 1] == ']') {
		if (!memchr(text, ':', len) || !policy_address_parse(text + 1, len - 2, &a))
			return false;
		policy_host_from_address(&a, ret_h);
		return true;
	}
	if (policy_address_parse(text, len, &a)) {
		policy_host_from_address(&a, ret_h);
		return true;
	}
	if (!parse_name(text, len, &h))
		return false;
	h.address = (struct policy_address){0};
	h.kind = POLICY_HOST_NAME;
	if (is_local(h.name)) {
		h.kind = POLICY_HOST_LOCAL;
		h.len = sizeof("localhost") - 1;
		memcpy(h.name, "localhost", sizeof("localhost"));
	}
	*ret_h = h;
	return true;
}

bool policy_host_inside(const struct policy_host *h)
{
	static const char inside[] = ".sbx.internal";
	const size_t n = sizeof(inside) - 1;

	if (h->kind != POLICY_HOST_NAME)
		return false;
	if (h->len > n && memcmp(h->name + h->len - n, inside, n) == 0)
		return true;
	return strcmp(h->name, inside + 1) == 0 || strcmp(h->name, "gateway.docker.internal") == 0;
}
