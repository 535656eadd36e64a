#include "policy/pattern.h"
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Top level domains in which nobody can register anything: a wildcard straight under them names the
 * user's own network (RFC 2606, 6761, 8375 and ICANN's decision about "internal").
 */
static const char *const own_tlds[] = {"test", "internal", "local", "lan", "corp", "home",
	"intranet", "localdomain", "private", "example", "invalid", "onion"};

static int bad(struct err *e, const char *text, size_t len, const char *why)
{
	return err_set(e, ERR_INVALID, -EINVAL, "resource '%.*s' %s", len > 120 ? 120 : (int)len,
		text, why);
}

/* parse_port() - plain decimal 1-65535; "*": any */
static bool parse_port(const char *s, size_t len, uint16_t *ret_port)
{
	unsigned v = 0;

	if (len == 1 && s[0] == '*') {
		*ret_port = 0;
		return true;
	}
	if (len == 0 || len > 5 || s[0] == '0')
		return false;
	for (size_t i = 0; i < len; i++) {
		if (s[i] < '0' || s[i] > '9')
			return false;
		v = v * 10 + (unsigned)(s[i] - '0');
	}
	if (v > 65535)
		return false;
	*ret_port = (uint16_t)v;
	return true;
}

/* parse_net() - "ADDRESS" or "ADDRESS/LENGTH"; NULL, or what is wrong with it */
static const char *parse_net(const char *s, size_t len, struct policy_pattern *p)
{
	const char *slash = memchr(s, '/', len);
	size_t addr_len = slash ? (size_t)(slash - s) : len;
	unsigned most, bits = 0;
	struct policy_address masked;

	if (!policy_address_parse(s, addr_len, &p->net))
		return slash ? "has '/' and is no range of addresses: write the host alone"
			     : "is not an address in its plain spelling";
	if (memchr(s, ':', addr_len) && p->net.family == 4)
		return "is an IPv4 address in IPv6 form: write it as IPv4";
	most = p->net.family == 4 ? 32 : 128;
	p->kind = POLICY_PATTERN_NET;
	p->prefix = (uint8_t)most;
	if (!slash)
		return NULL;
	len -= addr_len + 1;
	if (len == 0 || len > 3 || (slash[1] == '0' && len > 1))
		return "has no length of a range after '/'";
	for (size_t i = 1; i <= len; i++) {
		if (slash[i] < '0' || slash[i] > '9')
			return "has no length of a range after '/'";
		bits = bits * 10 + (unsigned)(slash[i] - '0');
	}
	if (bits > most)
		return "has a range longer than the address";
	masked = p->net;
	for (unsigned i = bits; i < most; i++)
		masked.byte[i / 8] &= (uint8_t) ~(0x80U >> i % 8);
	if (!policy_address_same(&masked, &p->net))
		return "has bits set beyond its range";
	p->prefix = (uint8_t)bits;
	return NULL;
}

static bool has_glob(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (s[i] == '*' || s[i] == '?' || s[i] == '[' || s[i] == ']')
			return true;
	return false;
}

static bool glob_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/* check_set() - "[...]" at s[0]; its length, 0 when malformed */
static size_t check_set(const char *s, size_t len)
{
	size_t i = 1;

	if (i < len && s[i] == '!')
		i++;
	for (size_t first = i; i < len && s[i] != ']'; i++) {
		if (!glob_byte(s[i]))
			return 0;
		/* a '-' between two is a range, which must go upwards */
		if (s[i] == '-' && i > first && i + 1 < len && s[i + 1] != ']' &&
			s[i - 1] > s[i + 1])
			return 0;
	}
	return i < len && s[i - 1] != '[' && s[i - 1] != '!' ? i + 1 : 0;
}

static bool glob_ok(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (s[i] == '[') {
			size_t n = check_set(s + i, len - i);

			if (n == 0)
				return false;
			i += n - 1;
		} else if (s[i] == '*') {
			if (i + 1 < len && s[i + 1] == '*')
				return false;
		} else if (s[i] != '?' && !glob_byte(s[i]))
			return false;
	}
	return len > 0;
}

static bool is_broad(const char *tail)
{
	if (strchr(tail, '.'))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(own_tlds); i++)
		if (strcmp(tail, own_tlds[i]) == 0)
			return false;
	return true;
}

