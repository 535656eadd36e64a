/* Questions on a terminal that a guest writes to: what may answer one, and what the screen gets. */
#include "cli/prompt.h"
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

static const struct agent_size size = {24, 80};

static size_t rest(const char *before, const char *then)
{
	struct scan s = {0};

	scan_feed(&s, before, strlen(before));
	return scan_rest(&s, then, strlen(then));
}

static void test_sequences_are_not_cut(void **state)
{
	struct scan s = {0};

	(void)state;
	assert_int_equal(rest("text", "more"), 0);
	assert_int_equal(rest("\x1b", "[31mred"), 4);
	assert_int_equal(rest("\x1b[3", "1mred"), 2);
	assert_int_equal(rest("\x1b(", "0x"), 1);
	assert_int_equal(rest("\x1b]0;title", " of it\x07x"), 7);
	assert_int_equal(rest("\x1b]0;title\x1b", "\\x"), 1);
	assert_int_equal(rest("\x1bPq#0", "\x1b\\x"), 2);
	assert_int_equal(rest("\xc2\x9b", "31mred"), 3); /* the C1 code of CSI */
	assert_int_equal(rest("\xe2\x82", "\xacx"), 1);
	assert_int_equal(rest("\x1b]0;", "never ended"), 11);
	assert_int_equal(rest("\x1b]0;\x18", "text"), 0); /* CAN */
	assert_int_equal(rest("\xff\xc0", "text"), 0);
	scan_feed(&s, "\x1b[1;1H\xe2\x82\xac\x1b]0;x\x1b\\", 17);
	assert_true(scan_whole(&s));
}

struct rig {
	struct prompt p;
	struct term_modes modes;
	struct buf out;
	struct ask_reply reply;
	int64_t now;
};

static void turn(struct rig *r)
{
	buf_clear(&r->out);
	assert_int_equal(prompt_turn(&r->p, &r->modes, size, r->now, &r->reply, &r->out), 0);
}

static void wait_ms(struct rig *r, int ms)
{
	r->now += ms;
	turn(r);
}

static void type(struct rig *r, const char *text)
{
	prompt_typed(&r->p, text, strlen(text), r->now);
	turn(r);
}

static void ask(struct rig *r, unsigned n)
{
	static struct ask_news news;

	news = (struct ask_news){.sandbox = "box", .n = n};
	for (unsigned i = 0; i < n; i++)
		news.q[i] = (struct question){.id = i + 1,
			.host = "api.example.com",
			.port = 443,
			.method = "POST",
			.path = "/v1/\x1b[2Jx\xc2\x9by",
			.rule = "r1",
			.until = r->now + 60000};
	prompt_news(&r->p, &news, r->now);
}

static void begin(struct rig *r, unsigned n)
{
	*r = (struct rig){.now = 100000};
	buf_init(&r->out, PROMPT_BYTES);
	ask(r, n);
	assert_int_equal(r->p.state, n ? PROMPT_WANTED : PROMPT_OFF);
	assert_false(prompt_holds(&r->p));
	if (n)
		assert_int_equal(prompt_enter(&r->p, &r->modes, size, r->now, &r->out), 0);
}

static void end(struct rig *r)
{
	buf_fini(&r->out);
}

static bool shows(const struct rig *r, const char *text)
{
	return r->out.len > 0 && strstr(buf_str(&r->out), text) != NULL;
}

/* answered() - what a key does when it is pressed by itself after a quiet time */
static enum ask_answer answered(struct rig *r, const char *key)
{
	wait_ms(r, PROMPT_QUIET_MS + 1);
	type(r, key);
	assert_int_equal(r->reply.answer, ASK_NONE); /* it may not be alone yet */
	wait_ms(r, PROMPT_ALONE_MS);
	return r->reply.answer;
}

