/* test_fs_watch.c - patterns, and which changes the file server tells of (FS-14) */
#include "../check.h"
#include "fs_tree.h"
#include "fuse_client.h"
#include "virtio/fs_pattern.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TOLD_MAX 4096

static struct fuse_client fc;
static struct fs_tree tree;
static uint64_t root;

static struct {
	char path[256], rule[64];
	unsigned export, changes;
} told[TOLD_MAX];
static unsigned n_told;
static char moved_from[256], moved_to[256];

static void on_changed(
	void *ctx, unsigned export, const char *rule, unsigned changes, const char *path)
{
	assert_ptr_equal(ctx, &fc);
	assert_true(n_told < TOLD_MAX);
	(void)snprintf(told[n_told].path, sizeof(told[0].path), "%s", path);
	(void)snprintf(told[n_told].rule, sizeof(told[0].rule), "%s", rule);
	told[n_told].export = export;
	told[n_told++].changes = changes;
}

static void on_moved(void *ctx, unsigned export, const char *from, const char *to)
{
	(void)ctx;
	(void)export;
	(void)snprintf(moved_from, sizeof(moved_from), "%s", from);
	(void)snprintf(moved_to, sizeof(moved_to), "%s", to);
}

/* Changes that were told of @path, as bits. */
static unsigned changes_of(const char *path)
{
	unsigned all = 0;

	for (unsigned k = 0; k < n_told; k++)
		if (strcmp(told[k].path, path) == 0)
			all |= told[k].changes;
	return all;
}

