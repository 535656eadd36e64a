/* test_fs_confine.c - the file server: what a hostile guest or a busy host cannot make it do
 *
 * The names in the comments are the attack cases of group B. Each test ends in fs_tree_remove(),
 * which asserts that nothing beside the share was made or changed.
 */
#include "../check.h"
#include "base/clock.h"
#include "fs_tree.h"
#include "fuse_client.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#define RACE_MS	      2000
#define RACE_REQUESTS 100000
#define RACE_MAX_MS   20000 /* on a busy machine fewer requests have to do */

#ifdef __has_feature
#define SANITIZED (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

static struct fuse_client fc;
static struct fs_tree tree;
static uint64_t root;

static int setup(void **state)
{
	(void)state;
	fs_tree_make(&tree);
	fcl_new(&fc, tree.share);
	root = fcl_walk(&fc, 0, "", NULL);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fcl_free(&fc);
	fs_tree_remove(&tree);
	return 0;
}

/* FS-01 */
static void links_are_objects(void **state)
{
	static const char *const targets[] = {"/etc/shadow", "../outside/canary", "../..",
		"/proc/self/root", "/proc/1/root", "self", "a/../../outside"};
	struct fuse_entry_out e, below;
	char name[16], text[64];
	uint64_t fh;

	(void)state;
	for (unsigned k = 0; k < sizeof(targets) / sizeof(targets[0]); k++) {
		(void)snprintf(name, sizeof(name), "l%u", k);
		assert_int_equal(fcl_symlink(&fc, root, name, targets[k], &e), 0);
		assert_int_equal(fcl_readlink(&fc, e.nodeid, text, sizeof(text)), 0);
		assert_string_equal(text, targets[k]);
		assert_int_equal(fcl_open(&fc, e.nodeid, O_RDONLY, &fh, NULL), -ELOOP);
		assert_int_equal(fcl_opendir(&fc, e.nodeid, &fh), -ENOTDIR);
		assert_int_equal(fcl_lookup(&fc, e.nodeid, "canary", &below), -ENOTDIR);
		assert_int_equal(fcl_create(&fc, root, name, O_RDWR, 0644, &below, &fh), -ELOOP);
		assert_int_equal(fcl_mkdir(&fc, e.nodeid, "x", 0755, &below), -ENOTDIR);
		assert_int_equal(fcl_setxattr(&fc, e.nodeid, "user.x", "x", 1), -EPERM);
		assert_int_equal(
			fcl_setattr(&fc, e.nodeid,
				&(struct fuse_setattr_in){.valid = FATTR_MODE, .mode = 0777}),
			-EOPNOTSUPP);
		assert_int_equal(fcl_setattr(&fc, e.nodeid,
					 &(struct fuse_setattr_in){.valid = FATTR_SIZE, .size = 0}),
			-EINVAL);
	}
	/* a name that was a file and is a link now */
	fs_tree_write(&tree, "f", "x", 1);
	assert_int_equal(fcl_lookup(&fc, root, "f", &e), 0);
	assert_int_equal(unlink(fs_tree_path(&tree, "f")), 0);
	assert_int_equal(symlink("../outside/canary", fs_tree_path(&tree, "f")), 0);
	assert_int_equal(fcl_open(&fc, e.nodeid, O_RDWR, &fh, NULL), -ESTALE);
	assert_int_equal(
		fcl_setattr(&fc, e.nodeid,
			&(struct fuse_setattr_in){.valid = FATTR_SIZE | FATTR_MODE, .mode = 0777}),
		-ESTALE);
}

/* FS-05 */
static void names_that_are_no_names(void **state)
{
	struct fuse_in_header h = {.opcode = FUSE_LOOKUP, .unique = 1};
	struct fuse_entry_out e;
	char longest[300], bytes[128];
	uint64_t fh;

	(void)state;
	for (const char **n = (const char *[]){"", ".", "..", "/", "a/b", "../outside", "/etc",
		     "a/", NULL};
		*n; n++) {
		assert_int_equal(fcl_lookup(&fc, root, *n, &e), -EINVAL);
		assert_int_equal(fcl_lookup(&fc, FUSE_ROOT_ID, *n, &e), -EINVAL);
		assert_int_equal(fcl_create(&fc, root, *n, O_RDWR, 0644, &e, &fh), -EINVAL);
		assert_int_equal(fcl_mkdir(&fc, root, *n, 0755, &e), -EINVAL);
		assert_int_equal(fcl_mknod(&fc, root, *n, S_IFREG | 0644), -EINVAL);
		assert_int_equal(fcl_symlink(&fc, root, *n, "t", &e), -EINVAL);
		assert_int_equal(fcl_unlink(&fc, root, *n), -EINVAL);
		assert_int_equal(fcl_rmdir(&fc, root, *n), -EINVAL);
		assert_int_equal(fcl_rename(&fc, root, *n, root, "x", 0), -EINVAL);
		assert_int_equal(fcl_rename(&fc, root, "x", root, *n, 0), -EINVAL);
		assert_int_equal(fcl_link(&fc, root, root, *n), -EINVAL);
	}
	memset(longest, 'n', sizeof(longest));
	longest[256] = '\0';
	assert_int_equal(fcl_lookup(&fc, root, longest, &e), -ENAMETOOLONG);
	longest[255] = '\0';
	assert_int_equal(fcl_lookup(&fc, root, longest, &e), -ENOENT);
	/* a NUL within: what follows it is left over, and refused */
	h.nodeid = root;
	h.len = sizeof(h) + 12;
	memcpy(bytes, &h, sizeof(h));
	memcpy(bytes + sizeof(h), "x\0/../canary", 12);
	assert_int_equal(fcl_raw(&fc, bytes, h.len, 200), 16);
	assert_int_equal(((struct fuse_out_header *)(void *)fc.out)->error, -EINVAL);
}