static void test_a_key_answers(void **state)
{
	static const struct {
		const char *key;
		enum ask_answer answer;
	} keys[] = {{"y", ASK_ALLOW}, {"a", ASK_ALWAYS}, {"n", ASK_DENY}, {"s", ASK_LATER},
		{"x", ASK_NONE}, {"\r", ASK_NONE}, {"\x1b", ASK_NONE}};
	struct rig r;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		begin(&r, 1);
		assert_true(prompt_holds(&r.p));
		assert_true(shows(&r, "api.example.com:443"));
		assert_int_equal(answered(&r, keys[i].key), keys[i].answer);
		if (keys[i].answer != ASK_NONE)
			assert_int_equal(r.reply.id, 1);
		ask(&r, 0);
		for (int n = 0; n < 3; n++)
			wait_ms(&r, PROMPT_SAID_MS);
		assert_false(prompt_holds(&r.p));
		end(&r);
	}
}

static void test_nothing_else_answers(void **state)
{
	/* pastes, reports of a terminal (title, colours, mouse, keys encoded), a key beside another */
	static const char *const bytes[] = {"yes", "y\r", "yy", "\x1b]ly\x1b\\", "\x1b[121u",
		"\x1b[<0;121;121M", "\x1b[My!!", "\x1by", "\x1b[200~y\x1b[201~", "\x1b[?62;c"};
	struct rig r;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bytes); i++) {
		begin(&r, 1);
		assert_int_equal(answered(&r, bytes[i]), ASK_NONE);
		/* The same in pieces of one byte each, as slow lines bring it. */
		wait_ms(&r, PROMPT_QUIET_MS + 1);
		for (const char *c = bytes[i]; *c; c++) {
			char one[2] = {*c, '\0'};

			type(&r, one);
			assert_int_equal(r.reply.answer, ASK_NONE);
			r.now += 10;
		}
		wait_ms(&r, PROMPT_ALONE_MS);
		assert_int_equal(r.reply.answer, ASK_NONE);
		assert_true(prompt_holds(&r.p));
		end(&r);
	}
}

static void test_what_was_typed_ahead_is_no_answer(void **state)
{
	struct rig r;

	(void)state;
	begin(&r, 1);
	for (int i = 0; i < 20; i++) { /* a person who goes on typing */
		wait_ms(&r, PROMPT_QUIET_MS - 100);
		type(&r, "y");
		assert_int_equal(r.reply.answer, ASK_NONE);
	}
	wait_ms(&r, PROMPT_ALONE_MS);
	assert_int_equal(r.reply.answer, ASK_NONE);
	assert_int_equal(answered(&r, "n"), ASK_DENY);
	end(&r);
}

static void test_one_after_the_other(void **state)
{
	struct rig r;

	(void)state;
	begin(&r, 3);
	assert_true(shows(&r, "2 more after this"));
	assert_int_equal(answered(&r, "y"), ASK_ALLOW);
	assert_int_equal(r.reply.id, 1);
	/* The key of the first is none of the second's: it begins its own quiet time. */
	ask(&r, 3);
	turn(&r);
	assert_int_equal(r.p.shown, 2);
	type(&r, "y");
	wait_ms(&r, PROMPT_ALONE_MS);
	assert_int_equal(r.reply.answer, ASK_NONE);
	assert_int_equal(answered(&r, "n"), ASK_DENY);
	assert_int_equal(r.reply.id, 2);
	end(&r);
}

static void test_text_of_a_guest_is_text(void **state)
{
	struct rig r;

	(void)state;
	begin(&r, 1);
	assert_true(shows(&r, "POST /v1/\\x1b[2Jx"));
	assert_null(strstr(buf_str(&r.out), "/v1/\x1b"));
	assert_null(strchr(buf_str(&r.out), '\xc2'));
	end(&r);
}

