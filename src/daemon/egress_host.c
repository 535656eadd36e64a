/* How this host finds others: its name servers, its hosts file, the proxies its user has set. */
#include "base/io.h"
#include "daemon/egress.h"
#include "policy/pattern.h"
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define FILE_BYTES_MAX (1U << 20)
#define HOSTS_MAX      1024 /* names of the hosts file; the rest is left out */
#define PROXIES_MAX    256
#define NAME_MAX_BYTES 253
#define DNS_PORT       53

static bool read_addr(const char *text, struct egress_addr *ret)
{
	char plain[64];

	/* "fe80::1%eth0": the interface means nothing to who has none */
	if (snprintf(plain, sizeof(plain), "%.*s", (int)strcspn(text, "%"), text) >=
		(int)sizeof(plain))
		return false;
	*ret = (struct egress_addr){0};
	if (inet_pton(AF_INET, plain, ret->bytes) == 1)
		ret->family = 4;
	else if (inet_pton(AF_INET6, plain, ret->bytes) == 1)
		ret->family = 6;
	return ret->family != 0;
}

/* next_word() - cuts one off @at; NULL at the line's end or a comment */
static char *next_word(char **at)
{
	char *word = *at + strspn(*at, " \t\r");

	if (*word == '\0' || *word == '#' || *word == ';')
		return NULL;
	*at = word + strcspn(word, " \t\r");
	if (**at)
		*(*at)++ = '\0';
	return word;
}

static void server_line(struct egress_host_facts *f, char *line)
{
	char *word = next_word(&line), *addr;

	if (!word || strcmp(word, "nameserver") != 0 || f->n_servers == EGRESS_SERVERS_MAX)
		return;
	addr = next_word(&line);
	if (addr && read_addr(addr, &f->servers[f->n_servers].addr))
		f->servers[f->n_servers++].port = DNS_PORT;
}

static void hosts_line(struct egress_host_facts *f, char *line)
{
	char *word = next_word(&line), *name;
	struct egress_addr addr;

	if (!word || !read_addr(word, &addr))
		return;
	while (f->n_hosts < HOSTS_MAX && (name = next_word(&line))) {
		struct policy_host host;

		if (!policy_host_parse(name, strlen(name), &host))
			continue; /* it can never be asked for */
		name = strdup(name);
		if (!name)
			return;
		f->hosts[f->n_hosts++] = (struct egress_host){.name = name, .addr = addr};
	}
}

static int each_line(struct egress_host_facts *f, const char *path,
	void (*fn)(struct egress_host_facts *, char *))
{
	AUTO(buf) b = {0};
	char *line, *rest;
	int r;

	buf_init(&b, FILE_BYTES_MAX);
	r = io_read_file(AT_FDCWD, path, &b);
	if (r < 0)
		return r == -ENOENT || r == -EACCES ? 0 : r;
	for (rest = b.data; rest && (line = strsep(&rest, "\n"));)
		fn(f, line);
	return 0;
}

int egress_host_read(struct egress_host_facts *f, const char *resolv_conf, const char *hosts)
{
	static const struct egress_server own = {
		.addr = {.family = 4, .bytes = {127, 0, 0, 1}}, .port = DNS_PORT};
	int r;

	f->hosts = calloc(HOSTS_MAX, sizeof(*f->hosts));
	if (!f->hosts)
		return -ENOMEM;
	r = each_line(f, resolv_conf, server_line);
	if (r == 0)
		r = each_line(f, hosts, hosts_line);
	if (r == 0 && f->n_servers == 0)
		f->servers[f->n_servers++] = own; /* resolv.conf(5) */
	return r;
}

/* ---- proxies ---- */

static const char *variable(char *(*get)(const char *), const char *name)
{
	char lower[32];
	const char *value;
	size_t i;

	for (i = 0; name[i] && i < sizeof(lower) - 1; i++)
		lower[i] = (char)tolower((unsigned char)name[i]);
	lower[i] = '\0';
	value = get(lower); /* it goes first, as with curl */
	if (!value || !value[0])
		value = get(name);
	return value && value[0] ? value : NULL;
}

static int add_proxy(struct egress_host_facts *f, const char *pattern, const char *url)
{
	struct policy_pattern parsed;
	struct egress_proxy *p = &f->proxies[f->n_proxies];

	if (f->n_proxies == PROXIES_MAX ||
		policy_pattern_parse(pattern, strlen(pattern), &parsed, NULL) < 0)
		return 0; /* what cannot name a host is for none */
	p->pattern = strdup(pattern);
	p->url = strdup(url);
	f->n_proxies++;
	return p->pattern && p->url ? 0 : -ENOMEM;
}

