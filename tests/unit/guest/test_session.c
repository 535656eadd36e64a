/* test_session.c - terminals, and commands that outlive their client */
#include "rig.h"
#include "base/clock.h"
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <cmocka.h>

#define TTY (AGENT_EXEC_TTY | AGENT_EXEC_STDIN)

/* wait_for() - read frames until the output so far holds @text; fails at the end of the stream */
static void wait_for(struct peer *p, struct buf *seen, const char *text)
{
	struct frame f;

	while (!strstr(buf_str(seen), text)) {
		assert_true(peer_next(p, &f));
		if (f.type == FRAME_STDOUT)
			assert_int_equal(buf_add(seen, f.body, f.len), 0);
		else
			assert_true(f.type == FRAME_STARTED || f.type == FRAME_CREDIT);
	}
}

static void type(struct peer *p, const char *text)
{
	assert_int_equal(frame_add(&p->out, FRAME_STDIN, text, strlen(text)), 0);
	peer_flush(p);
}

static void exec_sh(struct peer *p, const char *script, uint32_t flags, const char *session)
{
	const char *argv[] = {"/bin/sh", "-c", script, NULL};

	peer_exec(p, argv, flags, session);
}

static void attach(struct rig *r, struct peer *p, const char *session, uint32_t flags)
{
	struct agent_attach m = {.flags = flags, .rows = 30, .cols = 100};

	strcpy(m.session, session);
	peer_open(r, p);
	assert_int_equal(agent_put_attach(&p->out, &m), 0);
	peer_flush(p);
}

static void test_terminal(void **state)
{
	struct result res;
	struct peer p;
	AUTO(buf) seen;

	buf_init(&seen, 1 << 20);
	peer_open(*state, &p);
	exec_sh(&p,
		"test -t 0 && test -t 1 && test -t 2 && echo all; stty size; echo $TERM; read a; "
		"echo \"<$a>\"; exit 9",
		TTY, NULL);
	wait_for(&p, &seen, "xterm-256color");
	assert_non_null(strstr(seen.data, "all\r\n24 80\r\n"));
	type(&p, "word\r");
	wait_for(&p, &seen, "<word>");
	peer_collect(&p, NULL, 0, &res);
	assert_int_equal(res.exit.code, 9);
	assert_int_equal(res.err.len, 0);
	result_fini(&res);
	peer_close(&p);
}

static void test_resize_and_interrupt(void **state)
{
	struct result res;
	struct peer p;
	AUTO(buf) seen;

	buf_init(&seen, 1 << 20);
	peer_open(*state, &p);
	exec_sh(&p,
		"trap 'stty size' WINCH; trap 'echo int; exit 4' INT; echo ready; "
		"while :; do sleep 0.05; done",
		TTY, NULL);
	wait_for(&p, &seen, "ready");
	assert_int_equal(agent_put_resize(&p.out, (struct agent_size){.rows = 50, .cols = 132}), 0);
	peer_flush(&p);
	wait_for(&p, &seen, "50 132");
	type(&p, "\003"); /* Ctrl-C goes to the foreground group, through the terminal */
	wait_for(&p, &seen, "int");
	peer_collect(&p, NULL, 0, &res);
	assert_int_equal(res.exit.code, 4);
	result_fini(&res);
	peer_close(&p);
}

static void test_terminal_end_of_input(void **state)
{
	struct result res;
	struct peer p;

	peer_open(*state, &p);
	exec_sh(&p, "cat; echo over", TTY, NULL);
	peer_collect(&p, "line\n", 5, &res);
	assert_int_equal(res.exit.code, 0);
	assert_non_null(strstr(buf_str(&res.out), "over"));
	result_fini(&res);
	peer_close(&p);
}

static void test_hangup_of_terminal(void **state)
{
	struct peer p;
	struct frame f;
	uint32_t pid;

	peer_open(*state, &p);
	exec_sh(&p, "sleep 100", TTY, NULL);
	f = peer_expect(&p, FRAME_STARTED);
	assert_int_equal(agent_get_u32(&f, &pid), PROTO_OK);
	peer_close(&p);
	for (int i = 0; i < 200 && kill((pid_t)pid, 0) == 0; i++)
		rig_turn(*state, 10);
	assert_int_equal(kill((pid_t)pid, 0), -1);
}

