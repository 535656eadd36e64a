/* test_transfer.c - trees in and out, to and from the real file system */
#include "rig.h"
#include "proto/tar.h"
#include <sys/xattr.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <cmocka.h>

static char dir[64];

static void sh(const char *fmt, ...) PRINTF_LIKE(1, 2);
static void sh(const char *fmt, ...)
{
	char script[1024];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(script, sizeof(script), fmt, ap);
	va_end(ap);
	assert_int_equal(system(script), 0);
}

static int start(void **state)
{
	strcpy(dir, "/tmp/sbx-copy-XXXXXX");
	return mkdtemp(dir) ? rig_start(state) : -1;
}

static int stop(void **state)
{
	sh("rm -rf %s", dir);
	return rig_stop(state);
}

/* get() - the tar stream of @path into @out; the errno of an ERROR, 0: it came whole */
static int get(struct rig *r, const char *path, uint32_t flags, struct buf *out)
{
	struct agent_get *m = calloc(1, sizeof(*m));
	struct agent_error e = {0};
	bool ended = false;
	struct frame f;
	struct peer p;

	assert_non_null(m);
	m->flags = flags;
	strcpy(m->path, path);
	peer_open(r, &p);
	assert_int_equal(agent_put_get(&p.out, m), 0);
	free(m);
	peer_flush(&p);
	while (peer_next(&p, &f)) {
		assert_false(ended);
		ended = f.type == FRAME_END;
		if (f.type == FRAME_ERROR) {
			assert_int_equal(agent_get_error(&f, &e), PROTO_OK);
			ended = true;
		} else if (!ended) {
			assert_int_equal(f.type, FRAME_DATA);
			assert_true(f.len > 0);
			assert_int_equal(buf_add(out, f.body, f.len), 0);
		}
	}
	assert_true(ended);
	peer_close(&p);
	return (int)e.num;
}

static int put(struct rig *r, const char *path, uint32_t flags, const struct buf *tar, bool end)
{
	struct agent_put *m = calloc(1, sizeof(*m));
	struct agent_error e = {0};
	struct frame f;
	struct peer p;

	assert_non_null(m);
	m->flags = flags;
	m->uid = geteuid();
	m->gid = getegid();
	strcpy(m->path, path);
	peer_open(r, &p);
	assert_int_equal(agent_put_put(&p.out, m), 0);
	free(m);
	for (size_t at = 0; at < tar->len; at += 50000) {
		size_t n = tar->len - at < 50000 ? tar->len - at : 50000;

		assert_int_equal(frame_add(&p.out, FRAME_DATA, tar->data + at, n), 0);
		peer_flush(&p);
	}
	if (end)
		assert_int_equal(agent_put_empty(&p.out, FRAME_END), 0);
	peer_flush(&p);
	assert_true(peer_next(&p, &f));
	if (f.type == FRAME_ERROR)
		assert_int_equal(agent_get_error(&f, &e), PROTO_OK);
	else
		assert_int_equal(f.type, FRAME_OK);
	peer_close(&p);
	return (int)e.num;
}

static void test_round_trip(void **state)
{
	char path[128];
	AUTO(buf) tar;

	buf_init(&tar, 64 << 20);
	sh("cd %s && mkdir -p a/b/c a/empty && echo one > a/f1 && head -c 300000 /dev/urandom > "
	   "a/b/f2 "
	   "&& ln -s ../f1 a/b/l && chmod 750 a/b && chmod 4755 a/f1 && : > a/b/c/zero && "
	   "truncate -s 5M a/b/c/hole && echo x >> a/b/c/hole && touch -d @1000000000 a/f1 a/b/c "
	   "&& "
	   "mkfifo a/fifo && n=$(printf 'n%%.0s' $(seq 180)) && mkdir -p a/$n/$n && echo y > "
	   "a/$n/$n/$n",
		dir);
	(void)snprintf(path, sizeof(path), "%s/a", dir);
	assert_int_equal(get(*state, path, 0, &tar), 0);
	(void)snprintf(path, sizeof(path), "%s/out", dir);
	assert_int_equal(put(*state, path, AGENT_PUT_AS, &tar, true), 0);
	sh("cd %s && rm a/fifo && diff -r a out && test -L out/b/l && "
	   "test \"$(readlink out/b/l)\" = ../f1 && test $(stat -c %%a out/b) = 750 && "
	   "test $(stat -c %%a out/f1) = 755 && test $(stat -c %%Y out/f1) = 1000000000 && "
	   "test $(stat -c %%Y out/b/c) = 1000000000 && test $(stat -c %%b out/b/c/hole) -lt 2000",
		dir);
	/* into a directory that is there, under its own name */
	sh("mkdir %s/there", dir);
	(void)snprintf(path, sizeof(path), "%s/there", dir);
	assert_int_equal(put(*state, path, AGENT_PUT_AS, &tar, true), 0);
	assert_int_equal(put(*state, path, 0, &tar, true), 0); /* and over it */
	sh("diff -r %s/a %s/there/a", dir, dir);
	/* what is there stays, what is not is made */
	sh("cd %s/there && echo mine > a/f1 && rm a/b/f2", dir);
	assert_int_equal(put(*state, path, AGENT_PUT_KEEP, &tar, true), 0);
	sh("cd %s && cmp a/b/f2 there/a/b/f2 && test \"$(cat there/a/f1)\" = mine", dir);
}

