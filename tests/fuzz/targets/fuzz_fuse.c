/* fuzz_fuse.c - any sequence of FUSE requests: no memory error, nothing beside the share touched
 *
 * Input, request after request: opcode (bit 7: the length field lies), which of the last nodes seen
 * it is for, which of the last handles, bytes of room for the reply / 4, a byte of flags (1: leave
 * the arguments alone, 2: drop the last byte of the last span, 4: it must not wait), length (u16), arguments. The first
 * eight bytes of the arguments are the handle, or a node for LINK and RENAME, unless left alone.
 */
#include "virtio/fs_server.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SEEN   16
#define ROOM   1024u
#define CANARY "untouched"

static char base[64];
static int base_fd, proc_fd;
static struct vchain chain;

/* Not assert(): what is checked here has to be done in any build. */
static void must(bool ok)
{
	if (!ok)
		abort();
}

/* Directories that the input made unreachable; failure shows when they are emptied. */
static void open_up(int dirfd, const char *name)
{
	if (fchmodat(dirfd, name, 0755, 0) < 0)
		return;
}

static void put_file(int dirfd, const char *name)
{
	int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	must(fd >= 0 && write(fd, CANARY, sizeof(CANARY)) == sizeof(CANARY));
	close(fd);
}

/* Everything in @dirfd's directory @name, to the depth an input can make. */
static void empty(int dirfd, const char *name, int depth)
{
	int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct dirent *e;
	DIR *d;

	must(fd >= 0 && depth < 1000);
	d = fdopendir(fd);
	must(d);
	while ((e = readdir(d))) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		if (unlinkat(fd, e->d_name, 0) == 0)
			continue;
		open_up(fd, e->d_name);
		empty(fd, e->d_name, depth + 1);
		must(unlinkat(fd, e->d_name, AT_REMOVEDIR) == 0);
	}
	closedir(d);
}

static void remove_base(void)
{
	open_up(base_fd, "rw");
	empty(base_fd, ".", 0);
	(void)rmdir(base);
}

