/* Exchanges over HTTP/2: many at a time on one connection, bodies, trailers, resets, a server that goes away */
#include "rig.h"
#include "http/h2.h"

#define CHANNELS 20

static struct rig r;
static struct origin o;

/* ---- a server: what it does is in the path ---- */

struct served {
	struct h2 *h;
	struct origin_conn *c;
	int32_t waiting[64]; /* streams of /wait, answered when /go comes */
	unsigned n_waiting;
	bool leave;
	/* /echo, one at a time: what its queue had no room for */
	struct buf echo;
	int32_t echoing;
	bool echo_ends;
};

static void field(struct egress_fields *f, const char *name, const char *value)
{
	f->v[f->n++] = (struct egress_field){
		name, value, (uint16_t)strlen(name), (uint16_t)strlen(value), false};
}

static void hello(struct h2 *h, int32_t stream, const char *text)
{
	struct egress_fields f = {0};

	field(&f, "x-place", "h2");
	(void)!h2_respond(h, stream, 200, &f, false);
	(void)!h2_send(h, stream, text, strlen(text));
	(void)!h2_end(h, stream, NULL);
}

static void on_head(void *ctx, int32_t stream, void *user, const struct h2_head *q, bool end)
{
	struct served *s = ctx;
	struct egress_fields f = {0};
	static char big[100000];

	(void)user;
	s->c->o->requests++;
	pthread_mutex_lock(&s->c->o->lock);
	(void)snprintf(s->c->o->seen + strlen(s->c->o->seen), 500, "%s %s%s te=%s auth=%s\n",
		q->method, q->authority, q->path, egress_field(q->fields, "te") ? "yes" : "no",
		egress_field(q->fields, "authorization") ? egress_field(q->fields, "authorization")
							 : "");
	pthread_mutex_unlock(&s->c->o->lock);
	if (strcmp(q->path, "/wait") == 0) {
		s->waiting[s->n_waiting++] = stream;
	} else if (strcmp(q->path, "/go") == 0) {
		hello(s->h, stream, "go");
		while (s->n_waiting > 0)
			hello(s->h, s->waiting[--s->n_waiting], "waited");
	} else if (strcmp(q->path, "/reset") == 0) {
		h2_reset(s->h, stream, H2_INTERNAL_ERROR);
	} else if (strcmp(q->path, "/half") == 0) {
		(void)!h2_respond(s->h, stream, 200, &f, false);
		(void)!h2_send(s->h, stream, "part", 4);
		h2_reset(s->h, stream, H2_INTERNAL_ERROR);
	} else if (strcmp(q->path, "/empty") == 0) {
		(void)!h2_respond(s->h, stream, 204, &f, true);
	} else if (strcmp(q->path, "/trailers") == 0) {
		(void)!h2_respond(s->h, stream, 200, &f, false);
		(void)!h2_send(s->h, stream, "x", 1);
		field(&f, "grpc-status", "0");
		(void)!h2_end(s->h, stream, &f);
	} else if (strcmp(q->path, "/big") == 0) {
		memset(big, 'b', sizeof(big));
		(void)!h2_respond(s->h, stream, 200, &f, false);
		(void)!h2_send(s->h, stream, big, sizeof(big));
		(void)!h2_end(s->h, stream, NULL);
	} else if (strcmp(q->path, "/leave") == 0) {
		hello(s->h, stream, "bye");
		h2_goodbye(s->h, H2_NO_ERROR, false);
	} else if (strcmp(q->path, "/gone") == 0) {
		s->leave = true;
	} else if (end || strcmp(q->path, "/echo") != 0) {
		hello(s->h, stream, "hello");
	} else {
		(void)!h2_respond(s->h, stream, 200, &f, false);
	}
}

static void echo_more(struct served *s)
{
	size_t n = h2_room(s->h, s->echoing);

	n = n < s->echo.len ? n : s->echo.len;
	if (n > 0 && h2_send(s->h, s->echoing, s->echo.data, n) == 0)
		buf_eat(&s->echo, n);
	if (s->echo_ends && s->echo.len == 0) {
		s->echo_ends = false;
		(void)!h2_end(s->h, s->echoing, NULL);
	}
}

static void on_data(void *ctx, int32_t stream, void *user, const uint8_t *p, size_t len)
{
	struct served *s = ctx;

	(void)user;
	s->echoing = stream;
	(void)!buf_add(&s->echo, p, len);
	h2_consume(s->h, stream, len);
	echo_more(s);
}

static void on_end(void *ctx, int32_t stream, void *user, const struct egress_fields *trailers)
{
	struct served *s = ctx;

	(void)user;
	(void)trailers;
	s->echoing = stream;
	s->echo_ends = true;
	echo_more(s);
}

