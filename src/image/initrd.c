#include "image/initrd.h"
#include "image/internal.h"
#include "base/cachedir.h"
#include "base/io.h"
#include "base/paths.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

#define NEWC_HEAD    110
#define INITRDS_KEPT 4 /* those used last; each is some megabytes, and made in 20 ms */

/* Starts of one daemon run side by side; one assembles, the others find it made. */
static pthread_mutex_t assembling = PTHREAD_MUTEX_INITIALIZER;

void cpio_init(struct cpio *c, struct buf *out)
{
	c->out = out;
	c->next_ino = 1;
}

static int pad4(struct buf *out)
{
	static const char zeros[4];

	return buf_add(out, zeros, -out->len % 4);
}

struct newc {
	const char *name;
	unsigned mode, major, minor;
	const void *data;
	size_t len;
};

/* buffer-format/initramfs: 13 fields of 8 hex digits, name with NUL, each part padded to 4 */
static int put(struct cpio *c, const struct newc *n)
{
	size_t name_len = strlen(n->name) + 1;
	unsigned links = S_ISDIR(n->mode) ? 2 : 1;
	int r;

	if (name_len > PATH_MAX || n->len > UINT32_MAX)
		return -EINVAL;
	r = buf_addf(c->out, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
		c->next_ino, n->mode, 0U, 0U, links, 0U, (unsigned)n->len, 0U, 0U, n->major,
		n->minor, (unsigned)name_len, 0U);
	if (r == 0)
		r = buf_add(c->out, n->name, name_len);
	if (r == 0)
		r = pad4(c->out);
	if (r == 0 && n->len)
		r = buf_add(c->out, n->data, n->len);
	if (r == 0)
		r = pad4(c->out);
	c->next_ino++;
	return r;
}

int cpio_add(struct cpio *c, const char *name, unsigned mode, const void *data, size_t len)
{
	struct newc n = {.name = name, .mode = mode, .data = data, .len = len};

	return put(c, &n);
}

int cpio_add_dev(struct cpio *c, const char *name, unsigned mode, unsigned major, unsigned minor)
{
	struct newc n = {.name = name, .mode = mode, .major = major, .minor = minor};

	return put(c, &n);
}

int cpio_end(struct cpio *c)
{
	struct newc n = {.name = "TRAILER!!!"};

	c->next_ino = 0; /* as cpio(1) writes it */
	return put(c, &n);
}

/* agent_archive() - /init and the console that the kernel gives it */
static int agent_archive(int agent_fd, struct buf *out, struct err *e)
{
	AUTO(buf) program;
	struct cpio c;
	int r;

	buf_init(&program, IMAGE_AGENT_MAX);
	r = io_read_fd(agent_fd, &program);
	if (r < 0)
		return err_sys(e, r, "read the guest agent");
	if (program.len < 4 || memcmp(program.data, "\177ELF", 4) != 0)
		return err_set(e, ERR_INVALID, -ENOEXEC, "the guest agent is not an ELF program");
	cpio_init(&c, out);
	r = cpio_add(&c, "dev", S_IFDIR | 0755, NULL, 0);
	if (r == 0)
		r = cpio_add_dev(&c, "dev/console", S_IFCHR | 0600, 5, 1);
	if (r == 0)
		r = cpio_add(&c, "init", S_IFREG | 0755, program.data, program.len);
	if (r == 0)
		r = cpio_end(&c);
	return r < 0 ? err_sys(e, r, "write the guest agent's archive") : 0;
}

static int copy_all(int to, int from, uint64_t bytes)
{
	while (bytes) {
		ssize_t n = sendfile(to, from, NULL, bytes < 1U << 20 ? (size_t)bytes : 1U << 20);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EPIPE;
		bytes -= (uint64_t)n;
	}
	return 0;
}

/* assemble() - modules first: the kernel needs 4-byte alignment between archives, and cpio(1)'s
 * output is a multiple of 512
 */
static int assemble(const struct image *img, int agent_fd, const char *path, struct err *e)
{
	AUTO(buf) agent;
	char tmp[PATH_MAX];
	int r;

	buf_init(&agent, IMAGE_AGENT_MAX + 4096);
	r = agent_archive(agent_fd, &agent, e);
	if (r < 0)
		return r;
	r = cachedir_tmp(tmp, path);
	if (r < 0)
		return err_sys(e, r, "write '%s'", path);
	AUTO_FD modules = image_open_modules(img, e);
	if (modules < 0)
		return TAKE_FD(modules);
	AUTO_FD fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_sys(e, -errno, "write '%s'", tmp);
	r = copy_all(fd, modules, img->modules_bytes);
	if (r == 0)
		r = io_write_full(fd, agent.data, agent.len, IO_FOREVER);
	if (r == 0 && (fsync(fd) < 0 || rename(tmp, path) < 0))
		r = -errno;
	if (r < 0) {
		(void)unlink(tmp);
		return err_sys(e, r, "write '%s'", path);
	}
	return 0;
}

static uint64_t newc_size(const char *name, uint64_t len)
{
	return ((NEWC_HEAD + strlen(name) + 1 + 3) & ~(uint64_t)3) + ((len + 3) & ~(uint64_t)3);
}

/* initrd_size() - what a whole one has; a shorter one was cut by a power failure */
static uint64_t initrd_size(const struct image *img, uint64_t agent_bytes)
{
	return img->modules_bytes + newc_size("dev", 0) + newc_size("dev/console", 0) +
	       newc_size("init", agent_bytes) + newc_size("TRAILER!!!", 0);
}

int image_initrd(const struct image_store *s, const struct image *img, const char *agent,
	char *ret_path, struct err *e)
{
	char dir[PATH_MAX], path[PATH_MAX];
	AUTO_FD agent_fd = open(agent, O_RDONLY | O_CLOEXEC);
	struct stat st, have;
	int r;

	if (agent_fd < 0 || fstat(agent_fd, &st) < 0)
		return err_sys(e, -errno, "open the guest agent '%s'", agent);
	if (snprintf(dir, sizeof(dir), "%s/../initrd", s->dir) >= (int)sizeof(dir) ||
		snprintf(path, sizeof(path), "%s/%s-%llx-%llx-%lx", dir, img->id,
			(unsigned long long)st.st_size, (unsigned long long)st.st_mtim.tv_sec,
			st.st_mtim.tv_nsec) >= (int)sizeof(path))
		return err_sys(e, -ENAMETOOLONG, "place the initrd");
	r = paths_mkdir(dir, e);
	if (r < 0)
		return r;
	(void)pthread_mutex_lock(&assembling);
	if (stat(path, &have) < 0 ||
		(uint64_t)have.st_size != initrd_size(img, (uint64_t)st.st_size)) {
		r = assemble(img, agent_fd, path, e);
		if (r == 0)
			cachedir_prune(dir, strrchr(path, '/') + 1, INITRDS_KEPT - 1);
	}
	(void)pthread_mutex_unlock(&assembling);
	if (r < 0)
		return r;
	AUTO_FD fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return err_sys(e, -errno, "open '%s'", path);
	(void)futimens(fd, NULL); /* it was used: others are older */
	if (ret_path)
		memcpy(ret_path, path, strlen(path) + 1);
	return TAKE_FD(fd);
}