/* parse_glob() - at least one label has a glob; the literal ones at the end are a name of their own */
static const char *parse_glob(const char *s, size_t len, struct policy_pattern *p)
{
	size_t tail = 0, label = 0;
	struct policy_host h;

	if (len > 0 && s[len - 1] == '.')
		len--;
	if (len == 0 || len > POLICY_HOST_MAX)
		return "is longer than a name can be";
	for (size_t i = 0; i < len; i++)
		p->host[i] = (char)tolower((unsigned char)s[i]);
	p->host[len] = '\0';
	for (size_t i = 0; i <= len; i++) {
		if (i < len && p->host[i] != '.')
			continue;
		if (i - label == 2 && memcmp(p->host + label, "**", 2) == 0)
			return "has '**' elsewhere than in front";
		if (has_glob(p->host + label, i - label)) {
			if (!glob_ok(p->host + label, i - label))
				return "has a malformed glob in a label";
			tail = i + 1;
		} else if (i == label || i - label > 63)
			return "has an empty label or one beyond 63 bytes";
		label = i + 1;
	}
	if (tail >= len)
		return "has a glob in its last label";
	if (!policy_host_parse(p->host + tail, len - tail, &h) || h.kind != POLICY_HOST_NAME)
		return "does not end in a host name";
	for (size_t i = 0; i < tail; i++)
		if (!glob_byte(p->host[i]) && !strchr("*?[]!.", p->host[i]))
			return "has characters that no host name has";
	p->kind = POLICY_PATTERN_GLOB;
	p->len = (uint16_t)len;
	p->tail = (uint16_t)tail;
	p->broad = is_broad(h.name);
	return NULL;
}

/* parse_host() - a resource without its port */
static const char *parse_host(const char *s, size_t len, struct policy_pattern *p)
{
	struct policy_host h;
	bool below = len > 3 && memcmp(s, "**.", 3) == 0;

	if (len == 0)
		return "has no host";
	if (len == 2 && memcmp(s, "**", 2) == 0) {
		p->kind = POLICY_PATTERN_ALL;
		return NULL;
	}
	if (len == 1 && s[0] == '*')
		return "is too little: write '**' for everything";
	if (s[0] == '[' && s[len - 1] == ']' && memchr(s, ':', len))
		return parse_net(s + 1, len - 2, p);
	if (memchr(s, '/', len))
		return parse_net(s, len, p);
	if (below) {
		s += 3;
		len -= 3;
	}
	if (has_glob(s, len))
		return below ? "has globs after '**.'" : parse_glob(s, len, p);
	if (!policy_host_parse(s, len, &h))
		return "is no host name: letters, digits, '-' and '_' in labels of 1 to 63 bytes, "
		       "international names as xn--, addresses in their plain spelling";
	if (h.kind == POLICY_HOST_ADDRESS)
		return below ? "has a wildcard before an address" : parse_net(s, len, p);
	if (h.kind == POLICY_HOST_LOCAL && below)
		return "has a wildcard before the host's own name";
	memcpy(p->host, h.name, h.len + 1U);
	p->len = h.len;
	p->kind = below ? POLICY_PATTERN_BELOW : POLICY_PATTERN_NAME;
	if (h.kind == POLICY_HOST_LOCAL)
		p->kind = POLICY_PATTERN_LOCAL;
	p->broad = below && is_broad(h.name);
	return NULL;
}

/* split_port() - how much of the text is the host; NULL, or what is wrong */
static const char *split_port(const char *s, size_t len, size_t *ret_host, uint16_t *ret_port)
{
	const char *close = s[0] == '[' ? memchr(s, ']', len) : NULL;
	const char *colon = memrchr(s, ':', len), *first = memchr(s, ':', len);

	*ret_host = len;
	*ret_port = 0;
	if (close && memchr(s, ':', (size_t)(close - s))) {
		if (close == s + len - 1)
			return NULL;
		if (close[1] != ':')
			return "has text after ']'";
		colon = close + 1;
	} else if (!colon)
		return NULL;
	else if (first != colon)
		return memchr(s, '/', len) ? NULL
					   : "is IPv6 without brackets: write [2001:db8::1] or "
					     "[2001:db8::1]:443";
	*ret_host = (size_t)(colon - s);
	if (!parse_port(colon + 1, len - *ret_host - 1, ret_port))
		return "has no port from 1 to 65535 in plain decimal after ':'";
	return NULL;
}

/* odd_text() - what people write in place of a resource */
static const char *odd_text(const char *s, size_t len)
{
	if (len == 0)
		return "is empty";
	if (len >= POLICY_PATTERN_MAX)
		return "is too long";
	if (memmem(s, len, "://", 3))
		return "is a URL: write its host, or host:port, alone";
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)s[i] <= ' ' || (unsigned char)s[i] > 126)
			return "has spaces, control characters or letters beyond ASCII "
			       "(international names are written as xn--)";
	if (memchr(s, '@', len))
		return "has '@': write the host alone";
	return NULL;
}

/* settle() - the spellings of the host's loopback are one resource */
static void settle(struct policy_pattern *p)
{
	if (p->kind != POLICY_PATTERN_NET || p->prefix != (p->net.family == 4 ? 32 : 128) ||
		!policy_address_host(&p->net))
		return;
	p->kind = POLICY_PATTERN_LOCAL;
	p->net = (struct policy_address){0};
	p->prefix = 0;
	p->len = sizeof("localhost") - 1;
	memcpy(p->host, "localhost", sizeof("localhost"));
}

