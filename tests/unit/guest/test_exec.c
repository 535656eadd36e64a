/* test_exec.c - commands from EXEC to EXIT, with real programs */
#include "rig.h"
#include "base/clock.h"
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <fcntl.h>
#include <cmocka.h>

static void test_streams(void **state)
{
	struct result res;

	rig_run(*state, "echo out; echo err >&2; exit 3", 0, NULL, &res);
	assert_true(res.exited);
	assert_true(res.pid > 1);
	assert_int_equal(res.exit.code, 3);
	assert_int_equal(res.exit.signal, 0);
	assert_string_equal(buf_str(&res.out), "out\n");
	assert_string_equal(buf_str(&res.err), "err\n");
	result_fini(&res);
}

static void test_exit_codes(void **state)
{
	char script[64];

	for (unsigned code = 0; code < 256; code += code < 4 || code > 250 ? 1 : 27) {
		struct result res;

		(void)snprintf(script, sizeof(script), "exit %u", code);
		rig_run(*state, script, 0, NULL, &res);
		assert_true(res.exited);
		assert_int_equal(res.exit.code, code);
		result_fini(&res);
	}
	for (int sig = SIGHUP; sig <= SIGTERM; sig += SIGKILL - SIGHUP) {
		struct result res;

		(void)snprintf(script, sizeof(script), "kill -%d $$", sig);
		rig_run(*state, script, 0, NULL, &res);
		assert_true(res.exited);
		assert_int_equal(res.exit.signal, sig);
		assert_int_equal(res.exit.code, 128 + sig);
		result_fini(&res);
	}
}

static void test_input(void **state)
{
	static char big[300000];
	struct result res;

	rig_run(*state, "cat", 0, "hello\n", &res);
	assert_string_equal(buf_str(&res.out), "hello\n");
	assert_int_equal(res.exit.code, 0);
	result_fini(&res);
	rig_run(*state, "wc -c", 0, "", &res); /* nothing but the end */
	assert_int_equal(atoi(buf_str(&res.out)), 0);
	assert_true(res.exited);
	result_fini(&res);
	/* without the flag, input ends at once */
	rig_run(*state, "cat; echo done", 0, NULL, &res);
	assert_string_equal(buf_str(&res.out), "done\n");
	result_fini(&res);
	/* more than the credit, through a command that is slow to read */
	memset(big, 'x', sizeof(big) - 1);
	rig_run(*state, "sleep 0.2; cat | wc -c", 0, big, &res);
	assert_int_equal(atoi(buf_str(&res.out)), sizeof(big) - 1);
	result_fini(&res);
	/* a command that does not read its input */
	rig_run(*state, "exec <&-; sleep 0.3; echo ok", 0, big, &res);
	assert_string_equal(buf_str(&res.out), "ok\n");
	result_fini(&res);
}

static void test_more_than_credit(void **state)
{
	static const char *const argv[] = {"sleep", "100", NULL};
	static char junk[FRAME_DATA_MAX];
	struct peer p;
	struct frame f;
	uint32_t pid;

	peer_open(*state, &p);
	peer_exec(&p, argv, AGENT_EXEC_STDIN, NULL);
	f = peer_expect(&p, FRAME_STARTED);
	assert_int_equal(agent_get_u32(&f, &pid), PROTO_OK);
	(void)peer_expect(&p, FRAME_CREDIT);
	assert_int_equal(frame_add(&p.out, FRAME_STDIN, junk, sizeof(junk)), 0);
	assert_int_equal(frame_add(&p.out, FRAME_STDIN, junk, 1), 0);
	peer_flush(&p);
	/* 64 KiB fit the credit and (mostly) the pipe; what is not granted ends the stream */
	assert_int_equal(frame_add(&p.out, FRAME_STDIN, junk, sizeof(junk)), 0);
	assert_int_equal(frame_add(&p.out, FRAME_STDIN, junk, sizeof(junk)), 0);
	peer_flush(&p);
	while (peer_next(&p, &f))
		assert_int_equal(f.type, FRAME_CREDIT);
	peer_close(&p);
	for (int i = 0; i < 500 && kill((pid_t)pid, 0) == 0; i++)
		rig_turn(*state, 10);
	assert_int_equal(kill((pid_t)pid, 0), -1); /* SIGHUP reached it */
}