static void on_drained(void *ctx, int32_t stream, void *user)
{
	struct served *s = ctx;

	(void)user;
	if (stream == s->echoing)
		echo_more(s);
}

static void on_closed(void *ctx, int32_t stream, void *user, uint32_t code)
{
	(void)ctx;
	(void)stream;
	(void)user;
	(void)code;
}

static const struct h2_ops server_ops = {.head = on_head,
	.data = on_data,
	.end = on_end,
	.closed = on_closed,
	.drained = on_drained};

static void h2_script(struct origin_conn *c)
{
	struct served s = {.c = c};
	const struct h2_options opt = {.role = H2_SERVER, .ops = &server_ops, .ctx = &s};
	static char in[65536];
	AUTO(buf) out = {0};
	bool more;

	buf_init(&out, 4 << 20);
	buf_init(&s.echo, 4 << 20);
	s.h = h2_new(&opt);
	for (;;) {
		ssize_t n;

		do {
			buf_clear(&out);
			more = false;
			if (h2_output(s.h, &out, 1 << 20, &more) < 0 ||
				!origin_write(c, out.data, out.len))
				goto out;
		} while (more && out.len);
		if (s.leave || h2_over(s.h))
			break;
		n = origin_read(c, in, sizeof(in));
		if (n <= 0 || h2_input(s.h, in, (size_t)n, clock_ms()) < 0)
			break;
	}
out:
	h2_free(s.h);
	buf_fini(&s.echo);
}

static int set_up(void **state)
{
	(void)state;
	rig_init(&r);
	origin_start(&o, r.ca, "h2", h2_script, NULL);
	rig_host(&r, "h2.test.example", 443, &o);
	rig_rule(&r, POLICY_ALLOW, "h2.test.example");
	rig_slot(&r, "token", "sbx-standin-aaaaaaaaaaaaaaaaaaaaaaaa", EGRESS_SLOT_HEADER,
		"none.test.example", "authorization", "Bearer %s", "");
	rig_configure(&r);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	rig_fini(&r);
	origin_stop(&o);
	return 0;
}

static void ask(const char *path, struct answer *a)
{
	struct egress_request q = rig_get("h2.test.example", path);

	rig_ask(&r, &q, NULL, a);
}

static void test_answers(void **state)
{
	struct answer a;

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		ask("/", &a);
		assert_string_equal(a.text, "");
		assert_true(a.done);
		assert_memory_equal(a.body.data, "hello", 5);
		assert_string_equal(a.fields, "x-place: h2\n");
		buf_fini(&a.body);
	}
	ask("/empty", &a);
	assert_int_equal(a.status, 204);
	assert_true(a.done);
	buf_fini(&a.body);
	ask("/trailers", &a);
	assert_string_equal(a.trailers, "grpc-status: 0\n");
	assert_true(a.done);
	buf_fini(&a.body);
	ask("/big", &a);
	assert_int_equal(a.body.len, 100000);
	buf_fini(&a.body);
	assert_int_equal(o.connections, 1);
	assert_true(origin_saw(&o, "GET h2.test.example/ te=no auth=\n"));
}

static void test_resets(void **state)
{
	struct answer a;

	(void)state;
	ask("/reset", &a);
	assert_int_equal(a.status, 502);
	buf_fini(&a.body);
	ask("/half", &a);
	assert_true(a.closed || a.status == 502); /* a part is not the whole */
	assert_false(a.done);
	buf_fini(&a.body);
	ask("/", &a);
	assert_true(a.done);
	buf_fini(&a.body);
	assert_int_equal(o.connections, 1);
}

static void test_a_body_and_its_echo(void **state)
{
	enum { TOTAL = 600000 };
	struct egress_request q = rig_get("h2.test.example", "/echo");
	char *body = malloc(TOTAL);
	size_t sent = 0;
	struct answer a;

	(void)state;
	for (size_t i = 0; i < TOTAL; i++)
		body[i] = (char)(i * 13 + i / 1000);
	if (r.fd < 0)
		rig_connect(&r);
	answer_init(&a);
	q.method = "POST";
	q.kind = EGRESS_GRPC;
	q.path = "/echo";
	q.length = EGRESS_LENGTH_UNKNOWN;
	rig_field(&q, "content-type", "application/grpc");
	assert_int_equal(egress_put_request(&r.out, &q, false), 0);
	while (sent < TOTAL) {
		size_t n = TOTAL - sent < 30000 ? TOTAL - sent : 30000;

		assert_int_equal(egress_put_data(&r.out, body + sent, n, sent + n == TOTAL), 0);
		rig_send(&r);
		sent += n;
		rig_turn(&r);
		(void)rig_take(&r, &a);
	}
	rig_wait(&r, &a);
	assert_string_equal(a.text, "");
	assert_true(a.done);
	assert_int_equal(a.body.len, TOTAL);
	assert_memory_equal(a.body.data, body, TOTAL);
	assert_true(origin_saw(&o, "POST h2.test.example/echo te=yes"));
	buf_fini(&a.body);
	free(body);
}