static void test_detach_and_attach(void **state)
{
	struct result res;
	struct peer a, b;
	AUTO(buf) seen;

	buf_init(&seen, 1 << 20);
	peer_open(*state, &a);
	exec_sh(&a, "echo first; read x; echo \"<$x>\"; read y; exit 6", TTY | AGENT_EXEC_PERSIST,
		"main");
	wait_for(&a, &seen, "first");
	peer_close(&a);
	for (int i = 0; i < 10; i++)
		rig_turn(*state, 5);

	attach(*state, &a, "main", 0);
	buf_clear(&seen);
	wait_for(&a, &seen, "first"); /* replayed */
	type(&a, "in\r");
	wait_for(&a, &seen, "<in>");

	/* a second one takes over */
	attach(*state, &b, "main", 0);
	peer_collect(&a, NULL, 0, &res);
	assert_int_equal(res.error, EBUSY);
	result_fini(&res);
	peer_close(&a);
	buf_clear(&seen);
	wait_for(&b, &seen, "<in>");
	type(&b, "bye\r");
	peer_collect(&b, NULL, 0, &res);
	assert_int_equal(res.exit.code, 6);
	result_fini(&res);
	peer_close(&b);

	/* status and output stay */
	for (int i = 0; i < 2; i++) {
		attach(*state, &a, "main", i ? AGENT_ATTACH_REPLAY : 0);
		peer_collect(&a, NULL, 0, &res);
		assert_int_equal(res.exit.code, 6);
		assert_non_null(strstr(buf_str(&res.out), "first"));
		result_fini(&res);
		peer_close(&a);
	}
	/* until the name is used again */
	peer_open(*state, &a);
	exec_sh(&a, "exit 1", AGENT_EXEC_PERSIST, "main");
	peer_collect(&a, NULL, 0, &res);
	assert_int_equal(res.exit.code, 1);
	result_fini(&res);
	peer_close(&a);
}

/* watch_until() - frames of one who watches: until @text was seen, and OK if @live */
static void watch_until(struct peer *p, struct buf *seen, const char *text, bool live)
{
	struct frame f;
	bool ok = !live;

	while (!ok || !strstr(buf_str(seen), text)) {
		assert_true(peer_next(p, &f));
		if (f.type == FRAME_STDOUT)
			assert_int_equal(buf_add(seen, f.body, f.len), 0);
		else if (f.type == FRAME_OK)
			ok = true;
		else
			assert_int_equal(f.type, FRAME_STARTED);
	}
}

static void test_watching(void **state)
{
	struct result res;
	struct peer a, w;
	AUTO(buf) seen;
	AUTO(buf) watched;

	buf_init(&seen, 1 << 20);
	buf_init(&watched, 1 << 20);
	peer_open(*state, &a);
	exec_sh(&a, "echo first; read x; echo \"<$x>\"; read y; exit 6", TTY | AGENT_EXEC_PERSIST,
		"main");
	wait_for(&a, &seen, "first");
	attach(*state, &w, "main", AGENT_ATTACH_WATCH);
	watch_until(&w, &watched, "first", true); /* what was there, then OK */
	type(&a, "in\r"); /* whoever is attached stays attached */
	wait_for(&a, &seen, "<in>");
	watch_until(&w, &watched, "<in>", false);
	type(&a, "bye\r");
	peer_collect(&a, NULL, 0, &res);
	assert_int_equal(res.exit.code, 6);
	result_fini(&res);
	peer_close(&a);
	for (int i = 0; i < 2; i++) { /* the second comes when all is over */
		struct agent_exit x;
		struct frame f;

		do
			assert_true(peer_next(&w, &f));
		while (f.type != FRAME_EXIT);
		assert_int_equal(agent_get_exit(&f, &x), PROTO_OK);
		assert_int_equal(x.code, 6);
		peer_expect_end(&w);
		peer_close(&w);
		if (i)
			break;
		attach(*state, &w, "main", AGENT_ATTACH_WATCH);
		buf_clear(&watched);
		watch_until(&w, &watched, "<in>", true);
	}
}

