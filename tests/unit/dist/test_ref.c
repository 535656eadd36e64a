/* test_ref.c - references of registries, and which places are allowed */
#include "check.h"
#include "dist/ref.h"
#include "kit/source.h"
#include <errno.h>
#include <string.h>

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void test_canonical(void **state)
{
	static const struct {
		const char *text, *place, *tag, *digest;
	} all[] = {
		{"oci://ghcr.io/acme/lint", "ghcr.io/acme/lint", "latest", ""},
		{"ghcr.io/acme/lint:1.2", "ghcr.io/acme/lint", "1.2", ""},
		{"GHCR.IO/acme/lint:V_1", "ghcr.io/acme/lint", "V_1", ""},
		{"ghcr.io:443/acme/lint:1", "ghcr.io/acme/lint", "1", ""},
		{"ghcr.io:8443/acme/lint:1", "ghcr.io:8443/acme/lint", "1", ""},
		{"ghcr.io/a/b@sha256:" HEX, "ghcr.io/a/b", "", HEX},
		{"oci://ghcr.io/a/b:t@sha256:" HEX, "ghcr.io/a/b", "t", HEX},
		{"docker.io/lint:1", "docker.io/library/lint", "1", ""},
		{"index.docker.io/lint:1", "docker.io/library/lint", "1", ""},
		{"Registry-1.Docker.io:443/acme/lint:1", "docker.io/acme/lint", "1", ""},
		{"registry.hub.docker.com/library/lint:1", "docker.io/library/lint", "1", ""},
		{"localhost/k:1", "localhost/k", "1", ""},
		{"127.0.0.1:5000/a__b/c--d.e:1", "127.0.0.1:5000/a__b/c--d.e", "1", ""},
		{"[::1]:5000/k:1", "[::1]:5000/k", "1", ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		struct dist_ref r, again;
		struct kit_ref kit;
		char place[DIST_PLACE_MAX], origin[1024];
		struct err e = {0};

		if (dist_ref_parse(all[i].text, &r, &e) < 0)
			fail_msg("%s", e.msg);
		assert_int_equal(dist_place_ref(&r, place, &e), 0);
		assert_string_equal(place, all[i].place);
		assert_string_equal(r.tag, all[i].tag);
		assert_string_equal(r.digest, all[i].digest);
		/* it is one for kit/source.h, too, and its origin is the same place again */
		assert_int_equal(kit_ref_parse(all[i].text, &kit, &e), 0);
		assert_int_equal(kit.kind, KIT_OCI);
		assert_int_equal(dist_ref_origin(&r, origin, sizeof(origin)), 0);
		assert_int_equal(dist_ref_parse(origin, &again, &e), 0);
		assert_string_equal(again.registry, r.registry);
		assert_string_equal(again.repository, r.repository);
	}
}

static void test_refused(void **state)
{
	static const char *const all[] = {
		"",
		"oci://",
		"oci://a",
		"oci:///a",
		"ghcr.io",
		"ghcr.io/",
		"ghcr.io//a:1",
		"ghcr.io/a/:1",
		"ghcr.io/A:1",
		"ghcr.io/a b:1",
		"ghcr.io/../a:1",
		"ghcr.io/./a:1",
		"ghcr.io/a..b:1",
		"ghcr.io/a.:1",
		"ghcr.io/-a:1",
		"ghcr.io/a:",
		"ghcr.io/a:-x",
		"ghcr.io/a:x y",
		"ghcr.io/a@sha256:12",
		"ghcr.io/a@sha512:" HEX,
		"ghcr.io/a@sha256:" HEX "0",
		"ghcr.io/a:1:2",
		"ghcr.io./a:1",
		"ghcr..io/a:1",
		"-ghcr.io/a:1",
		"ghcr-.io/a:1",
		"gh_cr.io/a:1",
		"gh%63r.io/a:1",
		"user@ghcr.io/a:1",
		"ghcr.io:/a:1",
		"ghcr.io:0443/a:1",
		"ghcr.io:99999999/a:1",
		"ghcr.io:x/a:1",
		"xn--ghcr-abc.io/a:1",
		"a.xn--p1ai/a:1",
		"gh\xd1\x81r.io/a:1",
		"ghcr.io/\xd0\xb0:1",
		"ghcr.io\t/a:1",
		"[::1/a:1",
		"[ghcr.io]/a:1",
		"ghcr.io/a?b:1",
		"ghcr.io/a#b:1",
		"ghcr.io\\@evil.io/a:1",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		struct dist_ref r = {.tag = "untouched"};
		struct err e = {0};

		if (dist_ref_parse(all[i], &r, &e) == 0)
			fail_msg("taken: %s", all[i]);
		assert_int_equal(e.code, ERR_INVALID);
		assert_string_equal(r.tag, "untouched");
	}
}

/* what a word means: a path that looks a little like a reference stays one */
static void test_kinds(void **state)
{
	static const struct {
		const char *text;
		enum kit_source_kind kind;
	} all[] = {
		{"./ghcr.io/a:1", KIT_DIRECTORY},
		{"/ghcr.io/a:1", KIT_DIRECTORY},
		{"../a.b/c:1", KIT_DIRECTORY},
		{"ghcr.io/a", KIT_DIRECTORY},
		{"kits/lint", KIT_DIRECTORY},
		{"kits/lint:1", KIT_DIRECTORY},
		{"ghcr.io/a.zip", KIT_ZIP},
		{"oci://ghcr.io/a.zip", KIT_OCI},
		{"localhost:5000/a:1", KIT_OCI},
		{"git+https://ghcr.io/a:1", KIT_GIT},
		{"shell", KIT_BUILTIN},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		struct kit_ref r;
		struct err e = {0};

		assert_int_equal(kit_ref_parse(all[i].text, &r, &e), 0);
		if (r.kind != all[i].kind)
			fail_msg("%s is of kind %d", all[i].text, r.kind);
	}
}

static void test_git_places(void **state)
{
	static const struct {
		const char *url, *place;
	} all[] = {
		{"https://github.com/acme/kits.git", "github.com/acme/kits"},
		{"https://GitHub.com:443/acme/kits", "github.com/acme/kits"},
		{"https://github.com/Acme/kits/", "github.com/Acme/kits"},
		{"ssh://git@github.com:22/acme/kits.git", "github.com/acme/kits"},
		{"ssh://git@github.com:2222/acme/kits.git", "github.com:2222/acme/kits"},
		{"https://github.com:22/a/b", "github.com:22/a/b"},
		{"https://github.com/a%2e%2e/b", NULL},
		{"https://github.com/a/../b", NULL},
		{"https://github.com/a/./b", NULL},
		{"https://github.com/a/..", NULL},
		{"https://github.com//a", NULL},
		{"https://github.com/", NULL},
		{"https://github.com", NULL},
		{"https://xn--gthub-n4a.com/a/b", NULL},
		{"https://github.com./a/b", NULL},
		{"https://github.com/a@b/c", NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		char place[DIST_PLACE_MAX];
		struct err e = {0};
		int r = dist_place_git(all[i].url, place, &e);

		if ((r == 0) != (all[i].place != NULL))
			fail_msg("%s: %d %s", all[i].url, r, e.msg);
		if (r == 0)
			assert_string_equal(place, all[i].place);
	}
}

static void test_allowed(void **state)
{
	static const struct {
		const char *list, *place;
		int r;
	} all[] = {
		{"[\"*\"]", "anything.example/x", 0},
		{"[]", "docker.io/library/x", -EACCES},
		{"[\"docker.io/\"]", "docker.io/library/x", 0},
		{"[\"docker.io\"]", "docker.io/library/x", 0},
		{"[\"DOCKER.io:443\"]", "docker.io/acme/x", 0},
		{"[\"index.docker.io/acme\"]", "docker.io/acme/x", 0},
		{"[\"docker.io/acme\"]", "docker.io/acme/x", 0},
		{"[\"docker.io/acme/\"]", "docker.io/acme/x", 0},
		{"[\"docker.io/acme/x\"]", "docker.io/acme/x", 0},
		{"[\"docker.io/acme\"]", "docker.io/acme-evil/x", -EACCES},
		{"[\"docker.io/acme\"]", "docker.io/acmex/y", -EACCES},
		{"[\"docker.io/acme/x\"]", "docker.io/acme", -EACCES},
		{"[\"docker.io\"]", "docker.io:5000/x", -EACCES},
		{"[\"docker.io\"]", "docker.io.evil.example/x", -EACCES},
		{"[\"docker.io\"]", "evil.docker.io/x", -EACCES},
		{"[\"github.com/acme\"]", "github.com/Acme/x", -EACCES},
		{"[\"a.example\", \"b.example/c\"]", "b.example/c/d", 0},
		{"[\"https://docker.io/\"]", "docker.io/library/x", -EINVAL},
		{"[\"docker.io/a/../b\"]", "docker.io/b", -EINVAL},
		{"[\"d\xd0\xbe"
		 "cker.io\"]",
			"docker.io/b", -EINVAL},
		{"[\"xn--docker.io\"]", "docker.io/b", -EINVAL},
		{"[\"\"]", "docker.io/b", -EINVAL},
		{"[1]", "docker.io/b", -EINVAL},
		{"{}", "docker.io/b", -EINVAL},
		{"docker.io", "docker.io/b", -EINVAL},
		{"", "docker.io/b", -EINVAL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		struct err e = {0};
		int r = dist_places_allow(all[i].list, all[i].place, &e);

		if (r != all[i].r)
			fail_msg("%s, %s: %d %s", all[i].list, all[i].place, r, e.msg);
		assert_int_equal(dist_places_check(all[i].list, NULL), r == -EINVAL ? -EINVAL : 0);
	}
}

static void test_loopback(void **state)
{
	static const struct {
		const char *text;
		bool is;
	} all[] = {
		{"localhost:5000/a:1", true},
		{"127.0.0.1/a:1", true},
		{"127.9.9.9:1/a:1", true},
		{"[::1]:5000/a:1", true},
		{"localhost.example/a:1", false},
		{"127.evil.example/a:1", false},
		{"10.0.0.1:5000/a:1", false},
		{"localhosts/a:1", false},
		{"[::12]/a:1", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		struct dist_ref r;
		struct err e = {0};

		assert_int_equal(dist_ref_parse(all[i].text, &r, &e), 0);
		if (dist_ref_loopback(&r) != all[i].is)
			fail_msg("%s", all[i].text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_canonical),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_git_places),
		cmocka_unit_test(test_allowed),
		cmocka_unit_test(test_loopback),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
