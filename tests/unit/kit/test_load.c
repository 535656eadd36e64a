/* test_load.c - kits from directories: what is found, what is read once, what is refused */
#include "check.h"
#include "base/io.h"
#include "kit/put.h"
#include "kit/source.h"
#include "proto/tar.h"
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define SPEC "schemaVersion: \"2\"\nkind: sandbox\nname: k\nsandbox: {command: [sh]}\n"

static char base[] = "/tmp/sbx-kit-XXXXXX";

static void make_dir(const char *rel)
{
	char path[1024];

	(void)snprintf(path, sizeof(path), "%s/%s", base, rel);
	assert_int_equal(mkdir(path, 0755), 0);
}

static void make_file(const char *rel, const char *text, mode_t mode)
{
	char path[512];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", base, rel);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, mode);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
	assert_int_equal(close(fd), 0);
}

static void make_link(const char *rel, const char *target)
{
	char path[512];

	(void)snprintf(path, sizeof(path), "%s/%s", base, rel);
	(void)unlink(path);
	assert_int_equal(symlink(target, path), 0);
}

static void drop(const char *rel)
{
	char path[512];

	(void)snprintf(path, sizeof(path), "%s/%s", base, rel);
	assert_int_equal(remove(path), 0);
}

struct one {
	struct kit_source source;
	struct kit_spec *spec;
	struct buf home_tar;
};

static void forget(struct one *o)
{
	kit_spec_free(o->spec);
	kit_source_fini(&o->source);
	buf_fini(&o->home_tar);
	*o = (struct one){0};
}

static int load_ref(const char *ref, struct one *o, struct err *e)
{
	int r;

	forget(o);
	*e = (struct err){0};
	buf_init(&o->home_tar, 32U << 20);
	r = kit_source_read(ref, base, NULL, &o->source, e);
	if (r == 0)
		r = kit_decode(&o->source.tree, o->source.file, NULL, &o->spec, e);
	if (r == 0)
		r = kit_source_check_name(&o->source, o->spec, base, e);
	return r == 0 ? kit_placed_tar(o->spec->parts.home, o->spec->parts.n_home, &o->home_tar)
		      : r;
}

static int load(const char *rel, struct one *o, struct err *e)
{
	char path[512];

	(void)snprintf(path, sizeof(path), "%s/%s", base, rel);
	return load_ref(path, o, e);
}

static int setup(void **state)
{
	(void)state;
	if (!mkdtemp(base))
		return -1;
	make_dir("kits");
	make_dir("kits/alpha");
	make_dir("kits/beta");
	make_dir("kits/no-spec");
	make_file("kits/alpha/spec.yaml", SPEC, 0644);
	make_file("kits/beta/spec.yaml", SPEC, 0644);
	make_dir("own");
	make_file("own/spec.yaml", SPEC, 0644);
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *f)
{
	(void)st;
	(void)type;
	(void)f;
	return remove(path);
}