/* Who does not read misses what the ring had no room for. The command does not wait for it. */
static void test_slow_watcher(void **state)
{
	struct agent_exit x;
	struct result res;
	struct peer a, w;
	struct frame f;
	AUTO(buf) seen;

	buf_init(&seen, 8 << 20);
	peer_open(*state, &a);
	exec_sh(&a, "read x; head -c 4000000 /dev/zero | tr '\\0' x; echo over; exit 3",
		AGENT_EXEC_STDIN | AGENT_EXEC_PERSIST, "main");
	(void)peer_expect(&a, FRAME_STARTED);
	attach(*state, &w, "main", AGENT_ATTACH_WATCH);
	(void)peer_expect(&w, FRAME_STARTED);
	(void)peer_expect(&w, FRAME_OK);
	peer_collect(&a, "\n", 1, &res);
	assert_int_equal(res.exit.code, 3);
	assert_int_equal(res.out.len, 4000005);
	result_fini(&res);
	peer_close(&a);
	while (peer_next(&w, &f) && f.type == FRAME_STDOUT)
		assert_int_equal(buf_add(&seen, f.body, f.len), 0);
	assert_int_equal(f.type, FRAME_EXIT);
	assert_int_equal(agent_get_exit(&f, &x), PROTO_OK);
	assert_int_equal(x.code, 3);
	assert_true(seen.len > 5 && seen.len < 4000005);
	assert_memory_equal(seen.data + seen.len - 5, "over\n", 5);
	peer_close(&w);
}

static void test_watchers_are_few_and_silent(void **state)
{
	struct peer a, w[GUEST_WATCHERS_MAX], one;
	struct result res;

	peer_open(*state, &a);
	exec_sh(&a, "sleep 100", AGENT_EXEC_PERSIST, "main");
	(void)peer_expect(&a, FRAME_STARTED);
	for (unsigned i = 0; i < GUEST_WATCHERS_MAX; i++) {
		attach(*state, &w[i], "main", AGENT_ATTACH_WATCH);
		(void)peer_expect(&w[i], FRAME_STARTED);
		(void)peer_expect(&w[i], FRAME_OK);
	}
	attach(*state, &one, "main", AGENT_ATTACH_WATCH);
	peer_collect(&one, NULL, 0, &res);
	assert_int_equal(res.error, EMFILE);
	result_fini(&res);
	peer_close(&one);
	type(&w[0], "x"); /* it has nothing to say: that ends it, and makes room */
	peer_expect_end(&w[0]);
	peer_close(&w[0]);
	attach(*state, &w[0], "main", AGENT_ATTACH_WATCH);
	(void)peer_expect(&w[0], FRAME_STARTED);
	/* the command's end is theirs, too */
	assert_int_equal(agent_put_u8(&a.out, FRAME_SIGNAL, SIGKILL), 0);
	peer_flush(&a);
	peer_collect(&a, NULL, 0, &res);
	assert_int_equal(res.exit.signal, SIGKILL);
	result_fini(&res);
	peer_close(&a);
	for (unsigned i = 0; i < GUEST_WATCHERS_MAX; i++)
		peer_close(&w[i]);
}

static void test_session_errors(void **state)
{
	struct result res;
	struct peer a, b;

	attach(*state, &a, "nobody", 0);
	peer_collect(&a, NULL, 0, &res);
	assert_int_equal(res.error, ENOENT);
	result_fini(&res);
	peer_close(&a);
	peer_open(*state, &a);
	exec_sh(&a, "true", AGENT_EXEC_PERSIST, "");
	peer_collect(&a, NULL, 0, &res);
	assert_int_equal(res.error, EINVAL);
	result_fini(&res);
	peer_close(&a);

	peer_open(*state, &a);
	exec_sh(&a, "sleep 100", AGENT_EXEC_PERSIST, "one");
	(void)peer_expect(&a, FRAME_STARTED);
	peer_open(*state, &b);
	exec_sh(&b, "true", AGENT_EXEC_PERSIST, "one");
	peer_collect(&b, NULL, 0, &res);
	assert_int_equal(res.error, EEXIST);
	result_fini(&res);
	peer_close(&b);
	/* looking only: the one who is attached stays */
	attach(*state, &b, "one", AGENT_ATTACH_REPLAY);
	(void)peer_expect(&b, FRAME_STARTED);
	(void)peer_expect(&b, FRAME_END);
	peer_expect_end(&b);
	peer_close(&b);
	assert_int_equal(agent_put_u8(&a.out, FRAME_SIGNAL, SIGKILL), 0);
	peer_flush(&a);
	peer_collect(&a, NULL, 0, &res);
	assert_int_equal(res.exit.signal, SIGKILL);
	result_fini(&res);
	peer_close(&a);
}

