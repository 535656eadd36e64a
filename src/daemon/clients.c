#include "daemon/clients.h"
#include "base/buf.h"
#include "base/io.h"
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define FILE_MAX  (256U << 10)
#define FILES_MAX 64

struct client {
	const char *name;
	const char *keys[8]; /* what stands before a URL that counts */
	const char *files[8]; /* "~/" is the home; patterns of glob() */
	const char *env[8]; /* variables; the whole value counts */
};

static const struct client clients[] = {
	{"apt", {"deb", "URIs", "uris"},
		{"/etc/apt/sources.list", "/etc/apt/sources.list.d/*.list",
			"/etc/apt/sources.list.d/*.sources"},
		{0}},
	{"npm", {"registry", "npmRegistryServer"},
		{"/etc/npmrc", "/usr/etc/npmrc", "/usr/local/etc/npmrc", "~/.npmrc", "~/.yarnrc",
			"~/.yarnrc.yml"},
		{"npm_config_registry", "NPM_CONFIG_REGISTRY", "YARN_NPM_REGISTRY_SERVER"}},
	{"pip", {"index-url", "index_url", "url"},
		{"/etc/pip.conf", "/etc/xdg/pip/pip.conf", "~/.pip/pip.conf",
			"~/.config/pip/pip.conf", "~/.config/uv/uv.toml", "/etc/uv/uv.toml"},
		{"PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "UV_INDEX_URL", "UV_DEFAULT_INDEX",
			"UV_INDEX", "UV_EXTRA_INDEX_URL"}},
	{"cargo", {"index", "registry", "replace-with", "dl"},
		{"~/.cargo/config.toml", "~/.cargo/config"},
		{"CARGO_REGISTRIES_CRATES_IO_INDEX", "CARGO_REGISTRY_INDEX"}},
	{"go", {"GOPROXY", "GOSUMDB"}, {"~/.config/go/env", "/etc/go/env"}, {"GOPROXY"}},
};

static bool has_key(const char *line, size_t len, const char *const *keys)
{
	for (size_t i = 0; keys[i]; i++)
		if (memmem(line, len, keys[i], strlen(keys[i])))
			return true;
	return false;
}

/* add() - an authority, "user:password@host:port", of a URL whose scheme's port is @port */
static size_t add(const char *client, const char *s, size_t len, unsigned port,
	struct client_host ret[CLIENTS_MAX], size_t n)
{
	const char *at = memrchr(s, '@', len);
	struct policy_pattern p;
	char text[POLICY_PATTERN_MAX];
	enum policy_address_class c;

	if (at) {
		len -= (size_t)(at + 1 - s);
		s = at + 1;
	}
	if (n >= CLIENTS_MAX || len == 0 || len > POLICY_HOST_MAX + 6 ||
		policy_pattern_parse(s, len, &p, NULL) < 0)
		return n;
	if (p.kind != POLICY_PATTERN_NAME && p.kind != POLICY_PATTERN_NET)
		return n;
	if (p.kind == POLICY_PATTERN_NET) {
		c = policy_address_class(&p.net);
		if (c != POLICY_ADDRESS_PUBLIC && c != POLICY_ADDRESS_PRIVATE)
			return n;
	}
	if (!p.port)
		p.port = (uint16_t)port;
	policy_pattern_text(&p, text);
	for (size_t i = 0; i < n; i++)
		if (strcmp(ret[i].resource, text) == 0)
			return n;
	ret[n].client = client;
	memcpy(ret[n].resource, text, sizeof(text));
	return n + 1;
}

/* scan_line() - every http and https URL; with @keys, what stands before the first must have one */
static size_t scan_line(const char *client, const char *line, size_t len, const char *const *keys,
	struct client_host ret[CLIENTS_MAX], size_t n)
{
	const char *end = line + len, *s = line, *scheme;

	while ((scheme = memmem(s, (size_t)(end - s), "http", 4))) {
		bool tls = end - scheme > 4 && scheme[4] == 's';
		const char *host = scheme + (tls ? 5 : 4);

		s = scheme + 4;
		if (end - host < 4 || memcmp(host, "://", 3) != 0)
			continue;
		if (keys && !has_key(line, (size_t)(scheme - line), keys))
			return n;
		host += 3;
		s = host;
		while (s < end && !isspace((unsigned char)*s) && !strchr("/?#\"',;|<>)]}\\", *s))
			s++;
		/* an address in brackets ends behind them */
		if (s < end && *s == ']' && host < s && *host == '[')
			for (s++; s < end && (*s == ':' || isdigit((unsigned char)*s)); s++)
				;
		n = add(client, host, (size_t)(s - host), tls ? 443 : 80, ret, n);
	}
	return n;
}

size_t clients_scan(const char *client, const char *text, const char *const *keys,
	struct client_host ret[CLIENTS_MAX], size_t n)
{
	while (*text) {
		size_t len = strcspn(text, "\n"), skip = strspn(text, " \t");

		if (skip < len && text[skip] != '#' && text[skip] != ';')
			n = scan_line(client, text, len, keys, ret, n);
		text += len;
		if (*text)
			text++;
	}
	return n;
}

/* read_text() - a regular file of at most FILE_MAX bytes; a FIFO must not hold us up */
static int read_text(const char *path, struct buf *out)
{
	AUTO_FD fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	r = io_read_fd(fd, out);
	return r < 0 ? r : memchr(buf_str(out), '\0', out->len) ? -EINVAL : 0;
}

static size_t scan_file(
	const struct client *c, const char *pattern, struct client_host ret[CLIENTS_MAX], size_t n)
{
	glob_t g;

	if (glob(pattern, 0, NULL, &g) != 0)
		return n;
	for (size_t i = 0; i < g.gl_pathc && i < FILES_MAX; i++) {
		AUTO(buf) text;

		buf_init(&text, FILE_MAX);
		if (read_text(g.gl_pathv[i], &text) == 0)
			n = clients_scan(c->name, buf_str(&text), c->keys, ret, n);
	}
	globfree(&g);
	return n;
}

size_t clients_find(const char *root, const char *home, struct client_host ret[CLIENTS_MAX])
{
	char path[PATH_MAX];
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(clients); i++) {
		const struct client *c = &clients[i];

		for (size_t k = 0; k < ARRAY_LEN(c->files) && c->files[k]; k++) {
			const bool own = c->files[k][0] == '~';
			int len = snprintf(path, sizeof(path), "%s%s", own && home ? home : root,
				c->files[k] + own);

			if ((!own || home) && len < (int)sizeof(path))
				n = scan_file(c, path, ret, n);
		}
		for (size_t k = 0; k < ARRAY_LEN(c->env) && c->env[k]; k++) {
			const char *v = getenv(c->env[k]);

			if (v)
				n = scan_line(c->name, v, strlen(v), NULL, ret, n);
		}
	}
	return n;
}