static void test_many_at_a_time(void **state)
{
	struct egress_request q = rig_get("h2.test.example", "/wait");
	struct rig one[CHANNELS]; /* only the front's ends of them are used */
	unsigned before = o.connections, done = 0;
	static struct answer a[CHANNELS];
	struct answer go;

	(void)state;
	for (struct up *u = r.v.ups; u; u = u->next)
		up_close(u); /* all begin while there is none: they wait for one */
	for (unsigned i = 0; i < CHANNELS; i++) {
		int pair[2];

		answer_init(&a[i]);
		assert_int_equal(
			socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair),
			0);
		one[i].fd = pair[0];
		buf_init(&one[i].in, 1 << 20);
		assert_int_equal(chan_new(&r.v, pair[1]), 0);
		assert_int_equal(egress_put_request(&r.out, &q, true), 0);
		assert_int_equal(send(pair[0], r.out.data, r.out.len, 0), (ssize_t)r.out.len);
		buf_clear(&r.out);
	}
	for (int i = 0; i < 200 && o.requests < CHANNELS; i++)
		rig_turn(&r);
	ask("/go", &go);
	assert_true(go.done);
	buf_fini(&go.body);
	for (int i = 0; i < 500 && done < CHANNELS; i++) {
		rig_turn(&r);
		done = 0;
		for (unsigned j = 0; j < CHANNELS; j++) {
			(void)rig_take(&one[j], &a[j]);
			done += a[j].done;
		}
	}
	assert_int_equal(done, CHANNELS);
	for (unsigned i = 0; i < CHANNELS; i++) {
		assert_memory_equal(a[i].body.data, "waited", 6);
		buf_fini(&a[i].body);
		close(one[i].fd);
		buf_fini(&one[i].in);
	}
	assert_int_equal(o.connections, before + 1);
}

static void test_waiting_for_one_that_is_given_up(void **state)
{
	struct egress_request q = rig_get("h2.test.example", "/");
	struct answer a;
	int first;

	(void)state;
	for (unsigned turns = 0; turns < 5; turns++) {
		for (struct up *u = r.v.ups; u; u = u->next)
			up_close(u);
		rig_connect(&r);
		assert_int_equal(egress_put_request(&r.out, &q, true), 0);
		rig_send(&r);
		rig_turn(&r); /* it dials */
		first = r.fd;
		r.fd = -1;
		rig_connect(&r);
		answer_init(&a);
		assert_int_equal(egress_put_request(&r.out, &q, true), 0);
		rig_send(&r);
		for (unsigned i = 0; i < turns; i++)
			rig_turn(&r);
		close(first);
		rig_wait(&r, &a);
		assert_string_equal(a.text, "");
		assert_true(a.done);
		buf_fini(&a.body);
	}
}

static void test_a_server_that_leaves(void **state)
{
	struct answer a;

	(void)state;
	ask("/leave", &a);
	assert_true(a.done);
	buf_fini(&a.body);
	ask("/", &a);
	assert_true(a.done);
	buf_fini(&a.body);
	ask("/gone", &a);
	assert_true(a.failed);
	assert_int_equal(a.status, 502);
	buf_fini(&a.body);
	ask("/", &a);
	assert_true(a.done);
	buf_fini(&a.body);
}

static void test_giving_up(void **state)
{
	struct egress_request q = rig_get("h2.test.example", "/big");
	struct answer a;

	(void)state;
	for (unsigned i = 0; i < 30; i++) {
		rig_connect(&r);
		assert_int_equal(egress_put_request(&r.out, &q, true), 0);
		rig_send(&r);
		for (unsigned j = 0; j < i % 6; j++)
			rig_turn(&r);
	}
	rig_connect(&r);
	/* Windows that were given back: the connection still carries much. */
	for (unsigned i = 0; i < 10; i++) {
		ask("/big", &a);
		if (!a.done)
			fail_msg("%u: %d %s %s", i, a.status, a.code, a.text);
		buf_fini(&a.body);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_resets),
		cmocka_unit_test(test_a_body_and_its_echo),
		cmocka_unit_test(test_many_at_a_time),
		cmocka_unit_test(test_waiting_for_one_that_is_given_up),
		cmocka_unit_test(test_a_server_that_leaves),
		cmocka_unit_test(test_giving_up),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