static void test_single_file_and_links(void **state)
{
	char path[128];
	AUTO(buf) tar;

	buf_init(&tar, 1 << 20);
	sh("cd %s && echo text > f && ln -s f link && ln -s nowhere broken", dir);
	(void)snprintf(path, sizeof(path), "%s/link", dir);
	assert_int_equal(get(*state, path, AGENT_GET_FOLLOW, &tar), 0);
	(void)snprintf(path, sizeof(path), "%s/copy", dir);
	assert_int_equal(put(*state, path, AGENT_PUT_AS, &tar, true), 0);
	sh("cd %s && test ! -L copy && cmp f copy", dir);
	buf_clear(&tar);
	(void)snprintf(path, sizeof(path), "%s/link", dir);
	assert_int_equal(get(*state, path, 0, &tar), 0);
	(void)snprintf(path, sizeof(path), "%s/copy", dir);
	assert_int_equal(put(*state, path, AGENT_PUT_AS, &tar, true), 0);
	sh("cd %s && test -L copy", dir);
	buf_clear(&tar);
	(void)snprintf(path, sizeof(path), "%s/broken", dir);
	assert_int_equal(get(*state, path, AGENT_GET_FOLLOW, &tar), ENOENT);
	assert_int_equal(get(*state, "/dev/null", 0, &tar), EINVAL);
	assert_int_equal(get(*state, "/no/such", 0, &tar), ENOENT);
	assert_int_equal(get(*state, "/tmp/..", 0, &tar), EINVAL);
}

/* as an image: hard links as such, capabilities, pipes; nothing of what is mounted in it */
static void test_as_an_image(void **state)
{
	struct tar_reader *t = calloc(1, sizeof(*t));
	const struct tar_limits limits = {100, 1 << 20};
	unsigned links = 0, pipes = 0, files = 0, capable = 0;
	const uint8_t *p;
	char path[128];
	size_t len;
	AUTO(buf) tar;

	assert_non_null(t);
	buf_init(&tar, 1 << 20);
	sh("cd %s && mkdir -p i/d && echo one > i/a && ln i/a i/d/b && ln i/a i/c && mkfifo i/p && "
	   "echo x "
	   "> i/x && (setfattr -n security.capability -v "
	   "0x0100000200200000000000000000000000000000 i/x 2>/dev/null || :)",
		dir);
	(void)snprintf(path, sizeof(path), "%s/i/", dir);
	assert_int_equal(get(*state, path, AGENT_GET_IMAGE, &tar), 0);
	p = (const uint8_t *)tar.data;
	len = tar.len;
	tar_reader_init(t, &limits);
	for (enum tar_event v; (v = tar_next(t, &p, &len)) != TAR_END;) {
		assert_true(v != TAR_BAD && v != TAR_MORE);
		if (v != TAR_ENTRY)
			continue;
		links += t->entry.type == TAR_HARDLINK;
		pipes += t->entry.type == TAR_FIFO;
		files += t->entry.type == TAR_FILE;
		capable += t->entry.capability_len == 20;
	}
	assert_int_equal(links, 2);
	assert_int_equal(pipes, 1);
	assert_int_equal(files, 2);
	(void)snprintf(path, sizeof(path), "%s/i/x", dir);
	assert_int_equal(capable, getxattr(path, "security.capability", NULL, 0) == 20);
	free(t);
}

