#include "cli/env.h"
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int text(struct env_list *l, const char *s, struct err *e)
{
	return env_add_text(l, s, strlen(s), "x.env", e);
}

static void file_lines(void **state)
{
	struct env_list l = {0};
	struct err e = {0};

	(void)state;
	setenv("SBX_T_SET", "from here", 1);
	unsetenv("SBX_T_NONE");
	assert_int_equal(text(&l,
				 "\xef\xbb\xbf# comment\n\nA=1\r\n  B= two words \nC=\"q\"\n"
				 "SBX_T_SET\nSBX_T_NONE\nE=\nF==x=#y\nA=2\nLAST=no newline",
				 &e),
		0);
	assert_int_equal(l.n, 7);
	assert_string_equal(l.v[0].text, "A=2");
	assert_string_equal(l.v[1].text, "B= two words ");
	assert_string_equal(l.v[2].text, "C=\"q\"");
	assert_string_equal(l.v[3].text, "SBX_T_SET=from here");
	assert_string_equal(l.v[4].text, "E=");
	assert_string_equal(l.v[5].text, "F==x=#y");
	assert_string_equal(l.v[6].text, "LAST=no newline");
	env_fini(&l);
	env_fini(&l);
}

static void flag_beats_file(void **state)
{
	struct env_list l = {0};
	struct err e = {0};

	(void)state;
	assert_int_equal(env_add(&l, "A=flag", &e), 0);
	assert_int_equal(text(&l, "A=file\nB=file\n", &e), 0);
	assert_int_equal(env_add(&l, "B=flag", &e), 0);
	assert_int_equal(env_add(&l, "B=later", &e), 0);
	assert_int_equal(l.n, 2);
	assert_string_equal(l.v[0].text, "A=flag");
	assert_string_equal(l.v[1].text, "B=later");
	env_fini(&l);
}

static void refused(void **state)
{
	static const char *const bad[] = {"=x", "", "1A=x", "A B=x", "A\t=x", "\xc3\xa4=x",
		"A=\x1b[31m", "A=\xff", "A\x7f=1", "A=a\rb"};
	struct env_list l = {0};
	struct err e = {0};
	char many[] = "V00000=1";

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(env_add(&l, bad[i], &e), -22);
	assert_int_equal(l.n, 0);
	assert_int_equal(text(&l, "A=1\n\n  =bad\n", &e), -22);
	assert_non_null(strstr(e.msg, "x.env: line 3"));
	assert_int_equal(env_add_text(&l, "A=1\0B=2", 7, "x.env", &e), -22);
	assert_int_equal(env_add_file(&l, "/nonexistent/x", &e), -2);
	env_fini(&l);
	for (unsigned i = 0; i < ENV_VARS_MAX + 5; i++) {
		(void)snprintf(many, sizeof(many), "V%05u", i);
		setenv(many, "", 1);
		assert_int_equal(env_add(&l, many, &e), i < ENV_VARS_MAX ? 0 : -E2BIG);
	}
	assert_int_equal(l.n, ENV_VARS_MAX);
	assert_int_equal(e.code, ERR_LIMIT);
	env_fini(&l);
}

static void whole_file(void **state)
{
	char path[] = "/tmp/sbx-env-XXXXXX";
	struct env_list l = {0};
	struct err e = {0};
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "A=b\n", 4), 4);
	assert_int_equal(env_add_file(&l, path, &e), 0);
	assert_string_equal(l.v[0].text, "A=b");
	env_fini(&l);
	assert_int_equal(ftruncate(fd, ENV_FILE_MAX + 1), 0);
	e = (struct err){0};
	assert_true(env_add_file(&l, path, &e) < 0);
	assert_non_null(strstr(e.msg, path));
	close(fd);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(file_lines),
		cmocka_unit_test(flag_beats_file), cmocka_unit_test(refused),
		cmocka_unit_test(whole_file)};

	return cmocka_run_group_tests_name("cli/env", tests, NULL, NULL);
}
