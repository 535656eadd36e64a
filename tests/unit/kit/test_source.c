/* test_source.c - ZIP files and repositories as kits: the same tree from each, and what is refused */
#include "check.h"
#include "base/clock.h"
#include "kit/git.h"
#include "kit/kit.h"
#include "kit/source.h"
#include "kit/zip.h"
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

#define SPEC "schemaVersion: \"2\"\nkind: mixin\nname: k\n"

static char base[] = "/tmp/sbx-source-XXXXXX";

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *f)
{
	(void)st;
	(void)type;
	(void)f;
	return remove(path);
}

static int setup(void **state)
{
	(void)state;
	return mkdtemp(base) ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	return nftw(base, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void add(struct kit_tree *t, const char *path, enum kit_entry_type type, uint32_t mode,
	const char *bytes)
{
	const struct kit_entry f = {
		.path = path, .type = type, .mode = mode, .bytes = bytes, .len = strlen(bytes)};
	struct err e = {0};

	assert_int_equal(kit_tree_add(t, "k", &f, &e), 0);
}

static void fill(struct kit_tree *t)
{
	struct err e = {0};

	add(t, "files/home/tool", KIT_FILE, 0755, "#!/bin/sh\n");
	add(t, "spec.yaml", KIT_FILE, 0644, SPEC);
	add(t, "files/home/.d/empty", KIT_FILE, 0600, "");
	add(t, "files/home/link", KIT_LINK, 0777, ".d/empty");
	add(t, "files/workspace", KIT_DIR, 0755, "");
	assert_int_equal(kit_tree_seal(t, "k", &e), 0);
}

static void same(const struct kit_tree *a, const struct kit_tree *b)
{
	AUTO(buf) x, y;

	buf_init(&x, 1 << 20);
	buf_init(&y, 1 << 20);
	assert_int_equal(kit_tree_bytes(a, &x), 0);
	assert_int_equal(kit_tree_bytes(b, &y), 0);
	assert_string_equal(buf_str(&x), buf_str(&y));
	assert_int_equal(x.len, y.len);
}

static void test_zip_round(void **state)
{
	AUTO(kit_tree) t = {0}, back = {0};
	AUTO(buf) zip, again;
	struct err e = {0};

	(void)state;
	buf_init(&zip, 1 << 20);
	buf_init(&again, 1 << 20);
	fill(&t);
	assert_int_equal(kit_zip_write(&t, &zip), 0);
	if (kit_zip_read(&back, zip.data, zip.len, "k.zip", &e) < 0)
		fail_msg("%s", e.msg);
	same(&t, &back);
	assert_int_equal(kit_zip_write(&back, &again), 0);
	assert_int_equal(again.len, zip.len);
	assert_memory_equal(again.data, zip.data, zip.len);
	assert_int_equal(kit_tree_find(&back, "files/home/.d/empty")->mode, 0600);
	assert_int_equal(kit_tree_find(&back, "files/home/tool")->mode, 0755);
	assert_string_equal(kit_tree_find(&back, "files/home/link")->bytes, ".d/empty");
}

static void put(struct buf *b, uint32_t v, int bytes)
{
	uint8_t raw[4] = {(uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16), (uint8_t)(v >> 24)};

	assert_int_equal(buf_add(b, raw, (size_t)bytes), 0);
}

/* An archive by hand: what each field says is the test's choice. */
struct made {
	const char *name, *data; /* data as it is stored */
	size_t packed;
	uint32_t size, crc, mode;
	uint16_t method, flags;
	const char *local_name; /* NULL: name */
	uint32_t local_size; /* 0: size */
	int descriptor; /* bytes behind the data */
	const char *extra; /* 4 bytes and more, of the directory's entry */
	size_t extra_len;
	int32_t shift; /* of where the directory says it is */
};

static void local(struct buf *b, const struct made *m)
{
	const char *name = m->local_name ? m->local_name : m->name;
	bool later = m->flags & 8;

	put(b, 0x04034b50, 4);
	put(b, 20, 2);
	put(b, m->flags, 2);
	put(b, m->method, 2);
	put(b, 0, 4);
	put(b, later ? 0 : m->crc, 4);
	put(b, later ? 0 : (uint32_t)m->packed, 4);
	put(b, later ? 0 : (m->local_size ? m->local_size : m->size), 4);
	put(b, (uint32_t)strlen(name), 2);
	put(b, 0, 2);
	assert_int_equal(buf_add(b, name, strlen(name)), 0);
	assert_int_equal(m->packed ? buf_add(b, m->data, m->packed) : 0, 0);
	if (m->descriptor) {
		put(b, 0x08074b50, 4);
		put(b, m->crc, 4);
		put(b, (uint32_t)m->packed, 4);
		put(b, m->size, 4);
	}
}

static void central(struct buf *b, const struct made *m, uint32_t at)
{
	put(b, 0x02014b50, 4);
	put(b, 3 << 8 | 20, 2);
	put(b, 20, 2);
	put(b, m->flags, 2);
	put(b, m->method, 2);
	put(b, 0, 4);
	put(b, m->crc, 4);
	put(b, (uint32_t)m->packed, 4);
	put(b, m->size, 4);
	put(b, (uint32_t)strlen(m->name), 2);
	put(b, (uint32_t)m->extra_len, 2);
	put(b, 0, 2);
	put(b, 0, 4);
	put(b, (uint32_t)m->mode << 16, 4);
	put(b, at + (uint32_t)m->shift, 4);
	assert_int_equal(buf_add(b, m->name, strlen(m->name)), 0);
	assert_int_equal(m->extra_len ? buf_add(b, m->extra, m->extra_len) : 0, 0);
}

static void make(struct buf *b, const struct made *m, size_t n)
{
	uint32_t at[8], directory;

	for (size_t i = 0; i < n; i++) {
		at[i] = (uint32_t)b->len;
		local(b, &m[i]);
	}
	directory = (uint32_t)b->len;
	for (size_t i = 0; i < n; i++)
		central(b, &m[i], at[i]);
	put(b, 0x06054b50, 4);
	put(b, 0, 4);
	put(b, (uint32_t)n, 2);
	put(b, (uint32_t)n, 2);
	put(b, (uint32_t)b->len - 12 - directory, 4);
	put(b, directory, 4);
	put(b, 0, 2);
}

static struct made spec_entry(void)
{
	return (struct made){.name = "spec.yaml",
		.data = SPEC,
		.packed = strlen(SPEC),
		.size = (uint32_t)strlen(SPEC),
		.crc = (uint32_t)crc32(0, (const Bytef *)SPEC, strlen(SPEC)),
		.mode = 0100644};
}

static int read_made(const struct made *m, size_t n, struct err *e)
{
	AUTO(kit_tree) t = {0};
	AUTO(buf) b;

	*e = (struct err){0};
	buf_init(&b, 1 << 20);
	make(&b, m, n);
	return kit_zip_read(&t, b.data, b.len, "k.zip", e);
}

static void refused(const struct made *m, size_t n, const char *fault)
{
	struct err e;

	if (read_made(m, n, &e) == 0)
		fail_msg("taken, want %s", fault);
	if (!strstr(e.msg, fault) || strncmp(e.msg, "k.zip", 5) != 0)
		fail_msg("got %s, want %s", e.msg, fault);
}

static void test_zip_zoo(void **state)
{
	static const char *const names[] = {"../x", "/etc/passwd", "files/../../x", "files\\x",
		"C:\\x\n", "files//x", "./spec.yaml"};
	struct made m[3] = {spec_entry(), spec_entry(), spec_entry()};
	struct err e;

	(void)state;
	if (read_made(m, 1, &e) < 0)
		fail_msg("%s", e.msg);
	m[0].flags = 8;
	m[0].descriptor = 1;
	assert_int_equal(read_made(m, 1, &e), 0); /* as tools that write streams do */
	m[0] = spec_entry();
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		m[1].name = names[i];
		assert_int_equal(read_made(m, 2, &e), -EINVAL);
	}
	refused((const struct made[]){spec_entry(), spec_entry()}, 2, "the name is there twice");
	m[0].local_name = "files.yam";
	refused(m, 1, "k.zip/spec.yaml:1:1: the directory says something else than the entry");
	m[0] = spec_entry();
	m[0].local_size = 1;
	refused(m, 1, "the directory says something else");
	m[0] = spec_entry();
	m[0].crc++;
	refused(m, 1, "the checksum of the entry is wrong");
	m[0] = spec_entry();
	m[0].size--;
	refused(m, 1, "the sizes of the entry do not fit");
	m[0] = spec_entry();
	m[0].method = 12;
	refused(m, 1, "an entry must be stored or deflated");
	m[0] = spec_entry();
	m[0].flags = 1;
	refused(m, 1, "an encrypted entry is not allowed");
	m[0].flags = 0x20;
	refused(m, 1, "an entry with odd flags");
	m[0] = spec_entry();
	m[0].mode = 0120777;
	refused(m, 1, "a link is allowed beneath files/home only");
	m[0].mode = 0020644;
	refused(m, 1, "neither file, directory nor link");
	m[0] = spec_entry();
	m[0].extra = "\x01\0\x04\0abcd";
	m[0].extra_len = 8;
	refused(m, 1, "an entry with odd extensions");
	m[0].extra = "up\x04\0abcd"; /* another name */
	refused(m, 1, "an entry with odd extensions");
	/* two entries over the same bytes; bytes that belong to no entry */
	m[0] = spec_entry();
	m[1] = spec_entry();
	m[1].name = "files/x";
	m[1].shift = -3;
	refused(m, 2, "entries overlap, or are not in order");
	m[1].shift = 5;
	refused(m, 2, "entries overlap, or are not in order");
	m[0].descriptor = 1;
	m[1] = spec_entry();
	refused(m, 2, "something lies before this entry");
}

static void test_zip_bomb(void **state)
{
	static char zeros[1 << 20];
	struct made m[2] = {spec_entry(), {.name = "files/home/b", .method = 8, .mode = 0100644}};
	uLongf n = 1 << 16;
	AUTO_FREE char *packed = malloc(n);
	z_stream s = {0};
	struct err e;

	(void)state;
	assert_non_null(packed);
	assert_int_equal(deflateInit2(&s, 9, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY), Z_OK);
	s.next_in = (Bytef *)zeros;
	s.avail_in = sizeof(zeros);
	s.next_out = (Bytef *)packed;
	s.avail_out = (uInt)n;
	assert_int_equal(deflate(&s, Z_FINISH), Z_STREAM_END);
	m[1].data = packed;
	m[1].packed = s.total_out;
	assert_int_equal(deflateEnd(&s), Z_OK);
	m[1].size = sizeof(zeros);
	m[1].crc = (uint32_t)crc32(0, (const Bytef *)zeros, sizeof(zeros));
	assert_int_equal(read_made(m, 2, &e), 0);
	m[1].size = 100; /* says less than comes out */
	refused(m, 2, "the compressed data is damaged");
	m[1].size = sizeof(zeros) + 1;
	refused(m, 2, "the compressed data is damaged");
	m[1].size = 16U << 20; /* more than deflate can */
	refused(m, 2, "the entry is too large");
	m[1].size = 0xfffffff0U;
	refused(m, 2, "the entry is too large");
	m[1].size = sizeof(zeros);
	packed[0] ^= 0x06; /* of no kind there is */
	refused(m, 2, "k.zip/files/home/b:1:1: the compressed data is damaged");
}

/* no cut and no changed byte makes two readings, or worse than an error */
static void test_zip_damage(void **state)
{
	AUTO(kit_tree) t = {0};
	AUTO(buf) zip;

	(void)state;
	buf_init(&zip, 1 << 20);
	fill(&t);
	assert_int_equal(kit_zip_write(&t, &zip), 0);
	for (size_t n = 0; n < zip.len; n++) {
		AUTO(kit_tree) back = {0};
		struct err e = {0};

		assert_true(kit_zip_read(&back, zip.data, n, "k", &e) < 0);
		assert_true(e.code != ERR_NONE);
	}
	for (size_t n = 0; n < zip.len; n++)
		for (int bit = 0; bit < 8; bit++) {
			AUTO(kit_tree) back = {0};
			struct err e = {0};

			zip.data[n] = (char)(zip.data[n] ^ 1 << bit);
			if (kit_zip_read(&back, zip.data, zip.len, "k", &e) == 0)
				assert_int_equal(back.n, t.n);
			else
				assert_true(e.code != ERR_NONE);
			zip.data[n] = (char)(zip.data[n] ^ 1 << bit);
		}
}

/* ---- references ---- */

static void test_refs(void **state)
{
	static const char *const bad[] = {"git+http://h/x", "git+file:///x", "git+ext::sh -c x",
		"https://h/x.zip", "ftp://h/x", "git+https://-h/x", "git+ssh://-oProxyCommand=x/y",
		"git+ssh://u@-h/x", "git+https://u:p@h/x", "git+https://h", "git+https://h/",
		"git+https://h/a/../b", "git+https://h/x#ref=-x", "git+https://h/x#ref=a..b",
		"git+https://h/x#ref=", "git+https://h/x#dir=../x", "git+https://h/x#dir=/x",
		"git+https://h/x#a=b", "git+https://h/x#ref=a&ref=b", "git+https://h/a b",
		"git+https://h/x#ref=a:b", "git+https://h/x\n"};
	struct kit_ref *r = calloc(1, sizeof(*r));
	struct err e = {0};

	(void)state;
	assert_non_null(r);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (kit_ref_parse(bad[i], r, &e) != -EINVAL)
			fail_msg("taken: %s", bad[i]);
	assert_int_equal(kit_ref_parse("claude", r, &e), 0);
	assert_int_equal(r->kind, KIT_BUILTIN);
	assert_int_equal(kit_ref_parse("./k", r, &e), 0);
	assert_int_equal(r->kind, KIT_DIRECTORY);
	assert_int_equal(kit_ref_parse("a/k.zip", r, &e), 0);
	assert_int_equal(r->kind, KIT_ZIP);
	assert_int_equal(kit_ref_parse("git+https://h.example/a/b.git#dir=x/y&ref=v1.2", r, &e), 0);
	assert_int_equal(r->kind, KIT_GIT);
	assert_string_equal(r->path, "https://h.example/a/b.git");
	assert_string_equal(r->ref, "v1.2");
	assert_string_equal(r->dir, "x/y");
	assert_int_equal(kit_ref_parse("git+ssh://git@h:22/a", r, &e), 0);
	assert_string_equal(r->ref, "HEAD");
	assert_string_equal(r->dir, "");
	assert_int_equal(kit_ref_parse("No-Such", r, &e), -ENOENT);
	free(r);
}

/* ---- git ---- */

static void shell(const char *script)
{
	char text[4096];

	(void)snprintf(text, sizeof(text),
		"cd '%s' && export HOME=/nonexistent GIT_CONFIG_GLOBAL=/dev/null "
		"GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example GIT_COMMITTER_NAME=a "
		"GIT_COMMITTER_EMAIL=a@example && { %s; } >/dev/null 2>&1",
		base, script);
	assert_int_equal(system(text), 0);
}

static int from_git(
	const char *ref, const char *dir, struct kit_tree *t, char commit[65], struct err *e)
{
	char url[256];
	const struct kit_git g = {
		.url = url, .ref = ref, .dir = dir, .tmp = base, .protocols = "file"};

	*e = (struct err){0};
	(void)snprintf(url, sizeof(url), "file://%s/repo", base);
	return kit_git_read(&g, t, commit, e);
}

static void test_git(void **state)
{
	AUTO(kit_tree) here = {0}, top = {0}, none = {0};
	char commit[65] = "", second[65] = "", path[256];
	struct stat st;
	struct err e;

	(void)state;
	/* attributes and hooks of the repository, and of a user, that would change what comes out */
	shell("git init -q -b main repo && cd repo && mkdir -p sub/kit/files/home/.d && "
	      "printf 'schemaVersion: \"2\"\\nkind: mixin\\nname: k\\n' >sub/kit/spec.yaml && "
	      "printf '%s\\n' '$Format:%H$' >sub/kit/files/home/.d/f && "
	      "printf '* export-subst export-ignore text eol=lf filter=x\\n' >.gitattributes && "
	      "printf '#!/bin/sh\\n' >sub/kit/files/home/tool && chmod +x sub/kit/files/home/tool "
	      "&& "
	      "ln -s .d/f sub/kit/files/home/link && cp sub/kit/spec.yaml . && echo x >README && "
	      "git -c core.autocrlf=false add -A && git commit -qm 1 && git tag v1 && "
	      "echo y >README && git commit -qam 2");
	if (from_git("v1", "sub/kit", &here, commit, &e) < 0)
		fail_msg("%s", e.msg);
	assert_int_equal(strlen(commit), 40);
	assert_int_equal(here.n, 7);
	assert_string_equal(kit_tree_find(&here, "spec.yaml")->bytes, SPEC);
	assert_string_equal(kit_tree_find(&here, "files/home/.d/f")->bytes, "$Format:%H$\n");
	assert_int_equal(kit_tree_find(&here, "files/home/tool")->mode, 0755);
	assert_string_equal(kit_tree_find(&here, "files/home/link")->bytes, ".d/f");
	if (from_git("HEAD", "", &top, second, &e) < 0)
		fail_msg("%s", e.msg);
	assert_int_equal(top.n, 1); /* spec.yaml alone: README is not part of a kit */
	assert_string_not_equal(commit, second);
	kit_tree_fini(&top);
	assert_int_equal(from_git(second, "", &top, commit, &e), 0); /* by its commit */
	/* nothing stays */
	(void)snprintf(path, sizeof(path), "%s/kit-git-", base);
	shell("test -z \"$(ls -d kit-git-* 2>/dev/null)\"");
	/* what is not there, and what must not be */
	assert_int_equal(from_git("gone", "", &none, commit, &e), -EHOSTUNREACH);
	assert_non_null(strstr(e.msg, "git: "));
	assert_int_equal(from_git("HEAD", "no/such", &none, commit, &e), -EHOSTUNREACH);
	shell("cd repo && rm sub/kit/spec.yaml && ln -s /etc/passwd sub/kit/spec.yaml && "
	      "git add -A && git commit -qm 3");
	assert_int_equal(from_git("HEAD", "sub/kit", &none, commit, &e), -EINVAL);
	assert_non_null(strstr(e.msg, "repo/sub/kit/spec.yaml:1:1: a link is allowed beneath"));
	shell("cd repo && git rm -rq sub/kit/files && "
	      "git update-index --add --cacheinfo 160000,$(git rev-parse HEAD),sub/kit/files && "
	      "git commit -qm 4");
	assert_int_equal(from_git("HEAD", "sub/kit", &none, commit, &e), -EINVAL);
	shell("test -z \"$(ls -d kit-git-* 2>/dev/null)\"");
	assert_int_equal(stat(path, &st), -1);
}

static void test_git_limits(void **state)
{
	char url[256], commit[65];
	struct kit_git g = {.url = url,
		.ref = "HEAD",
		.dir = "",
		.tmp = base,
		.protocols = "https:ssh",
		.deadline = 0};
	AUTO(kit_tree) t = {0};
	struct err e = {0};

	(void)state;
	(void)snprintf(url, sizeof(url), "file://%s/repo", base);
	/* a protocol that is not allowed */
	assert_int_equal(kit_git_read(&g, &t, commit, &e), -EHOSTUNREACH);
	assert_non_null(strstr(e.msg, "not allowed"));
	/* a deadline that has passed */
	g.deadline = 1;
	g.protocols = "file";
	assert_int_equal(kit_git_read(&g, &t, commit, &e), -ETIMEDOUT);
	assert_int_equal(t.n, 0);
	shell("test -z \"$(ls -d kit-git-* 2>/dev/null)\"");
}

/* ---- all together ---- */

static void test_sources(void **state)
{
	AUTO(kit_source) dir = {0}, zip = {0}, built = {0};
	AUTO_KIT_SPEC *s = NULL;
	char path[256];
	AUTO(buf) bytes;
	struct err e = {0};

	(void)state;
	shell("mkdir -p kits/alpha k/files/home && printf 'schemaVersion: \"2\"\\nkind: mixin\\n"
	      "name: alpha\\n' | tee kits/alpha/spec.yaml >k/spec.yaml && echo x >k/files/home/x "
	      "&& "
	      "echo y >k/README && printf '' >k/empty.zip");
	(void)snprintf(path, sizeof(path), "%s/k", base);
	if (kit_source_read(path, base, NULL, &dir, &e) < 0)
		fail_msg("%s", e.msg);
	assert_string_equal(dir.origin, path);
	assert_int_equal(dir.tree.n, 4);
	buf_init(&bytes, 1 << 20);
	assert_int_equal(kit_zip_write(&dir.tree, &bytes), 0);
	(void)snprintf(path, sizeof(path), "%s/k.zip", base);
	{
		AUTO_FD fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

		assert_int_equal(write(fd, bytes.data, bytes.len), bytes.len);
	}
	if (kit_source_read(path, base, NULL, &zip, &e) < 0)
		fail_msg("%s", e.msg);
	same(&dir.tree, &zip.tree); /* one digest, wherever it came from */
	assert_int_equal(kit_source_read("alpha", base, NULL, &built, &e), 0);
	assert_string_equal(built.origin, "builtin:alpha");
	/* a stranger may not be called like one of ours */
	assert_int_equal(kit_decode(&zip.tree, zip.file, NULL, &s, &e), 0);
	assert_int_equal(kit_source_check_name(&zip, s, base, &e), -EINVAL);
	assert_non_null(
		strstr(e.msg, "k.zip/spec.yaml:3:7: 'alpha' is the name of a built-in kit"));
	assert_int_equal(kit_source_check_name(&built, s, base, &e), 0);
	kit_source_fini(&built);
	(void)snprintf(path, sizeof(path), "%s/kits/alpha", base);
	assert_int_equal(kit_source_read(path, base, NULL, &built, &e), 0);
	assert_int_equal(built.kind, KIT_BUILTIN); /* by its path, too */
	kit_source_fini(&built);
	(void)snprintf(path, sizeof(path), "%s/k/empty.zip", base);
	assert_int_equal(kit_source_read(path, base, NULL, &built, &e), -EINVAL);
	assert_int_equal(kit_source_read("beta", base, NULL, &built, &e), -ENOENT);
	assert_non_null(strstr(e.hint, "built in: alpha"));
	assert_int_equal(
		kit_source_read("git+https://h.example/x", base, NULL, &built, &e), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_zip_round),
		cmocka_unit_test(test_zip_zoo),
		cmocka_unit_test(test_zip_bomb),
		cmocka_unit_test(test_zip_damage),
		cmocka_unit_test(test_refs),
		cmocka_unit_test(test_git),
		cmocka_unit_test(test_git_limits),
		cmocka_unit_test(test_sources),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
