#include "guest/trust.h"
#include "base/io.h"
#include "guest/sys.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define OWN	   "/usr/local/share/ca-certificates/sbx.crt" /* update-ca-certificates(8) */
#define BUNDLE	   "/etc/ssl/certs/ca-certificates.crt"
#define STORE	   "/etc/ssl/certs"
#define LINK	   "sbx.pem"
#define SUDOERS	   "/etc/sudoers.d/sbx-ca"
#define BUNDLE_MAX (4U << 20)
#define FIRST_LINE "# sbx: the sandbox's own certificate authority\n"
#define LAST_LINE  "# sbx: end\n"

/* Those that add to what a program knows name our file, those that replace it name the bundle. */
const char *const trust_variables[TRUST_VARIABLES] = {
	"NODE_EXTRA_CA_CERTS=" OWN,
	"DENO_CERT=" OWN,
	"SSL_CERT_FILE=" BUNDLE,
	"REQUESTS_CA_BUNDLE=" BUNDLE,
	"CURL_CA_BUNDLE=" BUNDLE,
	"AWS_CA_BUNDLE=" BUNDLE,
	"GIT_SSL_CAINFO=" BUNDLE,
	"PIP_CERT=" BUNDLE,
	"CARGO_HTTP_CAINFO=" BUNDLE,
	"CODEX_CA_CERTIFICATE=" BUNDLE,
	"NIX_SSL_CERT_FILE=" BUNDLE,
	"GRPC_DEFAULT_SSL_ROOTS_FILE_PATH=" BUNDLE,
};

int trust_bundle(const char *old, const char *pem, struct buf *out)
{
	const char *ours = strstr(old, FIRST_LINE);
	const char *end = ours ? strstr(ours, LAST_LINE) : NULL;
	size_t before = ours ? (size_t)(ours - old) : strlen(old);
	int r = buf_add(out, old, before);

	if (r == 0 && end)
		r = buf_addf(out, "%s", end + strlen(LAST_LINE));
	if (r == 0 && out->len && out->data[out->len - 1] != '\n')
		r = buf_addf(out, "\n");
	if (r == 0 && pem[0])
		r = buf_addf(out, "%s%s%s" LAST_LINE, FIRST_LINE, pem,
			pem[strlen(pem) - 1] == '\n' ? "" : "\n");
	return r;
}

static int below(char dst[PATH_MAX], const char *root, const char *path)
{
	return snprintf(dst, PATH_MAX, "%s%s", root, path) < PATH_MAX ? 0 : -ENAMETOOLONG;
}

/* write_new() - beside it, then in its place: whoever reads it meanwhile has a whole one */
static int write_new(const char *path, const void *p, size_t len, mode_t mode)
{
	char tmp[PATH_MAX];
	int r;

	if (snprintf(tmp, sizeof(tmp), "%s.sbx", path) >= (int)sizeof(tmp))
		return -ENAMETOOLONG;
	(void)unlink(tmp);
	AUTO_FD fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);

	if (fd < 0)
		return -errno;
	r = io_write_full(fd, p, len, IO_FOREVER);
	if (r == 0 && rename(tmp, path) < 0)
		r = -errno;
	if (r < 0)
		(void)unlink(tmp);
	return r;
}

static int put_own(const char *root, const char *pem)
{
	char path[PATH_MAX];
	int r = below(path, root, "/usr/local/share/ca-certificates");

	if (r == 0 && pem[0])
		r = sys_mkdirs(path, NULL, 0, 0);
	if (r == 0)
		r = below(path, root, OWN);
	if (r < 0)
		return r;
	if (!pem[0])
		return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
	return write_new(path, pem, strlen(pem), 0644);
}

static int put_bundle(const char *root, const char *pem)
{
	AUTO(buf) old = {0};
	AUTO(buf) new = {0};
	char path[PATH_MAX];
	int r = below(path, root, STORE);

	if (r == 0 && pem[0])
		r = sys_mkdirs(path, NULL, 0, 0);
	if (r == 0)
		r = below(path, root, BUNDLE);
	if (r < 0)
		return r;
	buf_init(&old, BUNDLE_MAX);
	buf_init(&new, BUNDLE_MAX + 65536);
	r = io_read_file(AT_FDCWD, path, &old);
	if (r == -ENOENT && !pem[0])
		return 0;
	if (r < 0 && r != -ENOENT)
		return r;
	r = trust_bundle(buf_str(&old), pem, &new);
	if (r < 0 || (old.len == new.len &&strcmp(buf_str(&old), buf_str(&new)) == 0))
		return r;
	return write_new(path, new.data, new.len, 0644);
}

/* put_links() - for programs that look a certificate up in the directory by its name's hash. Which one
 * was ours before is known by where it leads.
 */
static int put_links(const char *root, const char *pem)
{
	char path[PATH_MAX], hash[9], name[32];
	int r = below(path, root, STORE);
	AUTO_FD dir = r < 0 ? -1 : open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (dir < 0)
		return pem[0] ? -errno : 0;
	(void)unlinkat(dir, LINK, 0);
	if (!pem[0])
		return 0;
	if (symlinkat(OWN, dir, LINK) < 0)
		return -errno;
	r = trust_hash(pem, hash);
	for (unsigned i = 0; r == 0 && i < 8; i++) { /* others may have the same hash */
		char to[32] = "";

		(void)snprintf(name, sizeof(name), "%s.%u", hash, i);
		if (readlinkat(dir, name, to, sizeof(to) - 1) > 0 && strcmp(to, LINK) == 0)
			return 0;
		if (symlinkat(LINK, dir, name) == 0)
			return 0;
		r = errno == EEXIST ? 0 : -errno;
	}
	return r;
}

/* put_sudo() - "sudo npm install" shall trust it, too */
static int put_sudo(const char *root, const char *pem)
{
	char path[PATH_MAX];
	AUTO(buf) b = {0};
	int r = below(path, root, "/etc/sudoers.d");

	if (r < 0 || access(path, F_OK) < 0)
		return r;
	r = below(path, root, SUDOERS);
	if (r < 0 || !pem[0])
		return r < 0 || unlink(path) == 0 || errno == ENOENT ? r : -errno;
	buf_init(&b, 4096);
	r = buf_addf(&b, "Defaults env_keep += \"");
	for (size_t i = 0; r == 0 && i < TRUST_VARIABLES; i++)
		r = buf_addf(&b, "%s%.*s", i ? " " : "", (int)strcspn(trust_variables[i], "="),
			trust_variables[i]);
	if (r == 0)
		r = buf_addf(&b, "\"\n");
	return r < 0 ? r : write_new(path, b.data, b.len, 0440);
}

int trust_install(const char *root, const char *pem, struct err *e)
{
	int r = put_own(root, pem);

	if (r == 0)
		r = put_bundle(root, pem);
	if (r == 0)
		r = put_links(root, pem);
	if (r == 0)
		r = put_sudo(root, pem);
	if (r == 0)
		(void)trust_java(root, pem);
	return r < 0 ? err_sys(e, r, "trust the sandbox's certificate authority") : 0;
}