static void test_no_answer_is_told(void **state)
{
	struct rig r;

	(void)state;
	begin(&r, 1);
	wait_ms(&r, 60000);
	assert_true(shows(&r, "refused in 0 s"));
	ask(&r, 0);
	turn(&r);
	assert_true(shows(&r, "nobody answered in time: refused"));
	type(&r, "y");
	assert_int_equal(r.reply.answer, ASK_NONE);
	wait_ms(&r, PROMPT_SAID_MS);
	assert_false(prompt_holds(&r.p));
	end(&r);
	begin(&r, 1);
	wait_ms(&r, 2000);
	ask(&r, 0);
	turn(&r);
	assert_true(shows(&r, "answered elsewhere"));
	end(&r);
}

static void test_what_goes_wrong_is_told(void **state)
{
	struct ask_news news = {.sandbox = "box", .trouble = "it makes no rule"};
	struct rig r;

	(void)state;
	begin(&r, 1);
	assert_int_equal(answered(&r, "a"), ASK_ALWAYS);
	assert_true(prompt_holds(&r.p)); /* until the daemon has it */
	prompt_news(&r.p, &news, r.now);
	turn(&r);
	assert_true(shows(&r, "it makes no rule"));
	end(&r);
}

static void test_screen_and_modes_come_back(void **state)
{
	static const char used[] = "\x1b[?1000h\x1b[?2004h\x1b[?25l";
	struct rig r;

	(void)state;
	begin(&r, 1);
	assert_true(shows(&r, "\x1b[?1049h"));
	assert_int_equal(answered(&r, "s"), ASK_LATER);
	assert_true(shows(&r, "\x1b[?1049l"));
	assert_true(shows(&r, "\x1b[?25h"));
	/* A full-screen program keeps the screen; what it had switched on is on again. */
	end(&r);
	begin(&r, 0);
	term_modes_watch(&r.modes, (const unsigned char *)"\x1b[?1049h", 8);
	term_modes_watch(&r.modes, (const unsigned char *)used, sizeof(used) - 1);
	ask(&r, 1);
	assert_int_equal(prompt_enter(&r.p, &r.modes, size, r.now, &r.out), 0);
	assert_false(shows(&r, "\x1b[?1049h"));
	assert_true(shows(&r, "\x1b[?1000l"));
	buf_clear(&r.out);
	assert_int_equal(prompt_leave(&r.p, &r.modes, &r.out), 0);
	assert_false(shows(&r, "\x1b[?1049l"));
	assert_true(shows(&r, "\x1b[?1000h") && shows(&r, "\x1b[?2004h") && shows(&r, "\x1b[?25l"));
	end(&r);
}

static void test_a_window_too_small_says_no_yes(void **state)
{
	struct rig r;

	(void)state;
	begin(&r, 0);
	ask(&r, 1);
	for (uint16_t rows = 1; rows < 12; rows++) {
		const struct agent_size small = {rows, 80};

		r.p = (struct prompt){0};
		ask(&r, 1);
		assert_int_equal(prompt_enter(&r.p, &r.modes, small, r.now, &r.out), 0);
		r.now += PROMPT_QUIET_MS + 1;
		prompt_typed(&r.p, "y", 1, r.now);
		r.now += PROMPT_ALONE_MS;
		assert_int_equal(prompt_turn(&r.p, &r.modes, small, r.now, &r.reply, &r.out), 0);
		assert_int_equal(r.reply.answer, rows < 10 ? ASK_NONE : ASK_ALLOW);
	}
	end(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sequences_are_not_cut),
		cmocka_unit_test(test_a_key_answers),
		cmocka_unit_test(test_nothing_else_answers),
		cmocka_unit_test(test_what_was_typed_ahead_is_no_answer),
		cmocka_unit_test(test_one_after_the_other),
		cmocka_unit_test(test_text_of_a_guest_is_text),
		cmocka_unit_test(test_no_answer_is_told),
		cmocka_unit_test(test_what_goes_wrong_is_told),
		cmocka_unit_test(test_screen_and_modes_come_back),
		cmocka_unit_test(test_a_window_too_small_says_no_yes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