static void test_big_output_slow_reader(void **state)
{
	static const char *const argv[] = {"/bin/sh", "-c",
		"i=0; while [ $i -lt 200 ]; do head -c 50000 /dev/zero; i=$((i+1)); done; echo end "
		">&2",
		NULL};
	struct rig *r = *state;
	struct result res;
	struct peer p;

	peer_open(r, &p);
	peer_exec(&p, argv, 0, NULL);
	for (int i = 0; i < 50; i++) /* nobody reads */
		rig_turn(r, 10);
	peer_collect(&p, NULL, 0, &res);
	assert_int_equal(res.out.len, 200 * 50000);
	assert_string_equal(buf_str(&res.err), "end\n");
	assert_int_equal(res.exit.code, 0);
	result_fini(&res);
	peer_close(&p);
}

static void test_background_child_holds_pipe(void **state)
{
	struct result res;
	int64_t start = clock_ms();

	rig_run(*state, "sleep 5 & echo first; (sleep 0.05; echo late) & exit 7", 0, NULL, &res);
	assert_true(clock_ms() - start < 4000);
	assert_int_equal(res.exit.code, 7);
	assert_string_equal(buf_str(&res.out), "first\nlate\n");
	result_fini(&res);
}

static int error_of(struct rig *r, const char *const *argv, char text[256])
{
	struct result res;
	struct peer p;
	int error;

	peer_open(r, &p);
	peer_exec(&p, argv, 0, NULL);
	peer_collect(&p, NULL, 0, &res);
	assert_false(res.exited);
	assert_int_equal(res.pid, 0);
	error = res.error;
	strcpy(text, res.text);
	result_fini(&res);
	peer_close(&p);
	return error;
}

static void test_cannot_start(void **state)
{
	char dir[] = "/tmp/sbx-exec-XXXXXX", path[128], text[256];
	const char *missing[] = {"no-such-command-here", NULL};
	const char *absent[] = {"/no/such/file", NULL};
	const char *empty[] = {"", NULL};
	const char *folder[] = {"/tmp", NULL};
	const char *script[] = {path, NULL};
	int fd;

	assert_int_equal(error_of(*state, missing, text), ENOENT);
	assert_non_null(strstr(text, "no-such-command-here"));
	assert_int_equal(error_of(*state, absent, text), ENOENT);
	assert_int_equal(error_of(*state, empty, text), ENOENT);
	assert_int_equal(error_of(*state, folder, text), EACCES);
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/script", dir);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "echo hi\n", 8), 8);
	close(fd);
	assert_int_equal(error_of(*state, script, text), EACCES);
	assert_int_equal(chmod(path, 0755), 0);
	assert_int_equal(error_of(*state, script, text), ENOEXEC);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(dir), 0);
}

static void test_arguments(void **state)
{
	const char *argv[1003] = {"/bin/sh", "-c", "for a; do printf '<%s>' \"$a\"; done | wc -c",
		"sh", "", "a b", "\n"};
	static char wide[100001];
	struct result res;
	struct peer p;

	for (int i = 7; i < 1001; i++)
		argv[i] = "x";
	memset(wide, 'w', sizeof(wide) - 1);
	argv[1001] = wide;
	argv[1002] = NULL;
	peer_open(*state, &p);
	peer_exec(&p, argv, 0, NULL);
	peer_collect(&p, NULL, 0, &res);
	assert_int_equal(res.exit.code, 0);
	assert_int_equal(atoi(buf_str(&res.out)), 2 + 5 + 3 + 994 * 3 + 2 + (int)sizeof(wide) - 1);
	result_fini(&res);
	peer_close(&p);
}

