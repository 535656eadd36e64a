/* test_console.c - the console log stays within its size and keeps the end */
#include "check.h"
#include "base/io.h"
#include "machine/console.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define MAX_BYTES (64u << 10)

struct fixture {
	struct loop *loop;
	struct console console;
	int file, guest;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	char name[] = "/tmp/sbx-console-XXXXXX";
	int pair[2];

	assert_non_null(f);
	f->loop = loop_new();
	f->file = mkstemp(name);
	assert_true(f->loop && f->file >= 0);
	(void)unlink(name);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	f->guest = pair[1];
	assert_int_equal(console_open(&f->console, f->loop, pair[0], f->file, MAX_BYTES), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	console_close(&f->console);
	loop_free(f->loop);
	close(f->file);
	if (f->guest >= 0)
		close(f->guest);
	free(f);
	return 0;
}

static void print(struct fixture *f, const char *text, size_t len)
{
	assert_int_equal(send(f->guest, text, len, 0), (ssize_t)len);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(loop_once(f->loop, 0), 0);
}

static void test_lines_and_tail(void **state)
{
	struct fixture *f = *state;
	char line[80], text[64] = "";

	print(f, "first\r\nKernel panic - not syncing\r\nlast one\r\n\r\n", 47);
	console_last_line(&f->console, line, sizeof(line));
	assert_string_equal(line, "last one");
	assert_non_null(console_find(&f->console, "Kernel panic", line, sizeof(line)));
	assert_string_equal(line, "Kernel panic - not syncing");
	assert_null(console_find(&f->console, "Oops", line, sizeof(line)));
	assert_int_equal(pread(f->file, text, 47, 0), 47);
	assert_memory_equal(text, "first\r\n", 7);
	console_last_line(&f->console, line, 5);
	assert_string_equal(line, "last");
}

static void test_stays_within_its_size(void **state)
{
	struct fixture *f = *state;
	char line[128], all[MAX_BYTES + 1] = "";
	struct stat st;
	int i, n;

	for (i = 0; i < 20000; i++) {
		n = snprintf(line, sizeof(line), "line %06d of a guest that never stops\n", i);
		print(f, line, (size_t)n);
		if (i % 1000 == 0) {
			assert_int_equal(fstat(f->file, &st), 0);
			assert_true(st.st_size <= MAX_BYTES);
		}
	}
	assert_int_equal(fstat(f->file, &st), 0);
	assert_true(st.st_size <= MAX_BYTES && st.st_size >= MAX_BYTES / 2);
	n = (int)pread(f->file, all, MAX_BYTES, 0);
	assert_int_equal(n, st.st_size);
	assert_non_null(strstr(all, "line 019999 of"));
	assert_non_null(strstr(all, "line 019500 of"));
	assert_null(strstr(all, "line 000001 of"));
}

static void test_end_of_the_guest(void **state)
{
	struct fixture *f = *state;

	own_close_fd(&f->guest);
	assert_int_equal(loop_once(f->loop, 0), 0);
	assert_null(f->console.src);
	/* an idle loop: the end is not reported over and over */
	assert_int_equal(loop_once(f->loop, 0), 0);
	console_close(&f->console);
	assert_int_equal(f->console.from_fd, -1);
}

static void test_refuses_what_is_no_file(void **state)
{
	struct fixture *f = *state;
	struct console c;
	int p[2];

	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	assert_int_equal(console_open(&c, f->loop, p[0], p[1], MAX_BYTES), -EINVAL);
	close(p[0]);
	close(p[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_lines_and_tail, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stays_within_its_size, setup, teardown),
		cmocka_unit_test_setup_teardown(test_end_of_the_guest, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refuses_what_is_no_file, setup, teardown),
	};

	return cmocka_run_group_tests_name("machine_console", tests, NULL, NULL);
}
