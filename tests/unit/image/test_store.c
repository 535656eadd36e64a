/* test_store.c - images are whole or not there, found by name and id, and refused when damaged */
#include "fake.h"
#include "base/io.h"
#include "image/internal.h"
#include <errno.h>

#define ID_A "aaaa000000000001"
#define ID_B "aaaa000000000002"

static struct image_store store;

static int setup(void **state)
{
	struct err e;

	return fake_setup(state) < 0 || image_store_open(fake_cache, &store, &e) < 0 ? -1 : 0;
}

/* publish() - make and publish a fake image, as a build does */
static void publish(const char *id)
{
	char dir[PATH_MAX];
	struct image img;
	struct err e = {0};

	(void)fake_path(dir, store.dir, ".build");
	fake_files(dir);
	fake_meta(dir, id);
	assert_int_equal(image_store_publish(&store, dir, &img, &e), 0);
	assert_string_equal(img.id, id);
	assert_int_equal(access(dir, F_OK), -1);
}

static void expect(const char *ref, const char *id)
{
	struct image img;
	struct err e = {0};

	if (image_store_lookup(&store, ref, &img, &e) < 0)
		fail_msg("%s: %s", ref, e.msg);
	assert_string_equal(img.id, id);
}

static void expect_fault(const char *ref, int r, const char *what)
{
	struct image img;
	struct err e = {0};

	assert_int_equal(image_store_lookup(&store, ref, &img, &e), r);
	if (!strstr(e.msg, what))
		fail_msg("got: %s\nwant: %s", e.msg, what);
	assert_true(e.hint[0]);
}

static void test_empty(void **state)
{
	struct image *list = NULL;
	size_t n = 1, broken = 1;
	struct image img;
	struct err e = {0};

	(void)state;
	assert_int_equal(image_store_list(&store, &list, &n, &broken, &e), 0);
	assert_int_equal(n, 0);
	assert_int_equal(broken, 0);
	free(list);
	assert_int_equal(image_store_lookup(&store, "default", &img, &e), -ENOENT);
	assert_int_equal(e.code, ERR_NOT_FOUND);
	assert_string_equal(e.hint, "sbx image build makes it");
}

static void test_publish_and_find(void **state)
{
	struct image *list = NULL;
	struct image img;
	size_t n, broken;
	struct err e = {0};

	(void)state;
	publish(ID_A);
	assert_int_equal(image_store_name(&store, "default", ID_A, &e), 0);
	publish(ID_B);
	assert_int_equal(image_store_name(&store, "other", ID_B, &e), 0);
	expect("default", ID_A);
	expect("other", ID_B);
	expect(ID_B, ID_B);
	expect("aaaa000000000001", ID_A);
	expect_fault("aaaa0000", -EINVAL, "image 'aaaa0000' is ambiguous: 2 begin like that");
	expect_fault("aaa", -ENOENT, "image 'aaa' not found");
	expect_fault("bbbb", -ENOENT, "image 'bbbb' not found");
	assert_int_equal(image_store_list(&store, &list, &n, &broken, &e), 0);
	assert_int_equal(n, 2);
	assert_int_equal(broken, 0);
	free(list);
	assert_int_equal(image_store_lookup(&store, "default", &img, &e), 0);
	assert_string_equal(img.name, "default");
	assert_string_equal(img.kernel_version, "6.1.0-test");
	assert_string_equal(img.format, "squashfs");
	assert_int_equal(img.root_bytes, 1024);
	assert_true(img.created_ms > 0);
	assert_int_equal(image_store_verify(&img, &e), 0);
}

static void test_names_are_no_paths(void **state)
{
	static const char *const refs[] = {
		"", ".", "..", "../names/default", "/etc/passwd", "-rf", "names", "default\n"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(refs); i++)
		expect_fault(refs[i], -ENOENT, "not found");
	expect_fault("default/../other", -EINVAL, "which registry");
}