static void test_environment_and_place(void **state)
{
	struct agent_exec *m = calloc(1, sizeof(*m));
	char *argv[] = {(char *)(uintptr_t) "/bin/sh", (char *)(uintptr_t) "-c",
		(char *)(uintptr_t) "pwd; echo $A-$B-${LOGNAME-none}-$HOME; ulimit -n; umask"};
	char *env[] = {(char *)(uintptr_t) "A=1", (char *)(uintptr_t) "B=2",
		(char *)(uintptr_t) "A=3", (char *)(uintptr_t) "junk",
		(char *)(uintptr_t) "LOGNAME"}; /* without it */
	struct result res;
	struct peer p;

	assert_non_null(m);
	m->argv = (struct agent_strv){.v = argv, .n = 3};
	m->env = (struct agent_strv){.v = env, .n = 5};
	strcpy(m->cwd, "/usr");
	peer_open(*state, &p);
	assert_int_equal(agent_put_exec(&p.out, m), 0);
	peer_flush(&p);
	peer_collect(&p, NULL, 0, &res);
	assert_int_equal(strncmp(buf_str(&res.out), "/usr\n3-2-none-", 14), 0);
	result_fini(&res);
	peer_close(&p);
	strcpy(m->cwd, "/no/such/place");
	peer_open(*state, &p);
	assert_int_equal(agent_put_exec(&p.out, m), 0);
	peer_flush(&p);
	peer_collect(&p, NULL, 0, &res);
	assert_int_equal(res.error, ENOENT);
	assert_non_null(strstr(res.text, "/no/such/place"));
	result_fini(&res);
	peer_close(&p);
	free(m);
}

static void test_signals(void **state)
{
	static const char *const argv[] = {"/bin/sh", "-c",
		"trap 'echo got; exit 5' TERM; echo ready; while :; do sleep 0.05; done", NULL};
	struct result res;
	struct peer p;

	peer_open(*state, &p);
	peer_exec(&p, argv, 0, NULL);
	(void)peer_expect(&p, FRAME_STARTED);
	(void)peer_expect(&p, FRAME_STDOUT);
	assert_int_equal(agent_put_u8(&p.out, FRAME_SIGNAL, SIGTERM), 0);
	peer_flush(&p);
	peer_collect(&p, NULL, 0, &res);
	assert_string_equal(buf_str(&res.out), "got\n");
	assert_int_equal(res.exit.code, 5);
	result_fini(&res);
	peer_close(&p);

	peer_open(*state, &p);
	peer_exec(&p, argv, 0, NULL);
	(void)peer_expect(&p, FRAME_STARTED);
	assert_int_equal(agent_put_u8(&p.out, FRAME_SIGNAL, 0), 0); /* is no signal */
	peer_flush(&p);
	peer_collect(&p, NULL, 0, &res);
	assert_false(res.exited);
	result_fini(&res);
	peer_close(&p);
}

static void test_hangup_kills_what_ignores_it(void **state)
{
	static const char *const argv[] = {
		"/bin/sh", "-c", "trap '' HUP TERM; echo x; while :; do sleep 0.1; done", NULL};
	struct peer p;
	struct frame f;
	uint32_t pid;
	int64_t start;

	peer_open(*state, &p);
	peer_exec(&p, argv, 0, NULL);
	f = peer_expect(&p, FRAME_STARTED);
	assert_int_equal(agent_get_u32(&f, &pid), PROTO_OK);
	(void)peer_expect(&p, FRAME_STDOUT);
	start = clock_ms();
	peer_close(&p);
	while (kill((pid_t)pid, 0) == 0 && clock_ms() - start < 10000)
		rig_turn(*state, 20);
	assert_true(clock_ms() - start >= GUEST_HANGUP_MS - 100);
	assert_int_equal(kill((pid_t)pid, 0), -1);
}

static void test_thousand(void **state)
{
	unsigned fds = rig_count_fds();

	for (int i = 0; i < 1000; i++) {
		static const char *const argv[] = {"/bin/true", NULL};
		struct result res;
		struct peer p;

		peer_open(*state, &p);
		peer_exec(&p, argv, i % 2 ? AGENT_EXEC_STDIN : 0, NULL);
		peer_collect(&p, NULL, 0, &res);
		assert_true(res.exited);
		assert_int_equal(res.exit.code, 0);
		result_fini(&res);
		peer_close(&p);
	}
	for (int i = 0; i < 20; i++)
		rig_turn(*state, 1);
	assert_int_equal(rig_count_fds(), fds);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, rig_start, rig_stop)
		T(test_streams),
		T(test_exit_codes),
		T(test_input),
		T(test_more_than_credit),
		T(test_big_output_slow_reader),
		T(test_background_child_holds_pipe),
		T(test_cannot_start),
		T(test_arguments),
		T(test_environment_and_place),
		T(test_signals),
		T(test_hangup_kills_what_ignores_it),
		T(test_thousand),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