static void test_session_cap(void **state)
{
	struct peer p[GUEST_SESSIONS_MAX], one;
	struct result res;
	char name[16];

	for (unsigned i = 0; i < GUEST_SESSIONS_MAX; i++) {
		(void)snprintf(name, sizeof(name), "s%u", i);
		peer_open(*state, &p[i]);
		exec_sh(&p[i], i == 0 ? "exit 2" : "sleep 100", AGENT_EXEC_PERSIST, name);
		(void)peer_expect(&p[i], FRAME_STARTED);
	}
	peer_collect(&p[0], NULL, 0, &res);
	assert_int_equal(res.exit.code, 2);
	result_fini(&res);
	/* the finished one makes room, once */
	for (int i = 0; i < 2; i++) {
		peer_open(*state, &one);
		exec_sh(&one, "sleep 100", AGENT_EXEC_PERSIST, i ? "y" : "x");
		if (i == 0) {
			(void)peer_expect(&one, FRAME_STARTED);
		} else {
			peer_collect(&one, NULL, 0, &res);
			assert_int_equal(res.error, EMFILE);
			result_fini(&res);
		}
		peer_close(&one);
	}
	for (unsigned i = 0; i < GUEST_SESSIONS_MAX; i++)
		peer_close(&p[i]);
}

/* skip_to_end() - the last frame's type */
static void skip_to_end(struct peer *p, enum frame_type *ret_last)
{
	struct frame f;

	while (peer_next(p, &f))
		*ret_last = f.type;
}

static void test_replay_is_the_last_part(void **state)
{
	enum frame_type last = FRAME_END;
	struct result res;
	struct peer p;

	peer_open(*state, &p);
	exec_sh(&p, "seq 1 100000", AGENT_EXEC_PERSIST, "long");
	peer_close(&p); /* nobody is there to slow it down */
	do {
		rig_turn(*state, 20);
		attach(*state, &p, "long", AGENT_ATTACH_REPLAY);
		skip_to_end(&p, &last);
		peer_close(&p);
	} while (last == FRAME_END);
	assert_int_equal(last, FRAME_EXIT);
	attach(*state, &p, "long", 0);
	peer_collect(&p, NULL, 0, &res);
	assert_true(res.exited);
	assert_int_equal(res.exit.code, 0);
	assert_int_equal(res.out.len, GUEST_RING_BYTES);
	assert_string_equal(res.out.data + res.out.len - 7, "100000\n");
	result_fini(&res);
	peer_close(&p);
}

/* ------------------------------------------------------------------ clients that vanish */

/* What a client has done when it is killed. */
enum vanish {
	AT_CONNECT, /* nothing */
	IN_REQUEST, /* half of the frame that asks to join */
	BEFORE_CREDIT, /* asked, and read nothing */
	IN_REPLAY, /* took a part of the replay */
	IN_INPUT, /* half of a frame with input */
	CREDIT_USED, /* all its input, which the command does not read */
	WITH_OUTPUT, /* input, while output waits that it never read */
	VANISHES,
};

#define LONG_LINE "yes 0123456789abcdefghijklmnopqrstuvwxyz | head -c 700000"

static void half_of_request(struct peer *p)
{
	struct agent_attach m = {.rows = 24, .cols = 80, .session = "main"};

	assert_int_equal(agent_put_attach(&p->out, &m), 0);
	p->out.len /= 2;
	peer_flush(p);
}

static void half_of_input(struct peer *p)
{
	assert_int_equal(frame_add(&p->out, FRAME_STDIN, "lost\r", 5), 0);
	p->out.len -= 2;
	peer_flush(p);
}