static void test_root_entry(void **state)
{
	char path[128];
	AUTO(buf) tar;
	struct tar_entry *e = calloc(1, sizeof(*e));

	assert_non_null(e);
	buf_init(&tar, 1 << 20);
	*e = (struct tar_entry){.type = TAR_DIR, .path = ".", .mode = 0700};
	assert_int_equal(tar_put_entry(&tar, e), 0);
	*e = (struct tar_entry){.type = TAR_FILE, .path = "deep/x", .mode = 0600};
	assert_int_equal(tar_put_entry(&tar, e), 0);
	*e = (struct tar_entry){.type = TAR_HARDLINK, .path = "y", .linkname = "deep/x"};
	assert_int_equal(tar_put_entry(&tar, e), 0);
	assert_int_equal(tar_put_end(&tar), 0);
	(void)snprintf(path, sizeof(path), "%s/new", dir);
	assert_int_equal(put(*state, path, AGENT_PUT_AS, &tar, true), 0);
	sh("cd %s/new && test -f deep/x && test $(stat -c %%h y) = 2 && test $(stat -c %%a .) = "
	   "700",
		dir);
	sh("mkdir %s/old", dir);
	(void)snprintf(path, sizeof(path), "%s/old", dir);
	assert_int_equal(put(*state, path, AGENT_PUT_AS, &tar, true), 0);
	assert_int_equal(put(*state, path, 0, &tar, true), 0);
	sh("cd %s/old && test -f deep/x && test -f y", dir);
	free(e);
}

static void test_refusals(void **state)
{
	struct tar_entry *e = calloc(1, sizeof(*e));
	char path[128];
	AUTO(buf) tar;

	assert_non_null(e);
	buf_init(&tar, 1 << 20);
	*e = (struct tar_entry){.type = TAR_FILE, .path = "f", .mode = 0644};
	assert_int_equal(tar_put_entry(&tar, e), 0);
	/* a missing place, a place that is a file, an end that is missing */
	assert_int_equal(put(*state, "/no/such/dir", 0, &tar, true), ENOENT);
	assert_int_equal(put(*state, "/no/such/dir", AGENT_PUT_AS, &tar, true), ENOENT);
	assert_int_equal(put(*state, "/dev/null", 0, &tar, true), ENOTDIR);
	assert_int_equal(put(*state, dir, 0, &tar, true), EBADMSG);
	/* not a tar stream at all */
	buf_clear(&tar);
	for (int i = 0; i < 600; i++)
		assert_int_equal(buf_add(&tar, "junk ", 5), 0);
	assert_int_equal(put(*state, dir, 0, &tar, true), EBADMSG);
	/* beneath a link that leads out */
	sh("ln -s / %s/out && ln -s /tmp %s/abs && ln -s .. %s/up", dir, dir, dir);
	buf_clear(&tar);
	*e = (struct tar_entry){.type = TAR_FILE, .path = "up/sbx-escaped", .mode = 0644};
	assert_int_equal(tar_put_entry(&tar, e), 0);
	assert_int_equal(tar_put_end(&tar), 0);
	assert_int_equal(put(*state, dir, 0, &tar, true), EXDEV);
	assert_int_equal(access("/tmp/sbx-escaped", F_OK), -1);
	/* a file where a directory is */
	sh("mkdir %s/d", dir);
	buf_clear(&tar);
	*e = (struct tar_entry){.type = TAR_FILE, .path = "d", .mode = 0644};
	assert_int_equal(tar_put_entry(&tar, e), 0);
	assert_int_equal(tar_put_end(&tar), 0);
	assert_int_equal(put(*state, dir, 0, &tar, true), EISDIR);
	/* device nodes */
	buf_clear(&tar);
	*e = (struct tar_entry){.type = TAR_CHAR_DEVICE, .path = "dev", .mode = 0666};
	assert_int_equal(tar_put_entry(&tar, e), 0);
	assert_int_equal(tar_put_end(&tar), 0);
	(void)snprintf(path, sizeof(path), "%s/dev", dir);
	assert_int_equal(put(*state, dir, 0, &tar, true), EPERM);
	assert_int_equal(access(path, F_OK), -1);
	free(e);
}

/* test_host_leaves() - in the middle of either direction: the child ends, nothing is left over */
static void test_host_leaves(void **state)
{
	struct agent_get *m = calloc(1, sizeof(*m));
	struct peer p;

	assert_non_null(m);
	sh("truncate -s 50M %s/big", dir);
	(void)snprintf(m->path, sizeof(m->path), "%s/big", dir);
	peer_open(*state, &p);
	assert_int_equal(agent_put_get(&p.out, m), 0);
	peer_flush(&p);
	(void)peer_expect(&p, FRAME_DATA);
	peer_close(&p);
	free(m);
	for (int i = 0; i < 20; i++)
		rig_turn(*state, 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, start, stop)
		T(test_round_trip),
		T(test_single_file_and_links),
		T(test_as_an_image),
		T(test_root_entry),
		T(test_refusals),
		T(test_host_leaves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
