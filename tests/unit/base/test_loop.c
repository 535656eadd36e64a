/* test_loop.c - events and timers; removal in the middle of a round */
#include "check.h"
#include "base/clock.h"
#include "base/loop.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>

struct seen {
	struct loop *loop;
	struct loop_fd *self, *other;
	int fd;
	unsigned calls;
	char order[8];
};

static void count_and_drop_other(void *ctx, uint32_t events)
{
	struct seen *s = ctx;

	assert_true(events & EPOLLIN);
	s->calls++;
	loop_del_fd(s->other);
	s->other = NULL;
}

static void make_pipe(int p[2])
{
	assert_int_equal(pipe2(p, O_CLOEXEC | O_NONBLOCK), 0);
	assert_int_equal(write(p[1], "x", 1), 1);
}

static void test_a_removed_source_is_not_called_in_its_round(void **state)
{
	struct loop *l = loop_new();
	struct seen a = {.loop = l}, b = {.loop = l};
	int p[2], q[2];

	(void)state;
	make_pipe(p);
	make_pipe(q);
	assert_int_equal(loop_add_fd(l, p[0], EPOLLIN, count_and_drop_other, &a, &a.self), 0);
	assert_int_equal(loop_add_fd(l, q[0], EPOLLIN, count_and_drop_other, &b, &b.self), 0);
	a.other = b.self;
	b.other = a.self;
	assert_int_equal(loop_once(l, 1000), 0);
	assert_int_equal(a.calls + b.calls, 1); /* both were ready, the first removed the second */
	assert_int_equal(loop_once(l, 0), 0);
	assert_int_equal(a.calls + b.calls, 2);
	loop_free(l);
	close(p[0]), close(p[1]), close(q[0]), close(q[1]);
}

static void drop_self(void *ctx, uint32_t events)
{
	struct seen *s = ctx;

	(void)events;
	s->calls++;
	loop_del_fd(s->self);
	loop_del_fd(s->self); /* twice in one round does no harm */
	close(s->fd);
	loop_stop(s->loop);
}

static void test_a_source_removes_itself_and_its_number_is_used_again(void **state)
{
	struct loop *l = loop_new();
	struct seen s = {.loop = l};
	int p[2], q[2];

	(void)state;
	make_pipe(p);
	s.fd = p[0];
	assert_int_equal(loop_add_fd(l, p[0], EPOLLIN, drop_self, &s, &s.self), 0);
	assert_int_equal(loop_run(l), 0);
	assert_int_equal(s.calls, 1);
	make_pipe(q); /* takes the closed number */
	s.fd = q[0];
	assert_int_equal(loop_add_fd(l, q[0], EPOLLIN, drop_self, &s, &s.self), 0);
	assert_int_equal(loop_run(l), 0);
	assert_int_equal(s.calls, 2);
	loop_free(l);
	close(p[1]), close(q[1]);
}

static void test_mod(void **state)
{
	struct loop *l = loop_new();
	struct seen s = {.loop = l};
	int p[2];

	(void)state;
	make_pipe(p);
	assert_int_equal(loop_add_fd(l, p[0], 0, count_and_drop_other, &s, &s.self), 0);
	assert_int_equal(loop_once(l, 0), 0);
	assert_int_equal(s.calls, 0);
	assert_int_equal(loop_mod_fd(s.self, EPOLLIN), 0);
	assert_int_equal(loop_once(l, 0), 0);
	assert_int_equal(s.calls, 1);
	assert_int_equal(loop_add_fd(l, p[0], EPOLLIN, drop_self, &s, NULL), -EEXIST);
	assert_int_equal(loop_add_fd(l, -1, EPOLLIN, drop_self, &s, NULL), -EBADF);
	loop_free(l);
	close(p[0]), close(p[1]);
}

struct timed {
	char *log;
	size_t *n;
	char letter;
	struct loop *loop;
	struct loop_timer *victim;
};

static void note(void *ctx)
{
	struct timed *t = ctx;

	t->log[(*t->n)++] = t->letter;
	loop_del_timer(t->victim);
	t->victim = NULL;
	if (t->letter == 'z')
		loop_stop(t->loop);
}

static void test_timers_fire_in_order_and_once(void **state)
{
	struct loop *l = loop_new();
	int64_t now = clock_ms();
	char log[8] = "";
	size_t n = 0;
	struct timed a = {log, &n, 'a', l, NULL}, b = {log, &n, 'b', l, NULL},
		     c = {log, &n, 'c', l, NULL}, z = {log, &n, 'z', l, NULL};

	(void)state;
	assert_int_equal(loop_add_timer(l, now + 40, note, &z, NULL), 0);
	assert_int_equal(loop_add_timer(l, now + 20, note, &b, NULL), 0);
	assert_int_equal(loop_add_timer(l, now - 5, note, &a, NULL), 0);
	assert_int_equal(loop_add_timer(l, now + 30, note, &c, &b.victim), 0);
	assert_int_equal(loop_run(l), 0);
	assert_string_equal(log, "abz"); /* b removed c before its time */
	assert_true(clock_ms() >= now + 40);
	loop_free(l);
}

static void again(void *ctx)
{
	struct seen *s = ctx;

	if (++s->calls < 3)
		assert_int_equal(loop_add_timer(s->loop, clock_ms() + 1, again, s, NULL), 0);
	else
		loop_stop(s->loop);
}

static void test_a_timer_sets_the_next(void **state)
{
	struct loop *l = loop_new();
	struct seen s = {.loop = l};

	(void)state;
	assert_int_equal(loop_add_timer(l, clock_ms(), again, &s, NULL), 0);
	assert_int_equal(loop_run(l), 0);
	assert_int_equal(s.calls, 3);
	loop_free(l);
	loop_free(NULL);
	loop_del_timer(NULL);
	loop_del_fd(NULL);
}

/* A timer callback that removes a descriptor's source: nothing of it is left after the round. */
static void drop_fd(void *ctx)
{
	struct seen *s = ctx;

	loop_del_fd(s->self);
}

static void test_a_timer_removes_a_source(void **state)
{
	struct loop *l = loop_new();
	struct seen s = {.loop = l};
	int p[2];

	(void)state;
	make_pipe(p);
	assert_int_equal(loop_add_fd(l, p[0], EPOLLIN, count_and_drop_other, &s, &s.self), 0);
	assert_int_equal(loop_add_timer(l, clock_ms(), drop_fd, &s, NULL), 0);
	assert_int_equal(loop_once(l, 0), 0);
	assert_int_equal(loop_once(l, 0), 0);
	assert_int_equal(s.calls, 1);
	loop_free(l);
	close(p[0]), close(p[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_removed_source_is_not_called_in_its_round),
		cmocka_unit_test(test_a_source_removes_itself_and_its_number_is_used_again),
		cmocka_unit_test(test_mod),
		cmocka_unit_test(test_timers_fire_in_order_and_once),
		cmocka_unit_test(test_a_timer_sets_the_next),
		cmocka_unit_test(test_a_timer_removes_a_source),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