static void vanish(struct rig *r, enum vanish how)
{
	struct frame f;
	struct peer p;
	char many[4096];

	if (how == AT_CONNECT || how == IN_REQUEST)
		peer_open(r, &p);
	else
		attach(r, &p, "main", 0);
	if (how == IN_REQUEST) {
		half_of_request(&p);
	} else if (how == IN_REPLAY) {
		(void)peer_expect(&p, FRAME_STARTED);
	} else if (how == IN_INPUT) {
		half_of_input(&p);
	} else if (how == CREDIT_USED) {
		memset(many, 'x', sizeof(many));
		for (unsigned i = 0; i < AGENT_CREDIT / sizeof(many); i++)
			assert_int_equal(frame_add(&p.out, FRAME_STDIN, many, sizeof(many)), 0);
		peer_flush(&p);
	} else if (how == WITH_OUTPUT) {
		while (peer_next(&p, &f) && f.type != FRAME_CREDIT)
			;
		type(&p, LONG_LINE "\r");
		for (int i = 0; i < 40; i++)
			rig_turn(r, 5); /* until the stream is full */
	}
	peer_close(&p); /* bytes are left unread: a reset, as when a process is killed */
}

/* answers() - a client that joins now gets an answer to what it types, and no older one */
static void answers(struct rig *r, unsigned number)
{
	struct peer p;
	char line[64], word[32];
	AUTO(buf) seen;

	buf_init(&seen, 8 << 20);
	(void)snprintf(line, sizeof(line), "\025echo an''swer%u\r", number); /* Ctrl-U first */
	(void)snprintf(word, sizeof(word), "answer%u\r", number);
	attach(r, &p, "main", 0);
	wait_for(&p, &seen, "");
	type(&p, line);
	wait_for(&p, &seen, word);
	peer_close(&p);
}

/* Whatever a client was doing when it was killed: the next one can type. */
static void test_clients_vanish(void **state)
{
	struct rig *r = *state;
	struct result res;
	struct peer p;
	AUTO(buf) seen;

	buf_init(&seen, 1 << 20);
	peer_open(r, &p);
	exec_sh(&p, "PS1='> ' exec sh -i", TTY | AGENT_EXEC_PERSIST, "main");
	wait_for(&p, &seen, "> ");
	peer_close(&p);
	for (unsigned i = 0; i < 3 * VANISHES; i++) {
		vanish(r, i % VANISHES);
		if (i >= VANISHES) /* and also when several vanish at once */
			vanish(r, (i * 5 + 2) % VANISHES);
		answers(r, i);
	}
	attach(r, &p, "main", 0);
	wait_for(&p, &seen, "");
	type(&p, "\025exit 5\r");
	peer_collect(&p, NULL, 0, &res);
	assert_int_equal(res.exit.code, 5);
	result_fini(&res);
	peer_close(&p);
}

/* Input that was sent counts, also when the answer to it meets nobody. */
static void test_last_words(void **state)
{
	struct rig *r = *state;
	enum frame_type last = FRAME_END;
	struct result res;
	struct peer p;
	AUTO(buf) seen;

	buf_init(&seen, 1 << 20);
	peer_open(r, &p);
	/* output without end, until input comes: it is what is found out about first */
	exec_sh(&p,
		"stty -echo; echo ready; (trap 'exit 0' TERM; while :; do echo out; done) & "
		"read x; kill $!; wait; exit 7",
		TTY | AGENT_EXEC_PERSIST, "main");
	wait_for(&p, &seen, "ready");
	for (int i = 0; i < 100; i++)
		rig_turn(r, 5); /* until the stream is full and the command waits */
	assert_int_equal(frame_add(&p.out, FRAME_STDIN, "word\n", 5), 0);
	assert_int_equal(send(p.fd, p.out.data, p.out.len, MSG_NOSIGNAL), (ssize_t)p.out.len);
	peer_close(&p); /* before the loop turns again */
	for (int i = 0; i < 200 && last != FRAME_EXIT; i++) {
		attach(r, &p, "main", AGENT_ATTACH_REPLAY);
		skip_to_end(&p, &last);
		peer_close(&p);
		rig_turn(r, 20);
	}
	attach(r, &p, "main", 0);
	peer_collect(&p, NULL, 0, &res);
	assert_int_equal(res.exit.code, 7);
	result_fini(&res);
	peer_close(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, rig_start, rig_stop)
		T(test_terminal),
		T(test_resize_and_interrupt),
		T(test_terminal_end_of_input),
		T(test_hangup_of_terminal),
		T(test_detach_and_attach),
		T(test_session_errors),
		T(test_watching),
		T(test_slow_watcher),
		T(test_watchers_are_few_and_silent),
		T(test_session_cap),
		T(test_replay_is_the_last_part),
		T(test_clients_vanish),
		T(test_last_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
