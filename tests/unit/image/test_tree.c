/* test_tree.c - what a layer hides of those below, one rule each; the oracle with random layers is a scenario */
#include "check.h"
#include "image/tree.h"
#include <stdio.h>
#include <string.h>

/* one() - an entry as text: "d name", "f name", "l name target", "h name target" */
static enum tree_fault one(struct tree *t, const char *entry, uint64_t nid, bool first)
{
	char name[256] = "", target[256] = "", kind = 0;
	enum tree_fault f = TREE_HIDDEN;
	tree_ref node;

	(void)sscanf(entry, "%c %255s %255s", &kind, name, target);
	if (kind != 'd')
		tree_seen(t, name);
	if (first)
		f = kind == 'h'	  ? tree_link(t, name, target)
		    : kind == 'd' ? tree_add(t, name, TREE_DIR, &node)
		    : kind == 'l' ? tree_add(t, name, TREE_SYMLINK, &node)
				  : tree_add(t, name, TREE_FILE, &node);
	if (f != TREE_OK && f != TREE_HIDDEN)
		return f;
	if (f == TREE_OK && kind == 'd')
		tree_meta(t, node, &(struct erofs_inode){.mode = 0700});
	if (f == TREE_OK && (kind == 'f' || kind == 'l'))
		assert_true(tree_file(t, node, nid, kind == 'l' ? target : NULL));
	if (kind == 'h')
		f = tree_wants_link(t, name, target);
	if (kind == 'f' && tree_wants(t, name))
		assert_true(tree_found(t, name, nid, TREE_FILE));
	tree_next(t);
	return f == TREE_HIDDEN ? TREE_OK : f;
}

/* build() - "-" is the next layer */
static enum tree_fault build(struct tree *t, const char *const *entry)
{
	uint64_t nid = 100;

	for (;;) {
		bool first = true, more = true;
		size_t n = 0;

		assert_true(tree_layer(t));
		for (; more; first = false) {
			tree_pass(t, first);
			for (n = 0; entry[n] && strcmp(entry[n], "-") != 0; n++) {
				enum tree_fault f = one(t, entry[n], nid + n, first);

				if (f != TREE_OK)
					return f;
			}
			assert_true(tree_pass_end(t, &more));
		}
		if (!entry[n])
			return tree_finish(t);
		entry += n + 1;
		nid += n + 1;
	}
}

/* number() - of the entry, from 0, whose bytes @path has; -1: there is nothing */
static int number(const struct tree *t, const char *path)
{
	tree_ref node = tree_lookup(t, path);

	return node ? (int)tree_nid_of(t, node) - 100 : -1;
}

#define ENTRIES(...) ((const char *const[]){__VA_ARGS__, NULL})

static void test_upper_hides(void **state)
{
	struct tree *t = tree_new();

	(void)state;
	assert_int_equal(
		build(t, ENTRIES("f a", "d d", "f d/x", "-", "f a", "f d/x", "f d/y")), TREE_OK);
	assert_int_equal(number(t, "a"), 0);
	assert_int_equal(number(t, "d/x"), 2);
	assert_int_equal(number(t, "/d/y"), 6);
	tree_free(t);
}

/* a hard link is bound to what its target's name means where it stands, seen or not */
static void test_links_by_order(void **state)
{
	struct tree *t = tree_new();

	(void)state;
	assert_int_equal(build(t, ENTRIES("f a", "-", "f a", "h b a", "f a", "h c a", "h d c",
					  "f c", "h e c", "h a b", "h f a", "-", "f a")),
		TREE_OK);
	assert_int_equal(number(t, "a"), 0);
	assert_int_equal(number(t, "b"), 2);
	assert_int_equal(number(t, "c"), 7);
	assert_int_equal(number(t, "d"), 4);
	assert_int_equal(number(t, "e"), 7);
	assert_int_equal(number(t, "f"), 2);
	tree_free(t);
	/* what comes behind the link is not meant, but what lies below */
	t = tree_new();
	assert_int_equal(
		build(t, ENTRIES("f a", "-", "h b a", "f a", "-", "f a", "h x a", "f a")), TREE_OK);
	assert_int_equal(number(t, "b"), 7);
	assert_int_equal(number(t, "x"), 5);
	tree_free(t);
}

static void test_whiteouts(void **state)
{
	struct tree *t = tree_new();

	(void)state;
	assert_int_equal(build(t, ENTRIES("f .wh.a", "f d/.wh..wh..opq", "f d/new", "f .wh.e",
					  "d e", "f e/1", "-", "f a", "f d/old", "f e/2", "f b",
					  "f .wh.c", "-", "f c", "f d/older")),
		TREE_OK);
	assert_int_equal(number(t, "a"), -1);
	assert_int_equal(number(t, "c"), -1);
	assert_int_equal(number(t, "d/old"), -1);
	assert_int_equal(number(t, "d/older"), -1);
	assert_int_equal(number(t, "d/new"), 2);
	assert_int_equal(number(t, "e/1"), 5);
	assert_int_equal(number(t, "e/2"), -1);
	assert_true(number(t, "b") >= 0);
	tree_free(t);
}