/* the fields are what the specification of references says, and one image has one form */
static void test_references(void **state)
{
	static const struct {
		const char *text, *name;
	} same[] = {
		{"docker.io/debian", "docker.io/library/debian:latest"},
		{"docker://Index.Docker.io/library/debian:12", "docker.io/library/debian:12"},
		{"REG.example:5000/a/b-c_d:V1", "reg.example:5000/a/b-c_d:V1"},
		{"localhost/x", "localhost/x:latest"},
		{"docker.io/a/b:1@sha256:" FAKE_ROOT_SHA, "docker.io/a/b@sha256:" FAKE_ROOT_SHA},
	};
	struct image_ref ref, other;
	struct err e = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(same); i++) {
		if (image_ref_parse(same[i].text, &ref, &e) < 0)
			fail_msg("%s: %s", same[i].text, e.msg);
		assert_string_equal(ref.name, same[i].name);
		assert_int_equal(ref.kind, IMAGE_REF_REGISTRY);
		assert_int_equal(image_ref_parse(ref.name, &other, &e), 0);
		assert_string_equal(other.key, ref.key);
	}
	assert_string_equal(ref.repository, "docker.io/a/b");
	assert_string_equal(ref.pin, FAKE_ROOT_SHA);
}

/* a record that is damaged, or whose image is gone, is as none */
static void test_what_a_reference_means(void **state)
{
	char path[PATH_MAX], dir[PATH_MAX];
	char missing[IMAGE_REF_MAX + 1];
	struct image_reference known;
	struct image_ref ref;
	struct image img;
	struct err e = {0};

	(void)state;
	publish(ID_A);
	assert_int_equal(image_ref_parse("docker.io/a/b:1", &ref, &e), 0);
	expect_fault("docker.io/a/b:1", -ENOENT, "is not on this host");
	assert_int_equal(image_store_lookup(&store, "docker.io/a/b:1", &img, &e), -ENOENT);
	image_ref_of_missing(&e, missing);
	assert_string_equal(missing, "docker.io/a/b:1");
	assert_int_equal(image_store_refer(&store, &ref, ID_A, FAKE_ROOT_SHA, &e), 0);
	assert_true(image_store_referred(&store, &ref, &known));
	assert_int_equal(image_store_lookup(&store, "docker://docker.io/a/b:1", &img, &e), 0);
	assert_string_equal(img.id, ID_A);
	assert_string_equal(img.reference, "docker.io/a/b:1");
	assert_string_equal(img.pin, FAKE_ROOT_SHA);
	(void)fake_path(dir, store.dir, "refs");
	fake_write(dir, ref.key, "aaaa000000000001 x\n", 19);
	assert_false(image_store_referred(&store, &ref, &known));
	expect_fault("docker.io/a/b:1", -ENOENT, "is not on this host");
	assert_int_equal(image_store_refer(&store, &ref, ID_A, "", &e), 0);
	assert_int_equal(image_store_lookup(&store, ID_A, &img, &e), 0);
	assert_string_equal(img.pin, "");
	assert_int_equal(image_store_remove(&store, ID_A, &e), 0);
	(void)fake_path(path, dir, ref.key);
	assert_int_equal(access(path, F_OK), -1);
}

/* a published image again: replaced in one step, found all the time */
static void test_publish_again(void **state)
{
	struct image img;
	struct err e = {0};
	char magic[4];

	(void)state;
	assert_int_equal(image_store_lookup(&store, "default", &img, &e), 0);
	AUTO_FD running = image_open_root(&img, &e);
	assert_true(running >= 0);
	publish(ID_A);
	expect("default", ID_A);
	/* a machine that runs from the old one keeps it */
	assert_int_equal(pread(running, magic, 4, 0), 4);
	assert_memory_equal(magic, "hsqs", 4);
}

static void damage(const char *name, off_t size, const char *bytes, size_t len)
{
	char path[PATH_MAX], dir[PATH_MAX];
	int fd;

	(void)fake_path(dir, store.dir, ID_A);
	(void)fake_path(path, dir, name);
	fd = open(path, O_WRONLY);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, size), 0);
	assert_int_equal(pwrite(fd, bytes, len, 0), len);
	assert_int_equal(close(fd), 0);
}

