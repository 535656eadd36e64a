/* test_keyring.c - the helper's protocol, and a client that no helper can hold up or lie to */
#include "check.h"
#include "base/clock.h"
#include "keyring/client.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void there_and_back(void **state)
{
	struct keyring_message m = {.code = KEYRING_PUT, .wait_s = 7, .id = ID, .value = "v w"},
			       back;
	uint8_t bytes[KEYRING_BYTES_MAX];
	size_t len = keyring_put(&m, false, bytes);
	(void)state;

	assert_int_not_equal(len, 0);
	assert_true(keyring_get(bytes, len, false, &back));
	assert_memory_equal(&m, &back, sizeof(m));
	for (size_t n = 0; n < len; n++)
		assert_false(keyring_get(bytes, n, false, &back));
	bytes[len] = 0;
	assert_false(keyring_get(bytes, len + 1, false, &back));
	/* each byte of the head means something */
	for (size_t i = 0; i < 8; i++) {
		bytes[i] ^= 0x40;
		assert_false(keyring_get(bytes, len, false, &back));
		bytes[i] ^= 0x40;
	}
	m = (struct keyring_message){.code = KEYRING_LOCKED, .text = "why"};
	len = keyring_put(&m, true, bytes);
	assert_true(keyring_get(bytes, len, true, &back));
	assert_string_equal(back.text, "why");
}

static void no_such_message(void **state)
{
	static const struct keyring_message bad[] = {{.code = KEYRING_GET, .wait_s = 1},
		{.code = KEYRING_GET, .wait_s = 1, .id = "ab"}, {.code = KEYRING_GET, .id = ID},
		{.code = KEYRING_GET, .wait_s = 301, .id = ID},
		{.code = KEYRING_GET, .wait_s = 1, .id = ID, .value = "x"},
		{.code = KEYRING_PUT, .wait_s = 1, .id = ID},
		{.code = KEYRING_PUT, .wait_s = 1, .id = ID, .value = "a\nb"},
		{.code = KEYRING_PROBE, .wait_s = 1, .id = ID}, {.code = 0, .wait_s = 1, .id = ID},
		{.code = KEYRING_DROP + 1, .wait_s = 1, .id = ID},
		{.code = KEYRING_DROP, .wait_s = 1, .flags = 1, .id = ID}};
	uint8_t bytes[KEYRING_BYTES_MAX];
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(keyring_put(&bad[i], false, bytes), 0);
	assert_int_equal(
		keyring_put(&(struct keyring_message){.code = KEYRING_RESULTS}, true, bytes), 0);
}

/* with_helper() - a program with these lines of shell answers; what the client makes of it */
static int with_helper(
	const char *lines, enum keyring_op op, struct keyring_message *m, struct err *e)
{
	char path[] = "/tmp/sbx-helper-XXXXXX";
	int fd = mkstemp(path), r;

	assert_true(fd >= 0);
	assert_true(dprintf(fd, "#!/bin/sh\n%s\n", lines) > 0);
	assert_int_equal(fchmod(fd, 0700), 0);
	close(fd);
	r = keyring_ask(
		path, op, op == KEYRING_PROBE ? "" : ID, op == KEYRING_PUT ? "v" : "", m, e);
	(void)unlink(path);
	return r;
}

#define ANSWER(code, value) "SBXK\\001\\00" code "\\000\\000\\000\\000\\000\\000" value "\\000\\000"

static void answers(void **state)
{
	static const struct {
		const char *lines;
		int r;
	} t[] = {
		{"cat >/dev/null; printf '" ANSWER("0", "\\003\\000abc") "'", 0},
		{"cat >/dev/null; printf '" ANSWER("1", "\\000\\000") "'", -ENOENT},
		{"cat >/dev/null; printf '" ANSWER("2", "\\000\\000") "'", -ENODEV},
		{"cat >/dev/null; printf '" ANSWER("3", "\\000\\000") "'", -ENODEV},
		{"cat >/dev/null; printf '" ANSWER("4", "\\000\\000") "'", -ENODEV},
		{"cat >/dev/null; printf '" ANSWER("5", "\\000\\000") "'", -EKEYREJECTED},
		{"cat >/dev/null; printf '" ANSWER("6", "\\000\\000") "'", -ETIMEDOUT},
		{"cat >/dev/null; printf '" ANSWER("7", "\\000\\000") "'", -EIO},
		{"cat >/dev/null", -EIO},
		{"exit 1", -EIO},
		{"cat >/dev/null; printf '" ANSWER("0", "\\377\\377abc") "'", -EIO},
		{"cat >/dev/null; head -c 100000 /dev/zero", -EIO},
		{"cat >/dev/null; printf '" ANSWER("0", "\\003\\000abc") "x'", -EIO},
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct keyring_message m;
		struct err e = {0};
		int r = with_helper(t[i].lines, KEYRING_GET, &m, &e);

		/* one that does not read may be gone before it was asked */
		if (r != t[i].r && !(strcmp(t[i].lines, "exit 1") == 0 && r < 0))
			fail_msg("%s: %d, %s", t[i].lines, r, e.msg);
		if (r == 0)
			assert_string_equal(m.value, "abc");
		else
			assert_int_not_equal(e.code, ERR_NONE);
	}
}

static void the_environment_is_clean(void **state)
{
	struct keyring_message m;
	struct err e = {0};
	(void)state;

	assert_int_equal(setenv("SBX_TEST_LEAK", "1", 1), 0);
	assert_int_equal(setenv("LD_PRELOAD", "", 1), 0);
	assert_int_equal(setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nowhere", 1), 0);
	/* it answers "yes" only when it sees the one and not the other */
	assert_int_equal(with_helper("cat >/dev/null; [ -z \"$SBX_TEST_LEAK\" ] && "
				     "[ \"$DBUS_SESSION_BUS_ADDRESS\" = unix:path=/nowhere ] && "
				     "[ \"$(ls /proc/self/fd | wc -l)\" -le 5 ] && "
				     "printf '" ANSWER("0", "\\003\\000yes") "'",
				 KEYRING_GET, &m, &e),
		0);
	assert_string_equal(m.value, "yes");
}

static void one_that_hangs_is_ended(void **state)
{
	struct keyring_message m;
	struct err e = {0};
	int64_t from = clock_ms();
	(void)state;

	assert_int_equal(with_helper("sleep 600", KEYRING_PROBE, &m, &e), -ETIMEDOUT);
	assert_true(clock_ms() - from >= KEYRING_PROBE_S * 1000);
	assert_int_equal(e.code, ERR_TIMEOUT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(there_and_back),
		cmocka_unit_test(no_such_message),
		cmocka_unit_test(answers),
		cmocka_unit_test(the_environment_is_clean),
		cmocka_unit_test(one_that_hangs_is_ended),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