/* A file in the middle parts the directories above and below it. */
static void test_replaced_twice(void **state)
{
	struct tree *t = tree_new();

	(void)state;
	assert_int_equal(
		build(t, ENTRIES("d a", "f a/new", "-", "f a", "-", "d a", "f a/old")), TREE_OK);
	assert_int_equal(number(t, "a/new"), 1);
	assert_int_equal(number(t, "a/old"), -1);
	tree_free(t);
}

static void test_behind_symlinks(void **state)
{
	struct tree *t = tree_new();

	(void)state;
	assert_int_equal(build(t, ENTRIES("f lib/a", "f bin/x", "-", "f lib/a", "f lib/b", "-",
					  "l lib usr/lib", "l bin /usr/bin", "d usr", "d usr/lib",
					  "f usr/lib/a", "f usr/lib/c")),
		TREE_OK);
	assert_int_equal(tree_type_of(t, tree_lookup(t, "usr/lib")), TREE_DIR);
	assert_int_equal(number(t, "usr/lib/a"), 0);
	assert_int_equal(number(t, "lib/b"), 4);
	assert_int_equal(number(t, "usr/bin/x"), 1);
	assert_true(number(t, "usr/lib/c") > 0);
	tree_free(t);
}

static void test_hard_links(void **state)
{
	struct tree *t = tree_new();

	(void)state;
	assert_int_equal(build(t, ENTRIES("f a", "-", "h b a", "h c b", "-", "f a")), TREE_OK);
	assert_int_equal(number(t, "a"), 0);
	assert_int_equal(number(t, "b"), number(t, "c"));
	assert_int_equal(number(t, "b"), 5);
	tree_free(t);
}

/* What is waited for is a hard link of the layer itself: of a file that is seen, and of one below. */
static void test_hidden_links(void **state)
{
	struct tree *t = tree_new();

	(void)state;
	assert_int_equal(
		build(t, ENTRIES("f a", "-", "f m", "h a m", "h c a", "-", "f x")), TREE_OK);
	assert_int_equal(number(t, "c"), 2);
	tree_free(t);
	t = tree_new();
	assert_int_equal(build(t, ENTRIES("f a", "-", "h c a", "-", "h a m", "-", "f m")), TREE_OK);
	assert_int_equal(number(t, "c"), 6);
	tree_free(t);
}

static void test_faults(void **state)
{
	const struct {
		const char *const *entries;
		enum tree_fault fault;
	} cases[] = {
		{ENTRIES("f a", "f a/b"), TREE_NOT_A_DIR},
		{ENTRIES("h a b"), TREE_NO_TARGET},
		{ENTRIES("h a a"), TREE_NO_TARGET},
		{ENTRIES("h a b", "h b a"), TREE_NO_TARGET},
		{ENTRIES("f a/x", "-", "l a a"), TREE_NOT_A_DIR},
		{ENTRIES("f a/x", "-", "l a b", "l b a"), TREE_NOT_A_DIR},
		{ENTRIES("f a/x", "-", "l a f", "f f"), TREE_NOT_A_DIR},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct tree *t = tree_new();

		assert_int_equal(build(t, cases[i].entries), cases[i].fault);
		tree_free(t);
	}
}

static void test_limits(void **state)
{
	struct tree *t = tree_new();
	char deep[TREE_DEPTH_MAX * 2 + 16] = "", long_name[300];
	tree_ref node;

	(void)state;
	assert_true(tree_layer(t));
	for (unsigned i = 0; i < TREE_DEPTH_MAX + 2; i++)
		(void)strcat(deep, "d/");
	(void)strcat(deep, "x");
	assert_int_equal(tree_add(t, deep, TREE_FILE, &node), TREE_DEEP);
	memset(long_name, 'n', sizeof(long_name));
	long_name[256] = '\0';
	assert_int_equal(tree_add(t, long_name, TREE_FILE, &node), TREE_LONG_NAME);
	long_name[255] = '\0';
	assert_int_equal(tree_add(t, long_name, TREE_FILE, &node), TREE_OK);
	for (unsigned i = 1; i < TREE_LAYERS_MAX; i++)
		assert_true(tree_layer(t));
	assert_false(tree_layer(t));
	tree_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_upper_hides),
		cmocka_unit_test(test_links_by_order),
		cmocka_unit_test(test_whiteouts),
		cmocka_unit_test(test_replaced_twice),
		cmocka_unit_test(test_behind_symlinks),
		cmocka_unit_test(test_hard_links),
		cmocka_unit_test(test_hidden_links),
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests_name("image_tree", tests, NULL, NULL);
}
