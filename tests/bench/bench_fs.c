/* bench_fs.c - the file server alone, against the same operations done directly on the host
 *
 * Requests go through a real virtqueue to the fs device (a guest driver in plain memory), so the
 * figures hold everything but the guest's kernel and the notification. One line of JSON for each
 * figure: the median over RUNS of operations (or bytes) a second through the server, the same
 * done directly in the same process, and their ratio. usage: bench_fs [DIRECTORY], default $TMPDIR or /tmp
 */
#include "base/loop.h"
#include "../unit/virtio/ring_guest.h"
#include "virtio/fs.h"
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define RUNS   21
#define FILES  500
#define MIB    (1u << 20)
#define STREAM 64 /* MiB a run */
#define IN_MAX 4096u
#define LEVELS 6 /* of the directory that the deep figure works in */

struct fixture {
	struct ring_guest g;
	struct rg_queue q;
	struct virtio_dev *dev;
	struct loop *loop;
	struct fs_config cfg;
	uint64_t in, data, out, unique, root;
	char base[256];
	int dirfd;
	uint8_t *buffer;
};

static void must(bool ok, const char *what)
{
	if (!ok) {
		perror(what);
		exit(1);
	}
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void setup(struct fixture *f, const char *where)
{
	*f = (struct fixture){.cfg = {.n_exports = 1, .max_fds = 1024, .guest_uid = 1000}};
	(void)snprintf(f->base, sizeof(f->base), "%s/bench-fs-XXXXXX", where);
	must(mkdtemp(f->base), f->base);
	f->dirfd = open(f->base, O_PATH | O_DIRECTORY | O_CLOEXEC);
	f->cfg.exports[0].fd = f->dirfd;
	f->cfg.proc_fd = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	f->loop = loop_new();
	f->buffer = malloc(MIB);
	must(f->buffer && f->loop && fs_dev_new(&f->cfg, f->loop, &f->dev) == 0, "fs_dev_new");
	memset(f->buffer, 'b', MIB);
	rg_init(&f->g, 4 * MIB);
	rg_queue_init(&f->g, &f->q, 1024);
	f->in = rg_alloc(&f->g, IN_MAX, 8);
	f->out = rg_alloc(&f->g, IN_MAX, 8);
	f->data = rg_alloc(&f->g, MIB, 4096);
	rg_attach(&f->g, f->dev, 0);
	rg_start(&f->q, f->dev, 1);
}

static void teardown(struct fixture *f)
{
	fs_dev_free(f->dev);
	loop_free(f->loop);
	rg_fini(&f->g);
	free(f->buffer);
	close(f->dirfd);
	close(f->cfg.proc_fd);
	must(rmdir(f->base) == 0, "rmdir");
}

/* One request: the fixed part, a name, and payload of @data_len bytes in (WRITE) or out (READ). */
static int call(struct fixture *f, uint32_t opcode, uint64_t node, const void *arg, size_t len,
	const char *name, size_t data_in, size_t data_out)
{
	struct fuse_in_header h = {.opcode = opcode, .nodeid = node, .unique = ++f->unique};
	size_t name_len = name ? strlen(name) + 1 : 0;
	uint8_t *in = rg_host(&f->g, f->in);
	struct fuse_out_header out;
	struct rg_span span[260];
	unsigned n = 0;

	h.len = (uint32_t)(sizeof(h) + len + name_len + data_in);
	memcpy(in, &h, sizeof(h));
	if (len)
		memcpy(in + sizeof(h), arg, len);
	if (name_len)
		memcpy(in + sizeof(h) + len, name, name_len);
	span[n++] = (struct rg_span){f->in, (uint32_t)(sizeof(h) + len + name_len), false};
	for (size_t at = 0; at < data_in; at += 4096) /* a guest's pages */
		span[n++] = (struct rg_span){f->data + at, 4096, false};
	if (opcode != FUSE_FORGET)
		span[n++] = (struct rg_span){f->out, data_out ? 16 : IN_MAX, true};
	for (size_t at = 0; at < data_out; at += 4096)
		span[n++] = (struct rg_span){f->data + at, 4096, true};
	(void)rg_chain(&f->q, span, n);
	virtio_dev_kick(f->dev, 1);
	must(rg_used(&f->q, NULL, NULL), "reply");
	if (opcode == FUSE_FORGET)
		return 0;
	memcpy(&out, rg_host(&f->g, f->out), sizeof(out));
	return out.error;
}

static const void *reply(struct fixture *f)
{
	return (const uint8_t *)rg_host(&f->g, f->out) + sizeof(struct fuse_out_header);
}

static void name_of(char dst[16], unsigned k)
{
	(void)snprintf(dst, 16, "file-%u", k);
}

/* -- through the server; each does what a guest's kernel sends for it */

static uint64_t lookup(struct fixture *f, uint64_t dir, const char *name)
{
	must(call(f, FUSE_LOOKUP, dir, NULL, 0, name, 0, 0) == 0, "lookup");
	return ((const struct fuse_entry_out *)reply(f))->nodeid;
}

static void forget(struct fixture *f, uint64_t node)
{
	struct fuse_forget_in in = {.nlookup = 1};

	(void)call(f, FUSE_FORGET, node, &in, sizeof(in), NULL, 0, 0);
}

static void served_metadata(struct fixture *f)
{
	struct fuse_create_in create = {.flags = O_RDWR, .mode = S_IFREG | 0644};
	char name[16];

	for (unsigned k = 0; k < FILES; k++) {
		struct fuse_release_in release = {0};
		struct fuse_getattr_in get = {0};
		uint64_t node;

		name_of(name, k);
		must(call(f, FUSE_CREATE, f->root, &create, sizeof(create), name, 0, 0) == 0,
			"create");
		node = ((const struct fuse_entry_out *)reply(f))->nodeid;
		release.fh = ((const struct fuse_open_out *)(const void
					      *)((const uint8_t *)reply(f) +
						 sizeof(struct fuse_entry_out)))
				     ->fh;
		must(call(f, FUSE_RELEASE, node, &release, sizeof(release), NULL, 0, 0) == 0,
			"release");
		must(call(f, FUSE_GETATTR, node, &get, sizeof(get), NULL, 0, 0) == 0, "getattr");
		must(call(f, FUSE_UNLINK, f->root, NULL, 0, name, 0, 0) == 0, "unlink");
		forget(f, node);
	}
}

static void served_lookups(struct fixture *f)
{
	struct fuse_getattr_in get = {0};
	char name[16];

	for (unsigned k = 0; k < FILES; k++) {
		uint64_t node;

		name_of(name, k);
		node = lookup(f, f->root, name);
		must(call(f, FUSE_GETATTR, node, &get, sizeof(get), NULL, 0, 0) == 0, "getattr");
		forget(f, node);
	}
}

/* In a directory whose way up has to be proven again and again. */
static void served_deep(struct fixture *f)
{
	const uint64_t top = f->root;
	uint64_t chain[LEVELS];

	for (unsigned k = 0; k < LEVELS; k++)
		chain[k] = f->root = lookup(f, f->root, "d");
	served_lookups(f);
	f->root = top;
	for (unsigned k = LEVELS; k-- > 0;)
		forget(f, chain[k]);
}

static uint64_t open_stream(struct fixture *f, uint64_t *ret_fh)
{
	struct fuse_open_in in = {.flags = O_RDWR};
	uint64_t node = lookup(f, f->root, "stream");

	must(call(f, FUSE_OPEN, node, &in, sizeof(in), NULL, 0, 0) == 0, "open");
	*ret_fh = ((const struct fuse_open_out *)reply(f))->fh;
	return node;
}

static void close_stream(struct fixture *f, uint64_t node, uint64_t fh)
{
	struct fuse_release_in in = {.fh = fh};

	must(call(f, FUSE_RELEASE, node, &in, sizeof(in), NULL, 0, 0) == 0, "release");
	forget(f, node);
}

static void served_write(struct fixture *f)
{
	struct fuse_write_in in = {.size = MIB};
	uint64_t node = open_stream(f, &in.fh);

	for (unsigned k = 0; k < STREAM; k++, in.offset += MIB)
		must(call(f, FUSE_WRITE, node, &in, sizeof(in), NULL, MIB, 0) == 0, "write");
	close_stream(f, node, in.fh);
}

static void served_read(struct fixture *f)
{
	struct fuse_read_in in = {.size = MIB};
	uint64_t node = open_stream(f, &in.fh);

	for (unsigned k = 0; k < STREAM; k++, in.offset += MIB)
		must(call(f, FUSE_READ, node, &in, sizeof(in), NULL, 0, MIB) == 0, "read");
	close_stream(f, node, in.fh);
}

/* -- directly */

static void direct_metadata(struct fixture *f)
{
	struct stat st;
	char name[16];

	for (unsigned k = 0; k < FILES; k++) {
		int fd;

		name_of(name, k);
		fd = openat(f->dirfd, name, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
		must(fd >= 0 && close(fd) == 0, "create");
		must(fstatat(f->dirfd, name, &st, 0) == 0, "stat");
		must(unlinkat(f->dirfd, name, 0) == 0, "unlink");
	}
}

static void direct_lookups(struct fixture *f)
{
	struct stat st;
	char name[16];

	for (unsigned k = 0; k < FILES; k++) {
		name_of(name, k);
		must(fstatat(f->dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0, "lookup");
		must(fstatat(f->dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0, "getattr");
	}
}

static int open_deep(struct fixture *f)
{
	char path[2 * LEVELS + 1] = "";
	int fd;

	for (unsigned k = 0; k < LEVELS; k++)
		memcpy(path + 2 * k, "d/", 3);
	fd = openat(f->dirfd, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	must(fd >= 0, "deep directory");
	return fd;
}

static void direct_deep(struct fixture *f)
{
	const int top = f->dirfd;

	f->dirfd = open_deep(f);
	direct_lookups(f);
	close(f->dirfd);
	f->dirfd = top;
}

static void direct_write(struct fixture *f)
{
	int fd = openat(f->dirfd, "stream", O_WRONLY | O_CLOEXEC);

	for (unsigned k = 0; k < STREAM; k++)
		must(write(fd, f->buffer, MIB) == MIB, "write");
	close(fd);
}

static void direct_read(struct fixture *f)
{
	int fd = openat(f->dirfd, "stream", O_RDONLY | O_CLOEXEC);

	for (unsigned k = 0; k < STREAM; k++)
		must(read(fd, f->buffer, MIB) == MIB, "read");
	close(fd);
}

/* -- measuring */

struct bench {
	const char *name, *unit;
	void (*served)(struct fixture *f), (*direct)(struct fixture *f);
	double per_run; /* units */
};

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double timed(struct fixture *f, void (*fn)(struct fixture *))
{
	double from = now();

	fn(f);
	return now() - from;
}

static void measure(struct fixture *f, const struct bench *b)
{
	double served[RUNS], direct[RUNS], s, d;

	b->served(f);
	b->direct(f);
	for (unsigned k = 0; k < RUNS; k++) { /* in turns, so that noise meets both */
		served[k] = b->per_run / timed(f, b->served);
		direct[k] = b->per_run / timed(f, b->direct);
	}
	qsort(served, RUNS, sizeof(*served), by_value);
	qsort(direct, RUNS, sizeof(*direct), by_value);
	s = served[RUNS / 2];
	d = direct[RUNS / 2];
	printf("{\"bench\": \"%s\", \"value\": %.0f, \"unit\": \"%s\", \"p10\": %.0f, \"p90\": "
	       "%.0f, "
	       "\"direct\": %.0f, \"ratio\": %.3f, \"runs\": %d}\n",
		b->name, s, b->unit, served[RUNS / 10], served[RUNS - 1 - RUNS / 10], d, s / d,
		RUNS);
}

static void make_files(struct fixture *f, bool there)
{
	char name[16];

	for (unsigned k = 0; k < FILES; k++) {
		int fd;

		name_of(name, k);
		if (!there) {
			must(unlinkat(f->dirfd, name, 0) == 0, "unlink");
			continue;
		}
		fd = openat(f->dirfd, name, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
		must(fd >= 0 && close(fd) == 0, "create");
	}
}

/* make_deep() - the directory LEVELS below with its files, or away with them */
static void make_deep(struct fixture *f, bool there)
{
	const int top = f->dirfd;
	char path[2 * LEVELS + 1] = "";

	for (unsigned k = 0; k < LEVELS && there; k++) {
		memcpy(path + 2 * k, "d/", 3);
		must(mkdirat(top, path, 0755) == 0, "mkdir");
	}
	f->dirfd = open_deep(f);
	make_files(f, there);
	close(f->dirfd);
	f->dirfd = top;
	for (unsigned k = LEVELS; k-- > 0 && !there;) {
		for (unsigned i = 0; i <= k; i++)
			memcpy(path + 2 * i, i == k ? "d" : "d/", i == k ? 2 : 3);
		must(unlinkat(top, path, AT_REMOVEDIR) == 0, "rmdir");
	}
}

int main(int argc, char **argv)
{
	const char *tmp = getenv("TMPDIR");
	struct fuse_init_in init = {.major = 7, .minor = 36, .flags = ~0u};
	struct fixture f;
	int fd;

	setup(&f, argc > 1 ? argv[1] : tmp ? tmp : "/tmp");
	must(call(&f, FUSE_INIT, 0, &init, sizeof(init), NULL, 0, 0) == 0, "init");
	f.root = lookup(&f, FUSE_ROOT_ID, "0");
	measure(&f, &(struct bench){"fs_create_stat_unlink", "files/s", served_metadata,
			    direct_metadata, FILES});
	make_files(&f, true);
	measure(&f, &(struct bench){
			    "fs_lookup_getattr", "files/s", served_lookups, direct_lookups, FILES});
	make_files(&f, false);
	make_deep(&f, true);
	measure(&f, &(struct bench){
			    "fs_lookup_getattr_deep", "files/s", served_deep, direct_deep, FILES});
	make_deep(&f, false);
	fd = openat(f.dirfd, "stream", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	must(fd >= 0 && close(fd) == 0, "create");
	measure(&f, &(struct bench){"fs_write_1m", "bytes/s", served_write, direct_write,
			    (double)STREAM * MIB});
	measure(&f, &(struct bench){"fs_read_1m", "bytes/s", served_read, direct_read,
			    (double)STREAM * MIB});
	must(unlinkat(f.dirfd, "stream", 0) == 0, "unlink");
	teardown(&f);
	return 0;
}
