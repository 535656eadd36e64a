/* test_log.c - one record is one line, whatever is in it, and a flood is cut and counted */
#include "check.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

static int out[2];

static int setup(void **state)
{
	(void)state;
	if (pipe2(out, O_CLOEXEC | O_NONBLOCK) < 0)
		return -1;
	if (fcntl(out[1], F_SETPIPE_SZ, 1 << 20) < 0)
		return -1;
	log_set_fd(out[1]);
	log_set_level(LOG_INFO);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	log_set_fd(2);
	close(out[0]);
	close(out[1]);
	return 0;
}

static size_t said(char *dst, size_t cap)
{
	size_t n = 0;
	ssize_t k;

	while ((k = read(out[0], dst + n, cap - 1 - n)) > 0)
		n += (size_t)k;
	dst[n] = '\0';
	return n;
}

static unsigned lines(const char *s)
{
	unsigned n = 0;

	for (; *s; s++)
		n += *s == '\n';
	return n;
}

static void test_one_record_one_line(void **state)
{
	char text[4096];

	(void)state;
	errno = ENOENT;
	log_info("from '%s'", "a\nb\x1b[2J\u202e");
	assert_int_equal(errno, ENOENT);
	said(text, sizeof(text));
	assert_int_equal(lines(text), 1);
	assert_non_null(strstr(text, " info: from 'a\\nb\\x1b[2J\\u{202e}'\n"));
}

static void test_a_long_record_is_cut(void **state)
{
	char big[8192], text[16384];
	size_t n;

	(void)state;
	memset(big, '\x1b', sizeof(big) - 1); /* each byte grows fourfold */
	big[sizeof(big) - 1] = '\0';
	log_info("%s", big);
	n = said(text, sizeof(text));
	assert_in_range(n, 1000, 1500);
	assert_int_equal(lines(text), 1);
	assert_int_equal(text[n - 1], '\n');
	assert_null(strchr(text, '\x1b'));
}

static void test_level(void **state)
{
	char text[4096];

	(void)state;
	log_debug("quiet");
	assert_int_equal(said(text, sizeof(text)), 0);
	log_set_level(LOG_DEBUG);
	log_debug("loud");
	assert_non_null((said(text, sizeof(text)), strstr(text, "debug: loud")));
	log_set_level(LOG_ERROR);
	log_warn("quiet");
	assert_int_equal(said(text, sizeof(text)), 0);
}

static void next_second(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	t = (struct timespec){.tv_nsec = 1000000000 - t.tv_nsec};
	if (t.tv_nsec >= 1000000000)
		t = (struct timespec){.tv_sec = 1};
	nanosleep(&t, NULL);
	t = (struct timespec){.tv_nsec = 5000000};
	nanosleep(&t, NULL);
}

static void test_a_flood_is_cut_and_counted(void **state)
{
	static char text[1 << 20];
	unsigned long dropped = 0;
	unsigned shown;
	char *at;

	(void)state;
	next_second();
	for (int i = 0; i < 1000; i++)
		log_info("flood");
	next_second();
	log_info("after");
	said(text, sizeof(text));
	shown = lines(text);
	/* The loop may have crossed a second on a slow machine; nothing may be lost uncounted. */
	for (at = text; (at = strstr(at, " lines dropped)")); at++) {
		char *from = at;

		while (from > text && from[-1] != '(')
			from--;
		dropped += strtoul(from, NULL, 10);
	}
	assert_int_equal(shown + dropped, 1001);
	assert_true(shown < 1001);
	assert_non_null(strstr(text, "after"));
}

static void *writer(void *arg)
{
	(void)arg;
	for (int i = 0; i < 40; i++)
		log_info("thread");
	return NULL;
}

static void test_threads_do_not_mix_lines(void **state)
{
	static char text[1 << 20];
	pthread_t t[4];
	unsigned n = 0;

	(void)state;
	next_second();
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		assert_int_equal(pthread_create(&t[i], NULL, writer, NULL), 0);
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		assert_int_equal(pthread_join(t[i], NULL), 0);
	said(text, sizeof(text));
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"), n++)
		assert_string_equal(strchr(line, 'Z'), "Z test info: thread");
	assert_int_equal(n, 160);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_one_record_one_line, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_long_record_is_cut, setup, teardown),
		cmocka_unit_test_setup_teardown(test_level, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_flood_is_cut_and_counted, setup, teardown),
		cmocka_unit_test_setup_teardown(test_threads_do_not_mix_lines, setup, teardown),
	};

	log_init("test");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
