/* test_build.c - a build is published whole or leaves nothing; with a script in the real one's place */
#include "fake.h"
#include "image/build.h"
#include "image/internal.h"
#include "base/clock.h"
#include <errno.h>
#include <signal.h>

#define ID_A "aaaa000000000001"

static struct paths paths;
static char store_dir[PATH_MAX];

static int setup(void **state)
{
	if (fake_setup(state) < 0)
		return -1;
	(void)fake_path(paths.cache, fake_cache, "cache");
	(void)fake_path(paths.libexec, fake_cache, "libexec");
	(void)fake_path(paths.data, fake_cache, "data");
	(void)fake_path(store_dir, paths.cache, "images");
	return mkdir(paths.libexec, 0755);
}

static void set_script(const char *body)
{
	char text[4096], path[PATH_MAX];
	int n = snprintf(text, sizeof(text),
		"#!/bin/sh\nout=$1 cache=$2 store=$3\n"
		"image() { cp -r %s/image/. \"$out\"; }\n"
		"p() { printf '%%s\\n' \"$*\" >&3; }\n%s",
		fake_cache, body);

	fake_write(paths.libexec, "image-build", text, (size_t)n);
	(void)fake_path(path, paths.libexec, "image-build");
	assert_int_equal(chmod(path, 0755), 0);
}

struct seen {
	unsigned n, last;
	char text[80];
};

static void on_progress(void *ctx, unsigned percent, const char *text)
{
	struct seen *s = ctx;

	s->n++;
	s->last = percent;
	(void)snprintf(s->text, sizeof(s->text), "%s", text);
}

static int build(const struct image_build *more, bool *built, struct err *e)
{
	struct image_build b = *more;
	struct image img;

	*e = (struct err){0};
	b.paths = &paths;
	return image_build(&b, &img, built, e);
}

/* nothing_half_made() - only images, the names, the log and the lock */
static void nothing_half_made(void)
{
	char path[PATH_MAX];

	(void)fake_path(path, store_dir, ".build");
	assert_int_equal(access(path, F_OK), -1);
}

static void make_fake(void)
{
	char dir[PATH_MAX];

	(void)fake_path(dir, fake_cache, "image");
	fake_files(dir);
	fake_meta(dir, ID_A);
}

static void test_no_script(void **state)
{
	struct image_build b = {0};
	struct err e;

	(void)state;
	assert_int_equal(build(&b, NULL, &e), -ENOENT);
	assert_int_equal(e.code, ERR_UNAVAILABLE);
	assert_non_null(strstr(e.msg, "image-build is missing"));
}

static void test_bad_name(void **state)
{
	struct image_build b = {.name = "../x"};
	struct err e;

	(void)state;
	assert_int_equal(build(&b, NULL, &e), -EINVAL);
}

static void test_failures(void **state)
{
	static const struct {
		const char *body, *what;
	} cases[] = {
		{"exit 1\n", "the script failed without a word"},
		{"echo one; echo two >&2; exit 1\n", "two"},
		{"echo 'image-build: no such mirror'; echo trailing; exit 3\n", "no such mirror"},
		{"p 'PROGRESS 10 x'; p 'what is this'; sleep 60\n", "the script failed"},
		{"p 'DONE ../../etc'; sleep 60\n", "the script failed"},
		{"p 'DONE " ID_A "'\n", "the image that was built is not whole"},
		{"image; p 'DONE aaaa000000000009'\n", "another image than it said"},
		{"image; rm \"$out/kernel\"; p 'DONE " ID_A "'\n", "not whole"},
		{"image; : >\"$out/root.img\"; p 'DONE " ID_A "'\n", "0 bytes where 1024"},
		{"image\n", "the script failed"}, /* never said that it was done */
	};
	struct image_build b = {0};
	struct err e;

	(void)state;
	make_fake();
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		set_script(cases[i].body);
		assert_true(build(&b, NULL, &e) < 0);
		if (!strstr(e.msg, cases[i].what))
			fail_msg("case %zu\n got: %s\nwant: %s", i, e.msg, cases[i].what);
		nothing_half_made();
	}
}

static void test_success(void **state)
{
	struct seen seen = {0};
	struct image_build b = {.progress = on_progress, .ctx = &seen, .name = "mine"};
	struct image_store store;
	struct image img;
	bool built = false;
	struct err e;

	(void)state;
	make_fake();
	set_script("p 'PROGRESS 5 one'; p 'PROGRESS 250 two words'; image; p 'DONE " ID_A "'\n");
	assert_int_equal(build(&b, &built, &e), 0);
	assert_true(built);
	assert_int_equal(seen.n, 2);
	assert_int_equal(seen.last, 100); /* never more */
	assert_string_equal(seen.text, "two words");
	nothing_half_made();
	assert_int_equal(image_store_open(paths.cache, &store, &e), 0);
	assert_int_equal(image_store_lookup(&store, "mine", &img, &e), 0);
	assert_string_equal(img.id, ID_A);
	assert_string_equal(img.name, "mine");
	/* the same content again: nothing is built, the new name is given */
	set_script("[ -e \"$store/" ID_A "/meta.json\" ] && p 'EXISTS " ID_A "'\n");
	b.name = NULL;
	assert_int_equal(build(&b, &built, &e), 0);
	assert_false(built);
	assert_int_equal(image_store_lookup(&store, "default", &img, &e), 0);
	/* forced: the script is not told of the store */
	set_script("[ -z \"$store\" ] || exit 1; image; p 'DONE " ID_A "'\n");
	b.force = true;
	assert_int_equal(build(&b, &built, &e), 0);
	assert_true(built);
	nothing_half_made();
}

static bool stop;
static pid_t child_of_script;

/* the script says its own process id: when it has, the build is under way */
static void stop_now(void *ctx, unsigned percent, const char *text)
{
	(void)ctx;
	(void)percent;
	child_of_script = (pid_t)atoi(text);
	stop = true;
}

static void test_interrupted(void **state)
{
	struct image_build b = {.progress = stop_now, .interrupted = &stop, .force = true};
	unsigned fds = open_fds();
	struct err e;

	(void)state;
	stop = false;
	/* a child that ignores the request to end must go as well */
	set_script("sh -c 'trap \"\" TERM; sleep 300' & p \"PROGRESS 1 $!\"; image; wait\n");
	assert_int_equal(build(&b, NULL, &e), -EINTR);
	nothing_half_made();
	assert_true(child_of_script > 0);
	for (int i = 0; i < 500 && kill(child_of_script, 0) == 0; i++)
		usleep(10000);
	assert_int_equal(kill(child_of_script, 0), -1);
	assert_int_equal(open_fds(), fds);
}

/* what a build that was killed left is gone after the next */
static void test_leftovers(void **state)
{
	struct image_build b = {.force = true};
	char path[PATH_MAX];
	struct err e;

	(void)state;
	(void)fake_path(path, store_dir, ".build");
	fake_files(path);
	(void)fake_path(path, store_dir, ".build/deep");
	fake_files(path);
	(void)fake_path(path, store_dir, ".gone-" ID_A);
	fake_files(path);
	set_script("image; p 'DONE " ID_A "'\n");
	assert_int_equal(build(&b, NULL, &e), 0);
	nothing_half_made();
	assert_int_equal(access(path, F_OK), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_script),
		cmocka_unit_test(test_bad_name),
		cmocka_unit_test(test_failures),
		cmocka_unit_test(test_success),
		cmocka_unit_test(test_interrupted),
		cmocka_unit_test(test_leftovers),
	};

	return cmocka_run_group_tests(tests, setup, fake_teardown);
}