static int setup(void **state)
{
	(void)state;
	n_told = 0;
	fs_tree_make(&tree);
	fcl_prepare(&fc);
	fcl_export(&fc, tree.share, false);
	fc.cfg.changed = on_changed;
	fc.cfg.moved = on_moved;
	fc.cfg.changed_ctx = &fc;
	fcl_start(&fc);
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

/* -- patterns */

static bool match(const char *pattern, const char *path, const char *tail)
{
	struct fs_part part[64];
	struct fs_trail t = {.part = part};
	struct fs_pattern p;
	size_t end = strlen(path);

	assert_int_equal(fs_pattern_parse(pattern, true, &p), 0);
	for (int pass = 0; pass < 2; pass++) {
		while (end > 0) {
			size_t at = end;

			while (at > 0 && path[at - 1] != '/')
				at--;
			part[t.n++] = (struct fs_part){path + at, end - at};
			end = at ? at - 1 : 0;
		}
		if (pass == 0) {
			t.inside = t.n;
			path = tail;
			end = strlen(path);
		}
	}
	for (size_t k = 0; k < (p.tree ? t.n : 1); k++)
		if (fs_pattern_at(&p, &t, k))
			return true;
	return false;
}

static void patterns(void **state)
{
	static const struct {
		const char *pattern, *path;
		bool want;
	} cases[] = {
		{"a", "a", true},
		{"a", "x/a", true},
		{"a", "a/x", false},
		{"a", "ab", false},
		{"a/", "a/x/y", true},
		{"a/", "x/a", true},
		{"a/", "b/x", false},
		{"/a", "a", true},
		{"/a", "x/a", false},
		{"/a/b", "a/b", true},
		{"/a/b", "b", false},
		{"/a/", "a/x", true},
		{"/a/", "x/a/x", false},
		{"a/b", "x/a/b", true},
		{"a/b", "b", false},
		{"A", "a", true},
		{"*.mk", "x/rules.mk", true},
		{"*.mk", "mk", false},
		{"a*b*c", "a--b-b--c", true},
		{"a*b*c", "a--b-b--cd", false},
		{"?.c", "x.c", true},
		{"?.c", ".c", false},
		{".git/**/config", ".git/config", true},
		{".git/**/config", ".git/modules/x/y/config", true},
		{".git/**/config", "x/.git/modules/x/config", true},
		{".git/**/config", "config", false},
		{".git/**/hooks/", ".git/modules/m/hooks/pre-commit", true},
		{".git/**/hooks/", "hooks/pre-commit", false},
		{"/a/**/b", "a/x/b", true},
		{"/a/**/b", "y/a/x/b", false},
	};

	(void)state;
	for (unsigned k = 0; k < ARRAY_LEN(cases); k++)
		if (match(cases[k].pattern, cases[k].path, "") != cases[k].want)
			fail_msg("'%s' on '%s'", cases[k].pattern, cases[k].path);
	/* what stands above the share: not for tied ones */
	assert_true(match(".git/**/config", "config", "home/p/.git"));
	assert_false(match("/p/a", "a", "home/p"));
	assert_true(match("p/a", "a", "home/p"));
}

static void no_patterns(void **state)
{
	char longest[FS_PATTERN_MAX + 2];
	struct fs_pattern p;

	(void)state;
	for (const char **t = (const char *[]){"", "/", "**", "a/**", "a//b", "./a", "a/../b", "..",
		     "**/a/**/b", "1/2/3/4/5/6/7/8/9", NULL};
		*t; t++)
		if (fs_pattern_parse(*t, false, &p) != -EINVAL)
			fail_msg("'%s' was taken", *t);
	memset(longest, 'a', sizeof(longest));
	longest[FS_PATTERN_MAX + 1] = '\0';
	assert_int_equal(fs_pattern_parse(longest, false, &p), -EINVAL);
	longest[FS_PATTERN_MAX] = '\0';
	assert_int_equal(fs_pattern_parse(longest, false, &p), 0);
	/* many stars on a long name take no longer than their product */
	memset(longest, '*', 200);
	for (unsigned k = 0; k < 200; k += 2)
		longest[k] = 'a';
	longest[200] = 'b';
	longest[201] = '\0';
	assert_int_equal(fs_pattern_parse(longest, false, &p), 0);
	memset(longest, 'a', FS_PATTERN_MAX);
	assert_false(fs_pattern_at(&p,
		&(struct fs_trail){
			.part = &(struct fs_part){longest, FS_PATTERN_MAX}, .n = 1, .inside = 1},
		0));
}

/* Every rule is a pattern, none is there twice, and each reason is given. */
static void rules(void **state)
{
	struct fs_pattern p;

	(void)state;
	assert_true(fs_watch_n_rules > 100);
	for (size_t k = 0; k < fs_watch_n_rules; k++) {
		assert_int_equal(fs_pattern_parse(fs_watch_rules[k].pattern, true, &p), 0);
		assert_true(strlen(fs_watch_rules[k].pattern) < 64);
		for (size_t j = 0; j < k; j++)
			assert_string_not_equal(
				fs_watch_rules[k].pattern, fs_watch_rules[j].pattern);
		if (fs_watch_rules[k].why)
			assert_string_equal(
				fs_watch_why(fs_watch_rules[k].pattern), fs_watch_rules[k].why);
	}
	assert_string_equal(fs_watch_why("no such"), "");
	assert_true(strlen(fs_watch_why(FS_WATCH_LINKED)) > 0);
}

/* -- changes */

static uint64_t make_dirs(const char *path)
{
	char part[256];
	struct fuse_entry_out e = {.nodeid = root};

	for (const char *at = path; *at;) {
		size_t n = strcspn(at, "/");
		uint64_t dir = e.nodeid;

		(void)snprintf(part, sizeof(part), "%.*s", (int)n, at);
		if (fcl_lookup(&fc, dir, part, &e) != 0)
			assert_int_equal(fcl_mkdir(&fc, dir, part, 0755, &e), 0);
		at += n + (at[n] == '/');
	}
	return e.nodeid;
}

static void touch(uint64_t dir, const char *name)
{
	struct fuse_entry_out e;
	uint64_t fh;

	assert_int_equal(fcl_create(&fc, dir, name, O_WRONLY | O_EXCL, 0644, &e, &fh), 0);
	assert_int_equal(fcl_write(&fc, e.nodeid, fh, 0, "x", 1, 0, 0), 1);
	assert_int_equal(fcl_release(&fc, e.nodeid, fh), 0);
}

static const char *const files[] = {".git/hooks/post-checkout", ".git/config",
	".git/modules/m/config", ".git/modules/m/hooks/pre-push", ".git/info/attributes",
	".git/config.worktree", ".git/objects/info/alternates", "sub/.git", "bare/HEAD",
	"x.git/config", ".gitattributes", "a/.gitattributes", ".gitmodules", ".gitconfig", ".envrc",
	"deep/er/.envrc", ".vscode/tasks.json", ".vscode/a/b/c", ".idea/workspace.xml",
	".devcontainer/devcontainer.json", ".devcontainer.json", ".claude/settings.json",
	".claude/commands/x.md", ".codex/config.toml", ".gemini/settings.json", ".cursor/rules/x",
	".mcp.json", ".npmrc", ".yarnrc.yml", ".bashrc", ".bash_profile", ".profile", ".zshrc",
	".zshenv", ".config/fish/config.fish", "Makefile", "makefile", "GNUmakefile",
	"lib/Makefile", "package.json", "packages/a/package.json", ".github/workflows/ci.yml",
	".github/actions/a/action.yml", ".gitlab-ci.yml", "Jenkinsfile", "spec.yaml", "sbxenv.yaml",
	"CLAUDE.md", "AGENTS.md", "GEMINI.md", "build.rs", ".cargo/config.toml", "setup.py",
	"pyproject.toml", "conftest.py", "CMakeLists.txt", "Dockerfile", "docker-compose.yml",
	".husky/pre-commit", ".pre-commit-config.yaml", ".tool-versions", ".vimrc", ".ssh/config",
	".local/bin/ls", "vite.config.ts", "gradlew", "build.gradle", "pom.xml", ".env",
	"flake.nix"};
static const char *const others[] = {"main.c", "src/lib.c", ".git/index", ".git/HEAD",
	".git/refs/heads/main", ".git/objects/ab/cdef", ".git/hooks/pre-commit.sample",
	"hooks/use.ts", "docs/config", "README.md", "a/vscode/x", "gitconfig", "xpackage.json",
	".claude/worktrees/w/a.c"};

static void make(const char *path)
{
	const char *slash = strrchr(path, '/');
	char dir[256];

	(void)snprintf(dir, sizeof(dir), "%.*s", slash ? (int)(slash - path) : 0, path);
	touch(make_dirs(dir), slash ? slash + 1 : path);
}

static void files_made_in_new_folders(void **state)
{
	(void)state;
	for (unsigned k = 0; k < ARRAY_LEN(files); k++)
		make(files[k]);
	for (unsigned k = 0; k < ARRAY_LEN(files); k++)
		if (changes_of(files[k]) != (FS_CREATED | FS_WRITTEN))
			fail_msg("'%s' has %u", files[k], changes_of(files[k]));
	for (unsigned k = 0; k < ARRAY_LEN(others); k++)
		make(others[k]);
	for (unsigned k = 0; k < ARRAY_LEN(others); k++)
		if (changes_of(others[k]) != 0)
			fail_msg("'%s' was told of", others[k]);
	/* in a working tree of an agent, its own rules hold */
	make(".claude/worktrees/w/.git");
	assert_int_equal(changes_of(".claude/worktrees/w/.git"), FS_CREATED | FS_WRITTEN);
}

static void files_that_were_there(void **state)
{
	struct fuse_setattr_in size = {.valid = FATTR_SIZE},
			       mode = {.valid = FATTR_MODE, .mode = 0755};
	uint64_t node, fh;

	(void)state;
	fs_tree_write(&tree, "Makefile", "old", 3);
	node = fcl_walk(&fc, 0, "Makefile", NULL);
	assert_int_equal(fcl_open(&fc, node, O_RDWR, &fh, NULL), 0);
	assert_int_equal(n_told, 0); /* opening alone is no change */
	assert_int_equal(fcl_write(&fc, node, fh, 0, "new", 3, 0, 0), 3);
	assert_int_equal(fcl_write(&fc, node, fh, 0, "new", 3, 0, 0), 3);
	assert_int_equal(n_told, 1);
	assert_int_equal(changes_of("Makefile"), FS_WRITTEN);
	assert_int_equal(fcl_release(&fc, node, fh), 0);
	n_told = 0;
	assert_int_equal(fcl_setattr(&fc, node, &size), 0);
	assert_int_equal(changes_of("Makefile"), FS_WRITTEN);
	n_told = 0;
	assert_int_equal(fcl_setattr(&fc, node, &mode), 0);
	assert_int_equal(changes_of("Makefile"), FS_EXECUTABLE);
	n_told = 0;
	assert_int_equal(fcl_open(&fc, node, O_WRONLY | O_TRUNC, &fh, NULL), 0);
	assert_int_equal(changes_of("Makefile"), FS_WRITTEN);
}

static void by_other_doors(void **state)
{
	struct fuse_entry_out e;
	uint64_t a, b, fh;

	(void)state;
	/* a rename of the file */
	touch(root, "harmless");
	b = make_dirs(".git/hooks");
	assert_int_equal(n_told, 0);
	assert_int_equal(fcl_rename(&fc, root, "harmless", b, "pre-commit", 0), 0);
	assert_int_equal(changes_of(".git/hooks/pre-commit"), FS_RENAMED);
	/* of its folder: the whole of it */
	a = make_dirs("w/hidden");
	touch(a, "settings.json");
	assert_int_equal(changes_of("w/hidden/settings.json"), 0);
	assert_int_equal(
		fcl_rename(&fc, fcl_walk(&fc, 0, "w", NULL), "hidden", root, ".claude", 0), 0);
	assert_int_equal(changes_of(".claude/"), FS_RENAMED);
	/* of a folder that holds a part of a pattern */
	(void)make_dirs("gh/workflows");
	assert_int_equal(fcl_rename(&fc, root, "gh", root, ".github", 0), 0);
	assert_int_equal(changes_of(".github/"), FS_RENAMED);
	assert_string_equal(moved_from, "gh/");
	assert_string_equal(moved_to, ".github/");
	/* a hard link, to it and from it */
	touch(root, "plain");
	assert_int_equal(fcl_link(&fc, fcl_walk(&fc, 0, "plain", NULL), root, ".envrc"), 0);
	assert_int_equal(changes_of(".envrc"), FS_LINKED);
	fs_tree_write(&tree, "package.json", "{}", 2);
	assert_int_equal(fcl_link(&fc, fcl_walk(&fc, 0, "package.json", NULL), root, "other"), 0);
	assert_int_equal(changes_of("package.json"), FS_LINKED);
	/* a symbolic link */
	assert_int_equal(fcl_symlink(&fc, root, ".vscode", "elsewhere", &e), 0);
	assert_int_equal(changes_of(".vscode"), FS_CREATED);
	/* an exchange */
	(void)make_dirs("one");
	(void)make_dirs(".idea");
	assert_int_equal(fcl_rename(&fc, root, "one", root, ".idea", RENAME_EXCHANGE), 0);
	assert_int_equal(changes_of(".idea/"), FS_RENAMED);
	assert_int_equal(fcl_mknod(&fc, root, ".npmrc", S_IFREG | 0644), 0);
	assert_int_equal(changes_of(".npmrc"), FS_CREATED);
	/* a name the host has made of a file: written through another */
	fs_tree_write(&tree, "shared-1", "x", 1);
	assert_int_equal(link(fs_tree_path(&tree, "shared-1"), fs_tree_path(&tree, "shared-2")), 0);
	a = fcl_walk(&fc, 0, "shared-1", NULL);
	assert_int_equal(fcl_open(&fc, a, O_WRONLY, &fh, NULL), 0);
	assert_int_equal(fcl_write(&fc, a, fh, 0, "y", 1, 0, 0), 1);
	assert_int_equal(changes_of("shared-1"), FS_WRITTEN);
	assert_string_equal(told[n_told - 1].rule, FS_WATCH_LINKED);
}

/* A share that is itself such a folder, or a part of one, or such a file. */
static void by_what_is_above(void **state)
{
	static const struct {
		const char *tail, *name;
		bool want;
	} cases[] = {
		{"home/p/.git/hooks", "pre-commit", true},
		{"home/p/.git", "config", true},
		{"home/p/.git", "index", false},
		{"home/p/.vscode", "x", true},
		{"home/.claude/worktrees/p", "main.c", false},
		{"home/.claude/x/p", "main.c", false},
		{".github", "workflows", true},
		{".github", "other", false},
	};

	(void)state;
	fcl_free(&fc);
	for (unsigned k = 0; k < ARRAY_LEN(cases); k++) {
		fcl_prepare(&fc);
		fcl_export(&fc, tree.share, false);
		memcpy(fc.cfg.exports[0].tail, cases[k].tail, strlen(cases[k].tail) + 1);
		fc.cfg.changed = on_changed;
		fc.cfg.changed_ctx = &fc;
		fcl_start(&fc);
		n_told = 0;
		root = fcl_walk(&fc, 0, "", NULL);
		touch(root, cases[k].name);
		if ((changes_of(cases[k].name) != 0) != cases[k].want)
			fail_msg("'%s' in '%s'", cases[k].name, cases[k].tail);
		assert_int_equal(unlink(fs_tree_path(&tree, cases[k].name)), 0);
		fcl_free(&fc);
	}
	fs_tree_write(&tree, "package.json", "{}", 2);
	fcl_prepare(&fc);
	fcl_export(&fc, fs_tree_path(&tree, "package.json"), false);
	memcpy(fc.cfg.exports[0].tail, "p/package.json", 15);
	fc.cfg.changed = on_changed;
	fc.cfg.changed_ctx = &fc;
	fcl_start(&fc);
	uint64_t fh, node = fcl_walk(&fc, 0, "", NULL);
	n_told = 0;
	assert_int_equal(fcl_open(&fc, node, O_WRONLY, &fh, NULL), 0);
	assert_int_equal(fcl_write(&fc, node, fh, 0, "y", 1, 0, 0), 1);
	assert_int_equal(n_told, 1);
	assert_string_equal(told[0].path, "");
	assert_string_equal(told[0].rule, "package.json");
}

/* A path longer than what is told loses its front and keeps its end. */
static void long_paths(void **state)
{
	char name[201];
	struct fuse_entry_out e = {.nodeid = root};

	(void)state;
	memset(name, 'd', 200);
	name[200] = '\0';
	for (unsigned k = 0; k < 10; k++)
		assert_int_equal(fcl_mkdir(&fc, e.nodeid, name, 0755, &e), 0);
	touch(e.nodeid, ".npmrc");
	assert_true(n_told > 0);
	assert_memory_equal(told[0].path, ".../d", 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(patterns),
		cmocka_unit_test(no_patterns),
		cmocka_unit_test(rules),
		cmocka_unit_test_setup_teardown(files_made_in_new_folders, setup, teardown),
		cmocka_unit_test_setup_teardown(files_that_were_there, setup, teardown),
		cmocka_unit_test_setup_teardown(by_other_doors, setup, teardown),
		cmocka_unit_test_setup_teardown(by_what_is_above, setup, teardown),
		cmocka_unit_test_setup_teardown(long_paths, setup, teardown),
	};

	return cmocka_run_group_tests_name("fs_watch", tests, NULL, NULL);
}