static void find_up(void *ctx, const struct fuse_dirent *d, const char *name,
	const struct fuse_entry_out *entry)
{
	(void)entry;
	if (strcmp(name, "..") == 0)
		*(uint64_t *)ctx = d->ino;
}

/* FS-05: ".." of an export's root tells nothing of the directory around it */
static void up_of_the_root(void **state)
{
	uint64_t up = 0, fh, next;
	struct fuse_attr_out a;
	struct stat st;
	unsigned n;

	(void)state;
	assert_int_equal(fcl_opendir(&fc, root, &fh), 0);
	assert_int_equal(fcl_list(&fc, root, fh, 0, 4096, false, find_up, &up, &next, &n), 0);
	assert_int_equal(stat(tree.base, &st), 0);
	assert_true(up != 0 && up != st.st_ino);
	assert_int_equal(fcl_getattr(&fc, FUSE_ROOT_ID, &a), 0);
	assert_int_equal(up, a.attr.ino);
}

/* -- FS-02, FS-04: races with a thread that swaps a directory for a link, or moves it away */

struct swapper {
	pthread_t thread;
	atomic_bool stop;
	int from, to; /* directories */
	const char *a, *b;
	unsigned flags;
	unsigned long swaps;
};

static void *swap_loop(void *arg)
{
	struct swapper *s = arg;

	while (!atomic_load(&s->stop)) {
		if (renameat2(s->from, s->a, s->to, s->b, s->flags) == 0)
			s->swaps++;
		if (!s->flags)
			(void)renameat2(s->to, s->b, s->from, s->a, 0);
	}
	return NULL;
}