static void test_damage(void **state)
{
	struct image *list = NULL;
	size_t n, broken;
	struct image img;
	struct err e = {0};

	(void)state;
	damage("root.img", 1000, "", 0);
	expect_fault("default", -EBADMSG, "is damaged: 1000 bytes where 1024 should be");
	assert_int_equal(image_store_list(&store, &list, &n, &broken, &e), 0);
	assert_int_equal(n, 1);
	assert_int_equal(broken, 1);
	free(list);
	damage("root.img", 1024, "XXXX", 4);
	expect_fault("default", -EBADMSG, "is damaged: it does not begin as squashfs does");
	publish(ID_A); /* the hint's advice helps */
	expect("default", ID_A);
	damage("kernel", 0, "", 0);
	expect_fault("default", -EBADMSG, "kernel' is damaged: 0 bytes");
	publish(ID_A);
	damage("modules.cpio", FAKE_CPIO_BYTES, "zzzz", 4);
	expect_fault("default", -EBADMSG, "modules.cpio' is damaged: it does not begin as a cpio");
	publish(ID_A);
	/* a byte in the middle: the cheap check cannot see it, the whole one does */
	assert_int_equal(image_store_lookup(&store, "default", &img, &e), 0);
	damage("root.img", 1024, "hsqsX", 5);
	expect("default", ID_A);
	assert_int_equal(image_store_verify(&img, &e), -EBADMSG);
	assert_non_null(strstr(e.msg, "its SHA-256 is not the one recorded"));
	publish(ID_A);
}

static void meta_fault(const char *text, const char *what)
{
	char dir[PATH_MAX];

	(void)fake_path(dir, store.dir, ID_A);
	fake_write(dir, "meta.json", text, strlen(text));
	struct image img;
	struct err e = {0};

	assert_true(image_store_lookup(&store, "default", &img, &e) < 0);
	if (!strstr(e.msg, what))
		fail_msg("got: %s\nwant: %s", e.msg, what);
}

static void test_meta(void **state)
{
	char dir[PATH_MAX];

	(void)state;
	meta_fault("", "image " ID_A);
	meta_fault("{}", "image " ID_A);
	meta_fault("[1]", "image " ID_A);
	meta_fault("{\"id\": \"../../../../etc/\"}", "image " ID_A);
	(void)fake_path(dir, store.dir, ID_A);
	fake_meta(dir, ID_B);
	expect_fault("default", -EBADMSG, "meta.json is of image " ID_B);
	fake_meta(dir, ID_A);
	expect("default", ID_A);
}

/* what was checked is what is used: a link or a pipe in an image's place is refused */
static void test_odd_files(void **state)
{
	char path[PATH_MAX], other[PATH_MAX];

	(void)state;
	(void)fake_path(path, store.dir, ID_A "/root.img");
	(void)fake_path(other, store.dir, ID_B "/root.img");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink(other, path), 0);
	expect_fault("default", -ELOOP, "root.img");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0644), 0);
	expect_fault("default", -EBADMSG, "is not a regular file"); /* and does not hang */
	publish(ID_A);
}

static void test_remove(void **state)
{
	unsigned fds = open_fds();
	struct err e = {0};

	(void)state;
	damage("root.img", 5, "", 0);
	assert_int_equal(image_store_remove(&store, "default", &e), 0); /* broken ones too */
	expect_fault("default", -ENOENT, "not found");
	expect_fault(ID_A, -ENOENT, "not found");
	expect("other", ID_B);
	assert_int_equal(image_store_remove(&store, "default", &e), -ENOENT);
	assert_int_equal(image_store_remove(&store, "aaaa", &e), 0);
	expect_fault("other", -ENOENT, "not found");
	assert_int_equal(open_fds(), fds);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_publish_and_find),
		cmocka_unit_test(test_names_are_no_paths),
		cmocka_unit_test(test_references),
		cmocka_unit_test(test_publish_again),
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_meta),
		cmocka_unit_test(test_odd_files),
		cmocka_unit_test(test_remove),
		cmocka_unit_test(test_what_a_reference_means),
	};

	return cmocka_run_group_tests(tests, setup, fake_teardown);
}