static void once(void)
{
	struct rlimit small = {1 << 20, 1 << 20};

	if (base[0])
		return;
	/* a file system in memory that is there everywhere, and files that stay small */
	(void)snprintf(base, sizeof(base), "%s/fuzz-fuse-XXXXXX",
		access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	must(mkdtemp(base));
	must(signal(SIGXFSZ, SIG_IGN) != SIG_ERR && setrlimit(RLIMIT_FSIZE, &small) == 0);
	base_fd = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	proc_fd = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	must(base_fd >= 0 && proc_fd >= 0 && atexit(remove_base) == 0);
	must(mkdirat(base_fd, "ro", 0755) == 0 && mkdirat(base_fd, "rw", 0755) == 0);
	int ro = openat(base_fd, "ro", O_PATH | O_CLOEXEC);

	put_file(ro, "canary");
	put_file(base_fd, "canary");
	close(ro);
}

static void make_share(void)
{
	int rw;

	open_up(base_fd, "rw");
	empty(base_fd, "rw", 0);
	rw = openat(base_fd, "rw", O_PATH | O_CLOEXEC);
	must(mkdirat(rw, "d", 0755) == 0 && symlinkat("../canary", rw, "l") == 0);
	put_file(rw, "f");
	close(rw);
}

static void check_canary(const char *name)
{
	char got[32];
	int fd = openat(base_fd, name, O_RDONLY | O_CLOEXEC);
	struct stat st;

	must(fd >= 0 && fstat(fd, &st) == 0 && st.st_nlink == 1 && (st.st_mode & 07777) == 0644);
	must(read(fd, got, sizeof(got)) == sizeof(CANARY));
	must(memcmp(got, CANARY, sizeof(CANARY)) == 0);
	close(fd);
}

static unsigned count(const char *name)
{
	DIR *d = fdopendir(openat(base_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	unsigned n = 0;

	must(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

struct session {
	struct fs_server *server;
	uint64_t node[SEEN], fh[SEEN];
	unsigned n_node, n_fh;
	uint8_t in[70000], out[256 * 4];
};

static void remember(struct session *s, uint32_t opcode, uint32_t written)
{
	const size_t head = sizeof(struct fuse_out_header);
	size_t at = head;
	struct fuse_entry_out entry;
	struct fuse_open_out open;
	struct fuse_out_header h;

	if (written < head)
		return;
	memcpy(&h, s->out, head);
	must(h.len == written && h.error <= 0 && h.error > -1000);
	if (h.error)
		return;
	if (opcode == FUSE_LOOKUP || opcode == FUSE_CREATE || opcode == FUSE_MKDIR ||
		opcode == FUSE_SYMLINK || opcode == FUSE_MKNOD || opcode == FUSE_LINK ||
		opcode == FUSE_TMPFILE) {
		memcpy(&entry, s->out + at, sizeof(entry));
		must((entry.attr.mode & 06000) == 0);
		s->node[s->n_node++ % SEEN] = entry.nodeid;
		at += sizeof(entry);
	}
	if (opcode == FUSE_OPEN || opcode == FUSE_OPENDIR || opcode == FUSE_CREATE ||
		opcode == FUSE_TMPFILE) {
		memcpy(&open, s->out + at, sizeof(open));
		s->fh[s->n_fh++ % SEEN] = open.fh;
	}
}

static void done(void *ctx, uint16_t head, uint32_t written)
{
	(void)ctx;
	(void)head;
	must(written <= sizeof(struct fuse_out_header));
}

static void one(struct session *s, const uint8_t *p, const uint8_t *arg, size_t len)
{
	struct fuse_in_header h = {.opcode = p[0] & 127, .nodeid = s->node[p[1] % SEEN]};
	size_t room = (size_t)p[3] * 4;
	uint32_t written;

	h.len = (uint32_t)(sizeof(h) + len + (p[0] >> 7));
	if (p[1] == 255) /* a node as it stands in the input */
		memcpy(&h.nodeid, arg, len < 8 ? len : 8);
	memcpy(s->in, &h, sizeof(h));
	memcpy(s->in + sizeof(h), arg, len);
	if (!(p[4] & 1) && len >= 8)
		memcpy(s->in + sizeof(h),
			h.opcode == FUSE_LINK || h.opcode == FUSE_RENAME || h.opcode == FUSE_RENAME2
				? &s->node[p[2] % SEEN]
				: &s->fh[p[2] % SEEN],
			8);
	/* exact copies, so that a read beyond the end is seen */
	len += sizeof(h);
	if (p[4] & 2)
		len--;
	uint8_t *in = malloc(len), *out = malloc(room ? room : 1);

	must(in && out);
	memcpy(in, s->in, len);
	chain = (struct vchain){.n_in = 2, .n_out = room != 0, .in_bytes = len, .out_bytes = room};
	chain.iov[0] = (struct iovec){in, 1};
	chain.iov[1] = (struct iovec){in + 1, len - 1};
	chain.iov[2] = (struct iovec){out, room};
	if (fs_server_handle(s->server, &chain, !(p[4] & 4), &written) == FS_WAITING) {
		fs_server_end_waiting(s->server); /* the spans go now */
		written = 0;
	}
	must(written <= room);
	memcpy(s->out, out, written);
	remember(s, h.opcode, written);
	free(in);
	free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct session s;
	struct fs_config c = {.n_exports = 2, .max_fds = 64, .max_inodes = 64, .guest_uid = 1000};
	size_t at = 0;

	once();
	make_share();
	memset(&s, 0, sizeof(s));
	c.proc_fd = proc_fd;
	c.exports[0].fd = openat(base_fd, "rw", O_PATH | O_CLOEXEC);
	c.exports[1].fd = openat(base_fd, "ro", O_PATH | O_CLOEXEC);
	c.exports[1].read_only = true;
	must(fs_server_new(&c, &s.server) == 0);
	fs_server_on_done(s.server, done, NULL);
	s.node[s.n_node++] = FUSE_ROOT_ID;
	while (size - at >= 7) {
		size_t len = data[at + 5] | (size_t)data[at + 6] << 8;

		if (len > size - at - 7)
			len = size - at - 7;
		one(&s, data + at, data + at + 7, len);
		at += 7 + len;
	}
	fs_server_free(s.server);
	close(c.exports[0].fd);
	close(c.exports[1].fd);
	check_canary("canary");
	check_canary("ro/canary");
	must(count("ro") == 3 && count(".") == 5);
	return 0;
}