/* is_address() - an address, with a port or without, or a range of them; not a name */
static bool is_address(const char *item)
{
	char bare[INET6_ADDRSTRLEN];
	struct egress_addr addr;
	size_t n = strcspn(item, ":");

	if (strchr(item, '/') || item[0] == '[' || read_addr(item, &addr))
		return true;
	if (!item[n] || n >= sizeof(bare))
		return false;
	memcpy(bare, item, n);
	bare[n] = '\0';
	return read_addr(bare, &addr);
}

/* no_proxy() - "example.com" and ".example.com" both mean the name and all below it */
static int no_proxy(struct egress_host_facts *f, const char *list)
{
	char pattern[POLICY_PATTERN_MAX], item[POLICY_PATTERN_MAX - 8];
	struct egress_addr addr;
	int r = 0;

	/* the last place is the proxy's own */
	while (*list && r == 0 && f->n_proxies < PROXIES_MAX - 1) {
		size_t n = strcspn(list, ", \t");
		const char *name = item;

		(void)snprintf(item, sizeof(item), "%.*s", (int)(n < sizeof(item) ? n : 0), list);
		list += n + strspn(list + n, ", \t");
		name += name[0] == '*' && name[1] == '.';
		name += name[0] == '.';
		if (!name[0])
			continue;
		if (strcmp(name, "*") == 0)
			(void)snprintf(pattern, sizeof(pattern), "**");
		else if (is_address(name))
			(void)snprintf(pattern, sizeof(pattern),
				read_addr(name, &addr) && addr.family == 6 ? "[%s]" : "%s", name);
		else
			(void)snprintf(pattern, sizeof(pattern), "**.%s", name);
		r = add_proxy(f, pattern, "");
	}
	return r;
}

static int with_scheme(struct egress_host_facts *f, const char *url)
{
	char whole[1024];

	if (snprintf(whole, sizeof(whole), "%s%s", strstr(url, "://") ? "" : "http://", url) >=
		(int)sizeof(whole))
		return -ENAMETOOLONG;
	return add_proxy(f, "**", whole);
}

int egress_host_proxies(struct egress_host_facts *f, char *(*get)(const char *), const char *proxy,
	const char *none)
{
	const char *https = variable(get, "HTTPS_PROXY"), *all = variable(get, "ALL_PROXY"),
		   *not_for = variable(get, "NO_PROXY");
	const char *url = proxy[0] ? proxy : https ? https : all;
	int r;

	if (!url || strcmp(url, "direct") == 0)
		return 0;
	f->proxies = calloc(PROXIES_MAX, sizeof(*f->proxies));
	if (!f->proxies)
		return -ENOMEM;
	r = no_proxy(f, none);
	if (r == 0 && !proxy[0] && not_for)
		r = no_proxy(f, not_for);
	return r == 0 ? with_scheme(f, url) : r;
}

int egress_host_servers(struct egress_host_facts *f, const char *list)
{
	f->n_servers = 0;
	while (*list && f->n_servers < EGRESS_SERVERS_MAX) {
		struct egress_server *s = &f->servers[f->n_servers];
		size_t n = strcspn(list, ", \t");
		char item[80], *addr = item, *port;

		(void)snprintf(item, sizeof(item), "%.*s", (int)(n < sizeof(item) ? n : 0), list);
		list += n + strspn(list + n, ", \t");
		port = item[0] == '[' ? strchr(item, ']') : strchr(item, ':');
		if (item[0] == '[' && port) {
			addr = item + 1;
			*port++ = '\0';
		} else if (port && strchr(port + 1, ':')) {
			port = NULL; /* an IPv6 address without brackets has no port */
		}
		if (port && *port == ':')
			*port++ = '\0';
		s->port = port && *port ? (uint16_t)strtoul(port, NULL, 10) : DNS_PORT;
		f->n_servers += read_addr(addr, &s->addr) && s->port != 0;
	}
	return f->n_servers > 0 ? 0 : -EINVAL;
}

void egress_host_fini(struct egress_host_facts *f)
{
	for (uint32_t i = 0; f->hosts && i < f->n_hosts; i++)
		free((void *)(uintptr_t)f->hosts[i].name);
	for (uint32_t i = 0; f->proxies && i < f->n_proxies; i++) {
		free((void *)(uintptr_t)f->proxies[i].pattern);
		free((void *)(uintptr_t)f->proxies[i].url);
	}
	free(TAKE(f->hosts));
	free(TAKE(f->proxies));
	f->n_servers = f->n_hosts = f->n_proxies = 0;
}