static void swap_start(struct swapper *s, const char *from, const char *to)
{
	s->from = open(from, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	s->to = open(to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(s->from >= 0 && s->to >= 0);
	assert_int_equal(pthread_create(&s->thread, NULL, swap_loop, s), 0);
}

static void swap_end(struct swapper *s)
{
	atomic_store(&s->stop, true);
	assert_int_equal(pthread_join(s->thread, NULL), 0);
	close(s->from);
	close(s->to);
	assert_true(s->swaps > 100);
}

/* One round of everything that takes a name, below @dir, which may be anything by now. */
static unsigned everything_below(uint64_t dir, uint64_t file)
{
	struct fuse_entry_out e;
	uint64_t fh;
	unsigned ok = 0;

	assert_true(fcl_lookup(&fc, dir, "canary", &e) < 0);
	if (fcl_create(&fc, dir, "made", O_RDWR, 0644, &e, &fh) == 0) {
		(void)fcl_write(&fc, e.nodeid, fh, 0, "x", 1, 0, 0);
		(void)fcl_setxattr(&fc, e.nodeid, "user.x", "x", 1);
		(void)fcl_release(&fc, e.nodeid, fh);
		fcl_forget(&fc, e.nodeid, 1);
		ok++;
	}
	if (fcl_mkdir(&fc, dir, "sub", 0755, &e) == 0) {
		fcl_forget(&fc, e.nodeid, 1);
		ok++;
	}
	ok += fcl_rename(&fc, dir, "made", dir, "moved", 0) == 0;
	ok += fcl_rename(&fc, dir, "canary", root, "stolen", 0) == 0;
	if (fcl_link(&fc, file, dir, "hard") == 0) {
		fcl_forget(&fc, file, 1);
		ok++;
	}
	if (fcl_symlink(&fc, dir, "sym", "t", &e) == 0) {
		fcl_forget(&fc, e.nodeid, 1);
		ok++;
	}
	assert_int_not_equal(fcl_unlink(&fc, dir, "canary"), 0);
	(void)fcl_unlink(&fc, dir, "moved");
	(void)fcl_unlink(&fc, dir, "hard");
	(void)fcl_unlink(&fc, dir, "sym");
	(void)fcl_rmdir(&fc, dir, "sub");
	return ok;
}

static void swapped_for_a_link(void **state)
{
	struct swapper s = {.a = "dir", .b = "link", .flags = 2 /* RENAME_EXCHANGE */};
	int64_t end = clock_ms() + RACE_MAX_MS;
	unsigned long ok = 0, rounds = 0;
	struct fs_stats before, after;
	struct fuse_entry_out e;
	uint64_t file, held;

	(void)state;
	assert_int_equal(mkdir(fs_tree_path(&tree, "dir"), 0755), 0);
	assert_int_equal(symlink("../outside", fs_tree_path(&tree, "link")), 0);
	fs_tree_write(&tree, "file", "f", 1);
	file = fcl_walk(&fc, 0, "file", NULL);
	held = fcl_walk(&fc, 0, "dir", NULL);
	fs_server_stats(fc.server, &before);
	swap_start(&s, tree.share, tree.share);
	while (fc.unique < RACE_REQUESTS && clock_ms() < end) {
		if (fcl_lookup(&fc, root, rounds % 2 ? "dir" : "link", &e) == 0) {
			ok += everything_below(e.nodeid, file);
			fcl_forget(&fc, e.nodeid, 1);
		}
		ok += everything_below(held, file);
		rounds++;
	}
	swap_end(&s);
	fs_server_stats(fc.server, &after);
	print_message("%lu swaps, %llu requests, %lu of them done\n", s.swaps,
		(unsigned long long)(after.requests - before.requests), ok);
	assert_true(ok > 100); /* it does work in between */
	assert_true(after.requests - before.requests > RACE_REQUESTS / 10);
}

static void moved_away_and_back(void **state)
{
	struct swapper s = {.a = "dir", .b = "away"};
	int64_t end = clock_ms() + RACE_MS;
	struct fuse_entry_out e;
	unsigned long ok = 0;
	uint64_t file, held, below;

	(void)state;
	assert_int_equal(mkdir(fs_tree_path(&tree, "dir"), 0755), 0);
	assert_int_equal(mkdir(fs_tree_path(&tree, "dir/d"), 0755), 0);
	fs_tree_write(&tree, "file", "f", 1);
	file = fcl_walk(&fc, 0, "file", NULL);
	held = fcl_walk(&fc, 0, "dir", NULL);
	below = fcl_walk(&fc, 0, "dir/d", NULL);
	swap_start(&s, tree.share, tree.base);
	while (clock_ms() < end) {
		ok += everything_below(held, file) + everything_below(below, file);
		assert_int_equal(fcl_lookup(&fc, held, "..", &e), -EINVAL);
	}
	swap_end(&s);
	assert_true(ok > 100);
}

static void wait_ms(int ms)
{
	struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};

	nanosleep(&t, NULL);
}

/* FS-04: what the host moved out is out of reach when the trust has run out, in again when back */
static void moved_out_is_lost(void **state)
{
	char away[128];
	struct fuse_entry_out e;
	struct fs_stats st;
	uint64_t d, below, f, fh;

	(void)state;
	assert_int_equal(mkdir(fs_tree_path(&tree, "d"), 0755), 0);
	assert_int_equal(mkdir(fs_tree_path(&tree, "d/below"), 0755), 0);
	fs_tree_write(&tree, "d/below/f", "f", 1);
	d = fcl_walk(&fc, 0, "d", NULL);
	below = fcl_walk(&fc, 0, "d/below", NULL);
	f = fcl_walk(&fc, 0, "d/below/f", NULL);
	assert_int_equal(fcl_lookup(&fc, below, "f", &e), 0);
	/* within the share: it is still the directory somebody sits in */
	assert_int_equal(rename(fs_tree_path(&tree, "d"), fs_tree_path(&tree, "d2")), 0);
	wait_ms(FS_TRUST_MS + 50);
	assert_int_equal(fcl_lookup(&fc, below, "f", &e), 0);
	(void)snprintf(away, sizeof(away), "%s/away", tree.base);
	assert_int_equal(rename(fs_tree_path(&tree, "d2"), away), 0);
	wait_ms(FS_TRUST_MS + 50);
	assert_int_equal(fcl_lookup(&fc, below, "f", &e), -ESTALE);
	assert_int_equal(fcl_lookup(&fc, d, "below", &e), -ESTALE);
	assert_int_equal(fcl_open(&fc, f, O_RDWR, &fh, NULL), -ESTALE);
	assert_int_equal(fcl_mkdir(&fc, below, "x", 0755, &e), -ESTALE);
	assert_int_equal(fcl_rename(&fc, below, "f", root, "f", 0), -ESTALE);
	fs_server_stats(fc.server, &st);
	assert_true(st.moved_out >= 1);
	assert_int_equal(rename(away, fs_tree_path(&tree, "d")), 0);
	assert_int_equal(fcl_lookup(&fc, root, "d", &e), 0);
	assert_int_equal(fcl_lookup(&fc, e.nodeid, "below", &e), 0);
	assert_int_equal(fcl_lookup(&fc, e.nodeid, "f", &e), 0);
	assert_int_equal(fcl_open(&fc, e.nodeid, O_RDWR, &fh, NULL), 0);
}

/* The host turns parent and child round: the forest of objects must not become a ring. */
static void turned_round(void **state)
{
	struct fuse_entry_out e;
	uint64_t a, b;

	(void)state;
	assert_int_equal(mkdir(fs_tree_path(&tree, "a"), 0755), 0);
	assert_int_equal(mkdir(fs_tree_path(&tree, "a/b"), 0755), 0);
	a = fcl_walk(&fc, 0, "a", NULL);
	b = fcl_walk(&fc, 0, "a/b", NULL);
	assert_int_equal(fcl_lookup(&fc, b, "none", &e), -ENOENT);
	assert_int_equal(rename(fs_tree_path(&tree, "a/b"), fs_tree_path(&tree, "b")), 0);
	assert_int_equal(rename(fs_tree_path(&tree, "a"), fs_tree_path(&tree, "b/a")), 0);
	assert_int_equal(fcl_lookup(&fc, b, "a", &e), 0); /* b's recorded parent is a */
	assert_int_equal(e.nodeid, a);
	wait_ms(FS_TRUST_MS + 50);
	assert_int_equal(fcl_lookup(&fc, a, "none", &e), -ENOENT);
	assert_int_equal(fcl_lookup(&fc, root, "b", &e), 0);
	assert_int_equal(e.nodeid, b);
	assert_int_equal(fcl_lookup(&fc, a, "none", &e), -ENOENT);
	fcl_forget(&fc, b, 100);
	fcl_forget(&fc, a, 100);
}

/* FS-06 */
static void links_to_the_outside(void **state)
{
	struct fuse_client strict;
	struct fs_stats st;
	char store[128];
	uint64_t f, fh;
	FILE *out;

	(void)state;
	(void)snprintf(store, sizeof(store), "%s/store", tree.base);
	out = fopen(store, "w");
	assert_non_null(out);
	assert_int_equal(fclose(out), 0);
	assert_int_equal(link(store, fs_tree_path(&tree, "f")), 0);
	f = fcl_walk(&fc, 0, "f", NULL);
	assert_int_equal(fcl_open(&fc, f, O_RDWR, &fh, NULL), 0); /* the default: counted */
	fs_server_stats(fc.server, &st);
	assert_int_equal(st.linked_writes, 1);
	fcl_prepare(&strict);
	strict.cfg.deny_linked_writes = true;
	fcl_export(&strict, tree.share, false);
	fcl_start(&strict);
	f = fcl_walk(&strict, 0, "f", NULL);
	assert_int_equal(fcl_open(&strict, f, O_RDWR, &fh, NULL), -EPERM);
	assert_int_equal(
		fcl_setattr(&strict, f, &(struct fuse_setattr_in){.valid = FATTR_SIZE}), -EPERM);
	assert_int_equal(fcl_open(&strict, f, O_RDONLY, &fh, NULL), 0);
	fcl_free(&strict);
}

struct find_type {
	const char *name;
	int type;
};

static void find_type(void *ctx, const struct fuse_dirent *d, const char *name,
	const struct fuse_entry_out *entry)
{
	struct find_type *f = ctx;

	if (strcmp(name, f->name) == 0) {
		f->type = (int)d->type;
		assert_int_equal(entry->nodeid, 0);
	}
}

static int mounted_below(void)
{
	struct find_type f = {.name = "m"};
	struct fuse_entry_out e;
	uint64_t fh, next, held = fcl_walk(&fc, 0, "m", NULL);
	unsigned n;

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return 77;
	/* our descriptors are of the old namespace: open the share in the new one */
	fcl_free(&fc);
	fcl_new(&fc, tree.share);
	root = fcl_walk(&fc, 0, "", NULL);
	held = fcl_walk(&fc, 0, "m", NULL);
	if (mount("none", fs_tree_path(&tree, "m"), "tmpfs", 0, NULL) < 0)
		return 77;
	assert_int_equal(fcl_lookup(&fc, root, "m", &e), -EXDEV);
	assert_int_equal(fcl_rmdir(&fc, root, "m"), -EBUSY);
	assert_int_equal(fcl_opendir(&fc, root, &fh), 0);
	assert_int_equal(fcl_list(&fc, root, fh, 0, 4096, true, find_type, &f, &next, &n), 0);
	assert_int_equal(f.type, DT_DIR);
	/* held since before the mount: nothing is swallowed by what is underneath */
	assert_int_equal(fcl_create(&fc, held, "x", O_RDWR, 0644, &e, &fh), -EXDEV);
	return 0;
}

/* FS-07 */
static void mounts_are_not_crossed(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	if (geteuid() != 0)
		SKIP("mounting needs root");
	assert_int_equal(mkdir(fs_tree_path(&tree, "m"), 0755), 0);
	pid = fork();
	if (pid == 0)
		_exit(mounted_below());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		SKIP("no mount namespace here");
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* FS-08, and the special files of the host */
static void no_special_files(void **state)
{
	static const unsigned types[] = {S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK, S_IFLNK, S_IFDIR};
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	struct fuse_entry_out e;
	uint64_t fh;
	struct stat st;
	int s;

	(void)state;
	for (unsigned k = 0; k < sizeof(types) / sizeof(types[0]); k++) {
		assert_int_equal(fcl_mknod(&fc, root, "n", types[k] | 0666), -EPERM);
		assert_int_equal(lstat(fs_tree_path(&tree, "n"), &st), -1);
	}
	assert_int_equal(mkfifo(fs_tree_path(&tree, "pipe"), 0666), 0);
	s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	(void)snprintf(a.sun_path, sizeof(a.sun_path), "%s", fs_tree_path(&tree, "sock"));
	assert_int_equal(bind(s, (const struct sockaddr *)&a, sizeof(a)), 0);
	close(s);
	for (const char **n = (const char *[]){"pipe", "sock", NULL}; *n; n++) {
		assert_int_equal(fcl_lookup(&fc, root, *n, &e), -EACCES);
		assert_int_equal(fcl_create(&fc, root, *n, O_RDWR, 0644, &e, &fh), -EACCES);
	}
	/* swapped in for a file the guest holds: neither blocks nor opens */
	fs_tree_write(&tree, "f", "x", 1);
	assert_int_equal(fcl_lookup(&fc, root, "f", &e), 0);
	assert_int_equal(rename(fs_tree_path(&tree, "pipe"), fs_tree_path(&tree, "f")), 0);
	assert_int_equal(fcl_open(&fc, e.nodeid, O_RDONLY, &fh, NULL), -ESTALE);
	assert_int_equal(fcl_open(&fc, e.nodeid, O_WRONLY, &fh, NULL), -ESTALE);
	assert_int_equal(fcl_setattr(&fc, e.nodeid, &(struct fuse_setattr_in){.valid = FATTR_SIZE}),
		-ESTALE);
}

/* FS-10 */
static void no_set_id_bits(void **state)
{
	struct fuse_setattr_in mode = {.valid = FATTR_MODE, .mode = S_IFREG | 06755};
	struct fuse_entry_out e;
	struct stat st;
	uint64_t fh;

	(void)state;
	assert_int_equal(fcl_create(&fc, root, "f", O_RDWR, 06755, &e, &fh), 0);
	assert_int_equal(stat(fs_tree_path(&tree, "f"), &st), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0755);
	assert_int_equal(fcl_setattr(&fc, e.nodeid, &mode), 0);
	assert_int_equal(fcl_release(&fc, e.nodeid, fh), 0);
	assert_int_equal(fcl_setattr(&fc, e.nodeid, &mode), 0); /* without a handle, too */
	assert_int_equal(stat(fs_tree_path(&tree, "f"), &st), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0755);
	assert_int_equal(fcl_setxattr(&fc, e.nodeid, "security.capability", "x", 1), -EOPNOTSUPP);
	assert_int_equal(fcl_mknod(&fc, root, "n", S_IFREG | 06755), 0);
	assert_int_equal(stat(fs_tree_path(&tree, "n"), &st), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0755);
	/* CVE-2022-0358: a set-group-id directory hands its bit and group on */
	assert_int_equal(mkdir(fs_tree_path(&tree, "g"), 0755), 0);
	assert_int_equal(chmod(fs_tree_path(&tree, "g"), 02777), 0);
	uint64_t g = fcl_walk(&fc, 0, "g", NULL);
	assert_int_equal(fcl_mkdir(&fc, g, "d", 07777, &e), 0);
	assert_int_equal(e.attr.mode, S_IFDIR | 0777);
	assert_int_equal(stat(fs_tree_path(&tree, "g/d"), &st), 0);
	assert_int_equal(st.st_mode, S_IFDIR | 0777);
	assert_int_equal(fcl_create(&fc, g, "f", O_RDWR, 02775, &e, &fh), 0);
	assert_int_equal(stat(fs_tree_path(&tree, "g/f"), &st), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0775);
	/* a program of the host with the bit loses it before the guest can write to it */
	assert_int_equal(chmod(fs_tree_path(&tree, "f"), 04755), 0);
	uint64_t f = fcl_walk(&fc, 0, "f", NULL);
	assert_int_equal(fcl_open(&fc, f, O_WRONLY, &fh, NULL), 0);
	assert_int_equal(stat(fs_tree_path(&tree, "f"), &st), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0755);
}

/* FS-13 */
static void odd_names(void **state)
{
	static const char *const names[] = {"a\nb", "\033[31mred", "\xe2\x80\xae'rtl'",
		"zero\xe2\x80\x8bwidth", "\xff\xfe\x80", "-rf", "$(x)", "`x`", "trailing ", " ",
		"...", "\\", "a\tb", "\x01", "..a", "*"};
	struct fuse_entry_out e;
	struct stat st;
	char longest[256];
	uint64_t fh;

	(void)state;
	memset(longest, 0xe9, 255);
	longest[255] = '\0';
	for (unsigned k = 0; k <= sizeof(names) / sizeof(names[0]); k++) {
		const char *n = k < sizeof(names) / sizeof(names[0]) ? names[k] : longest;

		assert_int_equal(fcl_create(&fc, root, n, O_RDWR | O_EXCL, 0644, &e, &fh), 0);
		assert_int_equal(stat(fs_tree_path(&tree, n), &st), 0);
		assert_int_equal(st.st_ino, e.attr.ino);
		assert_int_equal(fcl_lookup(&fc, root, n, &e), 0);
		assert_int_equal(fcl_unlink(&fc, root, n), 0);
		assert_int_equal(stat(fs_tree_path(&tree, n), &st), -1);
	}
}

static int change_call(struct fuse_client *c, uint32_t opcode, uint64_t nodeid, const void *fixed,
	size_t len, const char *name, size_t room)
{
	return fcl_call(c, opcode, nodeid,
		&(struct fcl_args){.fixed = fixed, .fixed_len = len, .text = {name}, .room = room});
}

/* FS-16: the second export is read-only; the first, of the same directory, is not */
static void read_only_is_refused_here(void **state)
{
	struct fuse_client ro;
	struct fuse_entry_out e;
	uint64_t r, f, fh, wr, wf, wfh;
	struct stat before, after;
	struct fuse_attr_out a;
	char got[8];

	(void)state;
	fs_tree_write(&tree, "f", "data", 4);
	assert_int_equal(mkdir(fs_tree_path(&tree, "d"), 0755), 0);
	assert_int_equal(stat(fs_tree_path(&tree, "f"), &before), 0);
	fcl_prepare(&ro);
	fcl_export(&ro, tree.share, false);
	fcl_export(&ro, tree.share, true);
	fcl_start(&ro);
	wr = fcl_walk(&ro, 0, "", NULL);
	wf = fcl_walk(&ro, 0, "f", NULL);
	assert_int_equal(fcl_open(&ro, wf, O_RDWR, &wfh, NULL), 0);
	r = fcl_walk(&ro, 1, "", NULL);
	f = fcl_walk(&ro, 1, "f", NULL);
	assert_true(f != wf);
	assert_int_equal(fcl_open(&ro, f, O_RDONLY, &fh, NULL), 0);
	assert_int_equal(fcl_read(&ro, f, fh, 0, got, 8), 4);
	assert_int_equal(fcl_open(&ro, f, O_WRONLY, &fh, NULL), -EROFS);
	assert_int_equal(fcl_open(&ro, f, O_RDWR, &fh, NULL), -EROFS);
	assert_int_equal(fcl_open(&ro, f, O_RDONLY | O_TRUNC, &fh, NULL), -EROFS);
	assert_int_equal(fcl_open(&ro, f, O_RDONLY, &fh, NULL), 0);
	assert_int_equal(fcl_write(&ro, f, fh, 0, "x", 1, O_RDWR, 0), -EBADF);
	assert_int_equal(fcl_write(&ro, f, wfh, 0, "x", 1, O_RDWR, 0), -EBADF); /* not f's handle */
	struct fuse_fallocate_in fa = {.fh = fh, .length = 10};
	assert_int_equal(change_call(&ro, FUSE_FALLOCATE, f, &fa, sizeof(fa), NULL, 0), -EBADF);
	struct fuse_copy_file_range_in cp = {.fh_in = wfh, .nodeid_out = f, .fh_out = fh, .len = 4};
	assert_int_equal(
		change_call(&ro, FUSE_COPY_FILE_RANGE, wf, &cp, sizeof(cp), NULL, 8), -EBADF);
	for (const unsigned *v = (const unsigned[]){FATTR_SIZE, FATTR_MODE, FATTR_MTIME,
		     FATTR_ATIME, FATTR_MTIME | FATTR_MTIME_NOW, FATTR_UID, FATTR_GID, 0};
		*v; v++)
		assert_int_equal(
			fcl_setattr(&ro, f, &(struct fuse_setattr_in){.valid = *v}), -EROFS);
	assert_int_equal(fcl_create(&ro, r, "n", O_RDWR, 0644, &e, &fh), -EROFS);
	assert_int_equal(fcl_create(&ro, r, "f", O_RDONLY, 0644, &e, &fh), -EROFS);
	assert_int_equal(fcl_mkdir(&ro, r, "n", 0755, &e), -EROFS);
	assert_int_equal(fcl_mknod(&ro, r, "n", S_IFREG | 0644), -EROFS);
	assert_int_equal(fcl_symlink(&ro, r, "n", "t", &e), -EROFS);
	assert_int_equal(fcl_link(&ro, f, r, "n"), -EROFS);
	assert_int_equal(fcl_link(&ro, f, wr, "n"), -EROFS); /* from it, */
	assert_int_equal(fcl_link(&ro, wf, r, "n"), -EROFS); /* into it */
	assert_int_equal(fcl_unlink(&ro, r, "f"), -EROFS);
	assert_int_equal(fcl_rmdir(&ro, r, "d"), -EROFS);
	assert_int_equal(fcl_rename(&ro, r, "f", r, "n", 0), -EROFS);
	assert_int_equal(fcl_rename(&ro, r, "f", wr, "n", 0), -EROFS);
	assert_int_equal(fcl_rename(&ro, wr, "f", r, "n", 0), -EROFS);
	assert_int_equal(fcl_rename(&ro, wr, "f", r, "f", 2), -EROFS);
	assert_int_equal(fcl_setxattr(&ro, f, "user.x", "x", 1), -EROFS);
	assert_int_equal(change_call(&ro, FUSE_REMOVEXATTR, f, NULL, 0, "user.x", 0), -EROFS);
	struct fuse_create_in t = {.flags = O_RDWR, .mode = S_IFREG | 0644};
	assert_int_equal(change_call(&ro, FUSE_TMPFILE, r, &t, sizeof(t), "n",
				 sizeof(e) + sizeof(struct fuse_open_out)),
		-EROFS);
	struct fuse_access_in w = {.mask = W_OK};
	assert_int_equal(change_call(&ro, FUSE_ACCESS, f, &w, sizeof(w), NULL, 0), -EROFS);
	assert_int_equal(fcl_getattr(&ro, f, &a), 0);
	/* the twin: the writable export works on */
	assert_int_equal(fcl_rename(&ro, wr, "f", wr, "n", 0), 0);
	assert_int_equal(fcl_rename(&ro, wr, "n", wr, "f", 0), 0);
	fcl_free(&ro);
	fs_tree_expect(&tree, "f", "data", 4);
	assert_int_equal(stat(fs_tree_path(&tree, "f"), &after), 0);
	assert_int_equal(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
	assert_int_equal(after.st_nlink, 1);
}

/* Two exports are two file systems, whatever the guest's kernel thinks. */
static void exports_do_not_mix(void **state)
{
	struct fuse_client two;
	uint64_t a, b, f;

	(void)state;
	assert_int_equal(mkdir(fs_tree_path(&tree, "a"), 0755), 0);
	assert_int_equal(mkdir(fs_tree_path(&tree, "b"), 0755), 0);
	fs_tree_write(&tree, "a/f", "f", 1);
	fcl_prepare(&two);
	fcl_export(&two, fs_tree_path(&tree, "a"), false);
	fcl_export(&two, fs_tree_path(&tree, "b"), false);
	fcl_start(&two);
	a = fcl_walk(&two, 0, "", NULL);
	b = fcl_walk(&two, 1, "", NULL);
	f = fcl_walk(&two, 0, "f", NULL);
	assert_int_equal(fcl_rename(&two, a, "f", b, "f", 0), -EXDEV);
	assert_int_equal(fcl_link(&two, f, b, "f"), -EXDEV);
	fcl_free(&two);
}

/* FS-20 */
static void absurd_sizes_and_depths(void **state)
{
	enum { DEPTH = 10000 };
	struct fuse_entry_out e;
	uint64_t *at = calloc(DEPTH + 1, sizeof(*at)), fh;
	struct fuse_attr_out a;

	(void)state;
	assert_int_equal(fcl_create(&fc, root, "f", O_RDWR, 0644, &e, &fh), 0);
	for (unsigned bits = 40; bits < 64; bits++) {
		int r = fcl_setattr(&fc, e.nodeid,
			&(struct fuse_setattr_in){.valid = FATTR_SIZE, .size = (1ull << bits) - 1});

		assert_true(r == 0 || r == -EFBIG || r == -EINVAL);
		r = (int)fcl_write(&fc, e.nodeid, fh, (1ull << bits) + 1, "x", 1, 0, 0);
		assert_true(r == 1 || r == -EFBIG || r == -EINVAL);
	}
	assert_int_equal(fcl_write(&fc, e.nodeid, fh, UINT64_MAX, "x", 1, 0, 0), -EFBIG);
	at[0] = root;
	for (unsigned k = 0; k < DEPTH; k++) {
		assert_int_equal(fcl_mkdir(&fc, at[k], "d", 0755, &e), 0);
		at[k + 1] = e.nodeid;
	}
	/* ten times as deep as there are descriptors: opened again from the top */
	assert_int_equal(fcl_getattr(&fc, at[DEPTH / 2], &a), 0);
	wait_ms(FS_TRUST_MS + 10);
	assert_int_equal(fcl_lookup(&fc, at[DEPTH], "none", &e), -ENOENT);
	for (unsigned k = DEPTH; k > 0; k--) {
		assert_int_equal(fcl_rmdir(&fc, at[k - 1], "d"), 0);
		fcl_forget(&fc, at[k], 1);
	}
	free(at);
}

/* FS-22, and that a few descriptors serve any number of objects */
static void few_descriptors(void **state)
{
	enum { DIRS = 300, FILES = 20 };
	unsigned before, n = 0;
	struct fuse_client c;
	struct fuse_entry_out e, d;
	struct fuse_attr_out a;
	struct fs_stats st;
	uint64_t r, fh[128], nodes[DIRS];
	char name[32];

	(void)state;
	fcl_prepare(&c);
	c.cfg.max_fds = 64;
	fcl_export(&c, tree.share, false);
	fcl_start(&c);
	before = open_fds();
	r = fcl_walk(&c, 0, "", NULL);
	for (unsigned k = 0; k < DIRS; k++) {
		(void)snprintf(name, sizeof(name), "d%u", k);
		assert_int_equal(fcl_mkdir(&c, r, name, 0755, &d), 0);
		for (unsigned j = 0; j < FILES; j++) {
			(void)snprintf(name, sizeof(name), "f%u", j);
			assert_int_equal(fcl_create(&c, d.nodeid, name, O_RDWR, 0644, &e, fh), 0);
			assert_int_equal(fcl_release(&c, e.nodeid, fh[0]), 0);
		}
		nodes[k] = e.nodeid;
	}
	fs_server_stats(c.server, &st);
	assert_int_equal(st.inodes, 1 + DIRS + DIRS * FILES);
	assert_true(st.fds <= 64);
	assert_true(open_fds() <= before + 64);
	for (unsigned k = 0; k < DIRS; k++)
		assert_int_equal(fcl_getattr(&c, nodes[k], &a), 0);
	while (n < 128 && fcl_open(&c, nodes[n], O_RDONLY, &fh[n], NULL) == 0)
		n++;
	assert_int_equal(n, 32);
	assert_int_equal(fcl_open(&c, nodes[n], O_RDONLY, &fh[n], NULL), -ENFILE);
	assert_int_equal(fcl_opendir(&c, r, &fh[n]), -ENFILE);
	for (unsigned k = 0; k < DIRS; k++) /* the rest works on */
		assert_int_equal(fcl_getattr(&c, nodes[k], &a), 0);
	assert_int_equal(fcl_release(&c, nodes[0], fh[0]), 0);
	assert_int_equal(fcl_open(&c, nodes[n], O_RDONLY, &fh[0], NULL), 0);
	assert_true(open_fds() <= before + 64);
	fcl_free(&c);
}

static void too_many_objects(void **state)
{
	struct fuse_client c;
	struct fuse_entry_out e;
	char name[16];
	uint64_t r;
	int got = 0;

	(void)state;
	fcl_prepare(&c);
	c.cfg.max_inodes = 100;
	fcl_export(&c, tree.share, false);
	fcl_start(&c);
	r = fcl_walk(&c, 0, "", NULL);
	for (unsigned k = 0; k < 120 && got == 0; k++) {
		(void)snprintf(name, sizeof(name), "f%u", k);
		fs_tree_write(&tree, name, "", 0);
		got = fcl_lookup(&c, r, name, &e);
	}
	assert_int_equal(got, -ENFILE);
	fcl_free(&c);
}

static long resident_pages(void)
{
	long size = 0, rss = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%ld %ld", &size, &rss), 2);
	(void)fclose(f);
	return rss;
}

static void forget_it(void *ctx, const struct fuse_dirent *d, const char *name,
	const struct fuse_entry_out *entry)
{
	(void)d;
	(void)name;
	(void)ctx;
	if (entry->nodeid)
		fcl_forget(&fc, entry->nodeid, 1);
}

static void find_all(void)
{
	struct fuse_entry_out d;
	uint64_t fh, next;
	char name[16];
	unsigned n;

	for (unsigned k = 0; k < 20; k++) {
		(void)snprintf(name, sizeof(name), "d%u", k);
		assert_int_equal(fcl_lookup(&fc, root, name, &d), 0);
		assert_int_equal(fcl_opendir(&fc, d.nodeid, &fh), 0);
		next = 0;
		do {
			assert_int_equal(fcl_list(&fc, d.nodeid, fh, next, 32768, true, forget_it,
						 NULL, &next, &n),
				0);
		} while (n);
		assert_int_equal(fcl_releasedir(&fc, d.nodeid, fh), 0);
		fcl_forget(&fc, d.nodeid, 1);
	}
}

/* FS-23 */
static void memory_stays_flat(void **state)
{
	struct fs_stats a, b;
	char name[32];
	long before;

	(void)state;
	if (SANITIZED)
		SKIP("a sanitizer keeps freed memory");
	for (unsigned k = 0; k < 20; k++) {
		(void)snprintf(name, sizeof(name), "d%u", k);
		assert_int_equal(mkdir(fs_tree_path(&tree, name), 0755), 0);
		for (unsigned j = 0; j < 100; j++) {
			(void)snprintf(name, sizeof(name), "d%u/f%u", k, j);
			fs_tree_write(&tree, name, "", 0);
		}
	}
	for (unsigned k = 0; k < 5; k++)
		find_all();
	fs_server_stats(fc.server, &a);
	before = resident_pages();
	for (unsigned k = 0; k < 100; k++)
		find_all();
	fs_server_stats(fc.server, &b);
	assert_int_equal(a.inodes, b.inodes);
	assert_int_equal(a.fds, b.fds);
	assert_true(resident_pages() - before <= before / 20);
}

/* Numbers a guest made up, and forgetting more than it holds. */
static void made_up_numbers(void **state)
{
	struct fuse_entry_out e;
	struct fs_stats st;
	uint64_t fh = 0;

	(void)state;
	assert_int_equal(fcl_create(&fc, root, "f", O_RDWR, 0644, &e, &fh), 0);
	for (unsigned bit = 0; bit < 64; bit++) {
		struct fuse_attr_out a;

		assert_true(fcl_getattr(&fc, root ^ 1ull << bit, &a) == -ESTALE ||
			    (root ^ 1ull << bit) == e.nodeid ||
			    (root ^ 1ull << bit) == FUSE_ROOT_ID);
		assert_int_equal(fcl_read(&fc, e.nodeid, fh ^ 1ull << bit, 0, NULL, 8), -EBADF);
		assert_int_equal(fcl_release(&fc, e.nodeid, fh ^ 1ull << bit), -EBADF);
		assert_int_equal(fcl_read(&fc, e.nodeid ^ 1ull << bit, fh, 0, NULL, 8), -EBADF);
	}
	fcl_forget(&fc, e.nodeid, UINT64_MAX);
	assert_int_equal(fcl_write(&fc, e.nodeid, fh, 0, "x", 1, 0, 0), 1); /* open keeps it */
	assert_int_equal(fcl_release(&fc, e.nodeid, fh), 0);
	fcl_forget(&fc, root, UINT64_MAX);
	fcl_forget(&fc, FUSE_ROOT_ID, UINT64_MAX);
	fcl_forget(&fc, 12345, 1);
	fs_server_stats(fc.server, &st);
	assert_int_equal(st.inodes, 1);
	assert_int_equal(fcl_lookup(&fc, root, "f", &e), 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(links_are_objects),
		T(names_that_are_no_names),
		T(up_of_the_root),
		T(swapped_for_a_link),
		T(moved_away_and_back),
		T(moved_out_is_lost),
		T(turned_round),
		T(links_to_the_outside),
		T(mounts_are_not_crossed),
		T(no_special_files),
		T(no_set_id_bits),
		T(odd_names),
		T(read_only_is_refused_here),
		T(exports_do_not_mix),
		T(absurd_sizes_and_depths),
		T(few_descriptors),
		T(too_many_objects),
		T(memory_stays_flat),
		T(made_up_numbers),
	};

	return cmocka_run_group_tests_name("fs_confine", tests, NULL, NULL);
}