static int teardown(void **state)
{
	(void)state;
	return nftw(base, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void test_builtin(void **state)
{
	struct kit_strv names;
	struct one k = {0};
	struct err e = {0};
	char dir[512];

	(void)state;
	assert_int_equal(kit_list(base, &names, &e), 0);
	assert_int_equal(names.n, 2);
	assert_string_equal(names.v[0], "alpha");
	assert_string_equal(names.v[1], "beta");
	assert_null(names.v[2]);
	kit_strv_fini(&names);
	assert_int_equal(load_ref("beta", &k, &e), 0);
	(void)snprintf(dir, sizeof(dir), "%s/kits/beta/spec.yaml", base);
	assert_string_equal(k.source.file, dir);
	assert_int_equal(k.home_tar.len, 0);
	forget(&k);
}

static void test_not_found(void **state)
{
	static const char *const refs[] = {"gamma", "..", "-rf", "", "Alpha", "no-such-thing"};
	struct one k = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(refs); i++) {
		struct err e = {0};

		if (strcmp(refs[i], "..") == 0)
			continue; /* a directory, like "./x" */
		assert_int_equal(load_ref(refs[i], &k, &e), -ENOENT);
		assert_int_equal(e.code, ERR_NOT_FOUND);
		assert_string_equal(e.hint, "built in: alpha, beta; a kit in a directory: ./DIR");
	}
	struct err e;
	assert_int_equal(load("none", &k, &e), -ENOENT);
	assert_int_equal(load("kits", &k, &e), -ENOENT); /* no spec.yaml in it */
	assert_non_null(strstr(e.msg, "/kits/spec.yaml"));
	forget(&k);
}

static void test_spec_must_be_a_file(void **state)
{
	struct one k = {0};
	struct err e;
	char path[512];

	(void)state;
	make_dir("odd");
	make_link("odd/spec.yaml", "../own/spec.yaml");
	assert_int_equal(load("odd", &k, &e), -EINVAL);
	assert_non_null(strstr(e.msg, "odd/spec.yaml:1:1: a link is allowed beneath files/home"));
	drop("odd/spec.yaml");
	(void)snprintf(path, sizeof(path), "%s/odd/spec.yaml", base);
	assert_int_equal(mkfifo(path, 0644), 0);
	assert_int_equal(load("odd", &k, &e), -EINVAL); /* and does not hang */
	assert_non_null(strstr(e.msg, "odd/spec.yaml:1:1: neither file, directory nor link"));
	drop("odd/spec.yaml");
	/* a stranger that calls itself like one of ours */
	make_file("odd/spec.yaml",
		"schemaVersion: \"2\"\nkind: sandbox\nname: alpha\n"
		"sandbox: {command: [sh]}\n",
		0644);
	assert_int_equal(load("odd", &k, &e), -EINVAL);
	assert_non_null(strstr(e.msg, "odd/spec.yaml:3:7: 'alpha' is the name of a built-in kit"));
	drop("odd/spec.yaml");
	drop("odd");
	forget(&k);
}

/* next_entry() - the next entry of a tar stream; false at its end */
static bool next_entry(struct tar_reader *t, const uint8_t **p, size_t *len)
{
	for (;;)
		switch (tar_next(t, p, len)) {
		case TAR_ENTRY:
			return true;
		case TAR_END:
			return false;
		case TAR_DATA:
		case TAR_ENTRY_END:
			break;
		case TAR_MORE:
		case TAR_BAD:
			fail_msg("the stream is broken: %s", tar_fault_text(t->fault));
		}
}

static void test_home(void **state)
{
	static const struct tar_limits limits = {.entries = 100, .bytes = 1 << 20};
	struct tar_reader *t = calloc(1, sizeof(*t));
	struct one k = {0}, again = {0};
	struct err e;
	const uint8_t *p;
	size_t len;

	(void)state;
	assert_non_null(t);
	make_dir("own/files");
	make_dir("own/files/home");
	make_dir("own/files/home/.local");
	make_file("own/files/home/b", "text", 0664);
	make_file("own/files/home/.local/tool", "#!/bin/sh\n", 0755);
	make_file("own/files/home/.local/secret", "", 04600);
	make_link("own/files/home/a", ".local/tool");
	assert_int_equal(load("own", &k, &e), 0);
	p = (const uint8_t *)k.home_tar.data;
	len = k.home_tar.len;
	tar_reader_init(t, &limits);
	assert_true(next_entry(t, &p, &len));
	assert_string_equal(t->entry.path, ".local");
	assert_int_equal(t->entry.type, TAR_DIR);
	assert_int_equal(t->entry.mode, 0755);
	assert_true(next_entry(t, &p, &len));
	assert_string_equal(t->entry.path, ".local/secret");
	assert_int_equal(t->entry.mode, 0600); /* set-id does not travel */
	assert_true(next_entry(t, &p, &len));
	assert_string_equal(t->entry.path, ".local/tool");
	assert_int_equal(t->entry.mode, 0755);
	assert_int_equal(t->entry.size, 10);
	assert_true(next_entry(t, &p, &len));
	assert_string_equal(t->entry.path, "a");
	assert_int_equal(t->entry.type, TAR_SYMLINK);
	assert_string_equal(t->entry.linkname, ".local/tool");
	assert_true(next_entry(t, &p, &len));
	assert_string_equal(t->entry.path, "b");
	assert_int_equal(t->entry.mode, 0644);
	assert_int_equal(t->entry.mtime, 0);
	assert_false(next_entry(t, &p, &len));
	free(t);
	/* the same tree gives the same bytes */
	assert_int_equal(load("own", &again, &e), 0);
	assert_int_equal(again.home_tar.len, k.home_tar.len);
	assert_memory_equal(again.home_tar.data, k.home_tar.data, k.home_tar.len);
	/* what is changed on disk afterwards changes nothing */
	make_file("own/files/home/b", "other", 0644);
	assert_non_null(memmem(k.home_tar.data, k.home_tar.len, "text", 4));
	forget(&k);
	forget(&again);
}

static void refused(const char *why)
{
	struct one k = {0};
	struct err e;

	assert_true(load("own", &k, &e) < 0);
	assert_null(k.spec);
	forget(&k);
	if (!strstr(e.msg, why))
		fail_msg("got: %s\nwant: %s", e.msg, why);
}

static void test_home_refused(void **state)
{
	char path[512];

	(void)state;
	make_link("own/files/home/evil", "/etc/passwd");
	refused("files/home/evil:1:1: an absolute link is not allowed");
	make_link("own/files/home/evil", "../../../x");
	refused("files/home/evil:1:1: a link with '..' is not allowed");
	make_link("own/files/home/evil", "b/..");
	refused("files/home/evil:1:1: a link with '..' is not allowed");
	drop("own/files/home/evil");
	(void)snprintf(path, sizeof(path), "%s/own/files/home/pipe", base);
	assert_int_equal(mkfifo(path, 0644), 0);
	refused("files/home/pipe:1:1: neither file, directory nor link");
	drop("own/files/home/pipe");
}

static void test_home_limits(void **state)
{
	char path[512], rel[600];
	struct one k = {0};
	struct err e;
	size_t n;

	(void)state;
	/* a sparse file: huge without costing anything */
	make_file("own/files/home/huge", "", 0644);
	(void)snprintf(path, sizeof(path), "%s/own/files/home/huge", base);
	assert_int_equal(truncate(path, (off_t)1 << 32), 0);
	assert_int_equal(load("own", &k, &e), -EFBIG);
	assert_int_equal(e.code, ERR_LIMIT);
	assert_non_null(strstr(e.msg, "more than 16 MiB of files"));
	assert_int_equal(unlink(path), 0);
	forget(&k);
	n = (size_t)snprintf(rel, sizeof(rel), "own/files/home");
	for (int i = 0; i < 33; i++) {
		n += (size_t)snprintf(rel + n, sizeof(rel) - n, "/d");
		make_dir(rel);
	}
	refused("nested too deep");
}

/* what replaces a file and what does not are two streams */
static void test_setup_tar(void **state)
{
	static const char text[] =
		SPEC "setup:\n  files:\n"
		     "  - {path: /etc/c, content: kept, onlyIfMissing: true}\n"
		     "  - {path: /etc/a, content: \"${WORKDIR}|${WORK}|${WORKDIR}\"}\n"
		     "  - {path: /b, content: \"\", mode: \"0700\"}\n";
	static const struct tar_limits limits = {.entries = 100, .bytes = 1 << 20};
	struct tar_reader *t = calloc(1, sizeof(*t));
	const struct kit_owner owner = {1000, 1001};
	struct one k = {0};
	struct err e = {0};
	const uint8_t *p;
	AUTO(buf) out;
	size_t len;

	(void)state;
	assert_non_null(t);
	buf_init(&out, 1 << 20);
	make_dir("set");
	make_file("set/spec.yaml", text, 0644);
	assert_int_equal(load("set", &k, &e), 0);
	assert_int_equal(kit_setup_tar(&k.spec->parts, false, "/w x", owner, &out), 0);
	p = (const uint8_t *)out.data;
	len = out.len;
	tar_reader_init(t, &limits);
	assert_true(next_entry(t, &p, &len));
	assert_string_equal(t->entry.path, "etc/a");
	assert_int_equal(t->entry.uid, 1000);
	assert_int_equal(t->entry.gid, 1001);
	assert_int_equal(tar_next(t, &p, &len), TAR_DATA);
	assert_int_equal(t->data_len, strlen("/w x|${WORK}|/w x"));
	assert_memory_equal(t->data, "/w x|${WORK}|/w x", t->data_len);
	assert_true(next_entry(t, &p, &len));
	assert_string_equal(t->entry.path, "b");
	assert_int_equal(t->entry.mode, 0700);
	assert_false(next_entry(t, &p, &len));
	buf_clear(&out);
	assert_int_equal(kit_setup_tar(&k.spec->parts, true, "/", owner, &out), 0);
	p = (const uint8_t *)out.data;
	len = out.len;
	tar_reader_init(t, &limits);
	assert_true(next_entry(t, &p, &len));
	assert_string_equal(t->entry.path, "etc/c");
	assert_false(next_entry(t, &p, &len));
	free(t);
	forget(&k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_builtin),
		cmocka_unit_test(test_not_found),
		cmocka_unit_test(test_spec_must_be_a_file),
		cmocka_unit_test(test_home),
		cmocka_unit_test(test_home_refused),
		cmocka_unit_test(test_home_limits),
		cmocka_unit_test(test_setup_tar),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