int policy_pattern_parse(const char *text, size_t len, struct policy_pattern *ret_p, struct err *e)
{
	struct policy_pattern p = {0};
	const char *why = odd_text(text, len);
	size_t host = 0;

	if (!why)
		why = split_port(text, len, &host, &p.port);
	if (!why)
		why = parse_host(text, host, &p);
	if (why)
		return bad(e, text, len, why);
	settle(&p);
	*ret_p = p;
	return 0;
}

int policy_pattern_next(const char **at, struct policy_pattern *ret_p, struct err *e)
{
	const char *s = *at;
	size_t len;
	int r;

	if (*s == '\0')
		return 0;
	s += strspn(s, " \t");
	len = strcspn(s, ",");
	*at = s + len;
	while (len > 0 && (s[len - 1] == ' ' || s[len - 1] == '\t'))
		len--;
	r = policy_pattern_parse(s, len, ret_p, e);
	if (r < 0)
		return r;
	if (**at == ',' && *++*at == '\0')
		return err_set(e, ERR_INVALID, -EINVAL, "the list of resources ends in ','");
	return 1;
}

char *policy_pattern_text(const struct policy_pattern *p, char dst[POLICY_PATTERN_MAX])
{
	char host[POLICY_HOST_MAX + 8], addr[POLICY_ADDRESS_TEXT], port[8] = "";
	unsigned most = p->net.family == 4 ? 32 : 128;

	if (p->port)
		snprintf(port, sizeof(port), ":%u", p->port);
	switch (p->kind) {
	case POLICY_PATTERN_ALL:
		snprintf(host, sizeof(host), "**");
		break;
	case POLICY_PATTERN_BELOW:
		snprintf(host, sizeof(host), "**.%s", p->host);
		break;
	case POLICY_PATTERN_NET:
		policy_address_text(&p->net, addr);
		if (p->net.family == 4 && p->prefix == most)
			snprintf(host, sizeof(host), "%s", addr);
		else if (p->net.family == 4 || (p->prefix != most && !p->port))
			snprintf(host, sizeof(host), "%s/%u", addr, p->prefix);
		else if (p->prefix == most)
			snprintf(host, sizeof(host), "[%s]", addr);
		else
			snprintf(host, sizeof(host), "[%s/%u]", addr, p->prefix);
		break;
	case POLICY_PATTERN_NAME:
	case POLICY_PATTERN_GLOB:
	case POLICY_PATTERN_LOCAL:
	default:
		snprintf(host, sizeof(host), "%s", p->host);
	}
	snprintf(dst, POLICY_PATTERN_MAX, "%s%s", host, port);
	return dst;
}

/* set_has() - the set "[...]" at @s contains @c; *ret_len is its length */
static bool set_has(const char *s, char c, size_t *ret_len)
{
	bool not = s[1] == '!', found = false;
	size_t i = not ? 2 : 1;
	const size_t first = i;

	for (; s[i] != ']'; i++) {
		if (s[i] == '-' && i > first && s[i + 1] != ']') {
			found |= c >= s[i - 1] && c <= s[i + 1];
			continue;
		}
		found |= s[i] == c;
	}
	*ret_len = i + 1;
	return found != not ;
}

bool policy_glob(const char *pattern, size_t pattern_len, const char *text, size_t len)
{
	size_t p = 0, t = 0, star = SIZE_MAX, from = 0, n;

	while (t < len) {
		if (p < pattern_len && pattern[p] == '*') {
			star = ++p;
			from = t;
			continue;
		}
		n = 1;
		if (p < pattern_len &&
			(pattern[p] == '?' || (pattern[p] == '[' ? set_has(pattern + p, text[t], &n)
								 : pattern[p] == text[t]))) {
			p += n;
			t++;
			continue;
		}
		if (star == SIZE_MAX)
			return false;
		p = star;
		t = ++from;
	}
	while (p < pattern_len && pattern[p] == '*')
		p++;
	return p == pattern_len;
}

bool policy_labels(const char *pattern, size_t pattern_len, const char *name, size_t len)
{
	for (;;) {
		const char *pd = memchr(pattern, '.', pattern_len), *nd = memchr(name, '.', len);
		size_t pn = pd ? (size_t)(pd - pattern) : pattern_len;
		size_t nn = nd ? (size_t)(nd - name) : len;

		if (!policy_glob(pattern, pn, name, nn))
			return false;
		if (!pd || !nd)
			return !pd && !nd;
		pattern += pn + 1;
		pattern_len -= pn + 1;
		name += nn + 1;
		len -= nn + 1;
	}
}
