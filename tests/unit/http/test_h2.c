/* test_h2.c - both roles against each other, and a server against frames no client of ours makes */
#include "check.h"
#include "h2_pair.h"
#include <errno.h>

#define FIELD(n, v)                                                                                \
	{                                                                                          \
		(n), (v), sizeof(n) - 1, sizeof(v) - 1, false                                      \
	}

static int32_t ask(struct h2_pair *p, const char *method, bool end)
{
	static const struct egress_fields f = {
		.n = 2, .v = {FIELD("accept", "*/*"), {"authorization", "x", 13, 1, true}}};
	const struct h2_head q = {.method = method,
		.scheme = "https",
		.authority = "a.test",
		.path = "/x",
		.fields = &f};

	return h2_request(p->client.h, &q, end, NULL);
}

static void test_exchange(void **state)
{
	static const struct egress_fields f = {.n = 1, .v = {FIELD("content-type", "text/plain")}};
	static const struct egress_fields t = {.n = 1, .v = {FIELD("grpc-status", "0")}};
	struct h2_pair p;
	int32_t id;

	(void)state;
	pair_init(&p);
	id = ask(&p, "POST", false);
	assert_true(id > 0);
	assert_int_equal(h2_send(p.client.h, id, "hello", 5), 0);
	assert_int_equal(h2_end(p.client.h, id, &t), 0);
	pair_run(&p);
	assert_string_equal(
		p.server.log, "POST a.test/x accept=*/* authorization=x! end grpc-status=0 ");
	assert_int_equal(p.server.data, 5);
	assert_int_equal(h2_respond(p.server.h, id, 103, NULL, false), 0);
	assert_int_equal(h2_respond(p.server.h, id, 200, &f, false), 0);
	assert_int_equal(h2_respond(p.server.h, id, 200, &f, false), -EINVAL);
	assert_int_equal(h2_send(p.server.h, id, "body", 4), 0);
	pair_run(&p);
	assert_int_equal(h2_end(p.server.h, id, &t), 0);
	pair_run(&p);
	assert_string_equal(
		p.client.log, "103 200 content-type=text/plain end grpc-status=0 closed0 ");
	assert_int_equal(p.client.data, 4);
	assert_int_equal(h2_streams(p.client.h), 0);
	assert_int_equal(h2_streams(p.server.h), 0);
	assert_int_equal(h2_send(p.server.h, id, "x", 1), -ESTALE);
	pair_fini(&p);
}

static void test_back_pressure(void **state)
{
	static char block[16384];
	struct h2_pair p;
	size_t sent = 0;
	int32_t id;
	int r;

	(void)state;
	pair_init(&p);
	p.server.keep = true;
	id = ask(&p, "PUT", false);
	for (unsigned i = 0; i < 200; i++) {
		r = h2_send(p.client.h, id, block, sizeof(block));
		pair_run(&p);
		if (r == 0)
			sent += sizeof(block);
		else
			assert_int_equal(r, -EAGAIN);
	}
	/* what nobody consumed is the window; the rest waits in the queue, and nothing else */
	assert_int_equal(p.server.data, H2_STREAM_WINDOW);
	assert_true(sent <= H2_STREAM_WINDOW + H2_QUEUE_MAX);
	h2_consume(p.server.h, id, p.server.data);
	p.server.keep = false;
	pair_run(&p);
	assert_int_equal(p.server.data, sent);
	assert_true(p.client.drained > 0);
	assert_int_equal(h2_end(p.client.h, id, NULL), 0);
	assert_int_equal(h2_respond(p.server.h, id, 204, NULL, true), 0);
	pair_run(&p);
	assert_string_equal(p.client.log, "204 end closed0 ");
	pair_fini(&p);
}

/* test_send_to() - bytes that go on at once, in front of and behind others, through a window that closes */
static void test_send_to(void **state)
{
	static uint8_t body[3 * H2_STREAM_WINDOW];
	struct h2_pair p;
	struct buf out;
	size_t sent = 0;
	int32_t id;
	int r = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(body); i++)
		body[i] = (uint8_t)(i * 13 + i / 257);
	pair_init(&p);
	buf_init(&out, 4U << 20);
	p.server.keep = true;
	p.server.expect = body;
	id = ask(&p, "PUT", false);
	pair_run(&p);
	while (sent < sizeof(body)) {
		size_t n = sent % 50000 + 1000;

		n = n < sizeof(body) - sent ? n : sizeof(body) - sent;
		r = sent % 3 == 0 ? h2_send(p.client.h, id, body + sent, n)
				  : h2_send_to(p.client.h, id, body + sent, n, &out, 65536);
		if (r == 0) {
			sent += n;
			/* what may not go yet was copied: the caller's bytes are not needed any more */
			continue;
		}
		assert_int_equal(r, -EAGAIN);
		assert_int_equal(h2_input(p.server.h, out.data, out.len, 1000), 0);
		buf_clear(&out);
		pair_run(&p);
		h2_consume(p.server.h, id, p.server.data);
		p.server.keep = false;
		pair_run(&p);
	}
	assert_true(r == 0 && out.len <= 65536 + 16384 + 9);
	assert_int_equal(h2_end(p.client.h, id, NULL), 0);
	assert_int_equal(h2_input(p.server.h, out.data, out.len, 1000), 0);
	pair_run(&p);
	assert_int_equal(p.server.data, sizeof(body));
	assert_null(strstr(p.server.log, "altered"));
	assert_non_null(strstr(p.server.log, "end"));
	assert_int_equal(h2_send_to(p.client.h, id, body, 1, &out, 65536), -EINVAL);
	buf_fini(&out);
	pair_fini(&p);
}

/* test_output_is_bounded() - however much waits in however many streams, what is asked for is given, and
 * the rest of it the next time
 */
static void test_output_is_bounded(void **state)
{
	static uint8_t body[H2_QUEUE_MAX];
	struct h2_pair p;
	struct buf out;
	bool more = true;
	unsigned rounds = 0;

	(void)state;
	pair_init(&p);
	pair_run(&p); /* windows are known */
	buf_init(&out, 128 << 10);
	for (unsigned i = 0; i < 4; i++) {
		int32_t id = ask(&p, "PUT", false);

		assert_int_equal(h2_send(p.client.h, id, body, sizeof(body)), 0);
	}
	while (more) {
		assert_int_equal(h2_output(p.client.h, &out, 65536, &more), 0);
		assert_true(out.len <= 65536 + 16384 + 9);
		if (out.len > 0)
			assert_int_equal(h2_input(p.server.h, out.data, out.len, 1000), 0);
		buf_clear(&out);
		assert_true(++rounds < 100);
	}
	pair_run(&p);
	assert_true(rounds > 1);
	assert_int_equal(p.server.data, 4 * sizeof(body));
	buf_fini(&out);
	pair_fini(&p);
}

static void test_resets(void **state)
{
	struct h2_pair p;
	int32_t id;

	(void)state;
	pair_init(&p);
	id = ask(&p, "GET", true);
	pair_run(&p);
	h2_reset(p.client.h, id, H2_CANCEL);
	pair_run(&p);
	assert_non_null(strstr(p.server.log, "closed8"));
	/* opened and given up again and again: the connection ends */
	for (unsigned i = 0; i < H2_RESETS_PER_S + 10 && p.server_in == 0; i++) {
		id = ask(&p, "GET", true);
		pair_run(&p);
		if (id > 0)
			h2_reset(p.client.h, id, H2_CANCEL);
		pair_run(&p);
	}
	assert_int_equal(p.server_in, -EPROTO);
	assert_true(h2_refuses(p.client.h));
	pair_fini(&p);
}

static void test_many_streams(void **state)
{
	struct h2_pair p;
	unsigned n = 0;

	(void)state;
	pair_init(&p);
	pair_run(&p);
	while (n < 200 && ask(&p, "GET", true) > 0)
		n++;
	assert_int_equal(n, H2_STREAMS_MAX);
	pair_run(&p);
	assert_int_equal(h2_streams(p.server.h), H2_STREAMS_MAX);
	h2_goodbye(p.server.h, H2_NO_ERROR, false);
	pair_run(&p);
	assert_true(h2_refuses(p.client.h));
	assert_true(h2_unprocessed(p.client.h, 1000, H2_NO_ERROR));
	assert_false(h2_unprocessed(p.client.h, 1, H2_NO_ERROR));
	pair_fini(&p);
}

static void test_extended_connect(void **state)
{
	static const struct egress_fields f = {.n = 0};
	struct h2_pair p;
	const struct h2_head q = {.method = "CONNECT",
		.scheme = "https",
		.authority = "a.test",
		.path = "/ws",
		.protocol = "websocket",
		.fields = &f};
	int32_t id;

	(void)state;
	pair_init(&p);
	pair_run(&p);
	assert_true(h2_peer_extended(p.client.h));
	id = h2_request(p.client.h, &q, false, NULL);
	pair_run(&p);
	assert_string_equal(p.server.log, "CONNECT a.test/wswebsocket ");
	assert_int_equal(h2_respond(p.server.h, id, 200, NULL, false), 0);
	assert_int_equal(h2_send(p.server.h, id, "frame", 5), 0);
	pair_run(&p);
	assert_int_equal(p.client.data, 5);
	pair_fini(&p);
}

/* ---- a server and bytes by hand ---- */

static void raw(struct h2_pair *p, const char *frames, size_t len)
{
	static const char magic[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";

	pair_init(p);
	assert_int_equal(h2_input(p->server.h, magic, sizeof(magic) - 1, 1000), 0);
	p->server_in = h2_input(p->server.h, frames, len, 1000);
}

#define RAW(p, s) raw(p, s, sizeof(s) - 1)
/* :method GET, :scheme https, :path / of the static table; :authority as a literal */
#define GOOD                                                                                       \
	"\x82\x87\x84\x41\x01"                                                                     \
	"a"

static void test_malformed(void **state)
{
	/* each is one HEADERS frame of stream 1 with END_STREAM and END_HEADERS */
	static const struct {
		const char *block;
		size_t len;
		const char *log; /* what the server is told; "" : a stream error inside */
	} cases[] = {
#define CASE(b, l) {b, sizeof(b) - 1, l}
		CASE(GOOD, "GET a/ end "),
		CASE("\x82\x87\x84", ""), /* neither :authority nor host */
		CASE("\x82\x82\x87\x84\x41\x01"
		     "a",
			""), /* :method twice */
		CASE("\x82\x87\x84\x41\x01"
		     "a\x41\x01"
		     "b",
			""),
		CASE("\x87\x84\x41\x01"
		     "a",
			""), /* no :method */
		CASE(GOOD "\x00\x01"
			  "A\x01"
			  "b",
			""), /* upper case */
		CASE(GOOD "\x00\x01"
			  "a\x03"
			  "b\r\n",
			"bad400 "),
		CASE(GOOD "\x00\x01"
			  "a\x02"
			  "b\0",
			"bad400 "),
		CASE(GOOD "\x00\x03"
			  "a b\x01"
			  "c",
			"bad400 "),
		CASE(GOOD "\x00\x0a"
			  "connection\x05"
			  "close",
			""),
		CASE(GOOD "\x00\x11"
			  "transfer-encoding\x07"
			  "chunked",
			""),
		CASE(GOOD "\x00\x0e"
			  "content-length\x01"
			  "5",
			""), /* but no body */
		CASE(GOOD "\x82",
			""), /* a pseudo-field after a field of the list? it is the sixth */
		CASE("\x00\x01"
		     "a\x01"
		     "b" GOOD,
			""), /* pseudo-fields last */
		CASE(GOOD "\x00\x07"
			  ":status\x03"
			  "200",
			""),
		CASE(GOOD "\x00\x02"
			  "te\x07"
			  "chunked",
			""),
#undef CASE
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char frame[256] = {0};
		struct h2_pair p;

		frame[2] = (char)cases[i].len;
		frame[3] = 1; /* HEADERS */
		frame[4] = 5; /* END_STREAM, END_HEADERS */
		frame[8] = 1;
		memcpy(frame + 9, cases[i].block, cases[i].len);
		raw(&p, frame, 9 + cases[i].len);
		assert_int_equal(p.server_in, 0);
		if (strcmp(p.server.log, cases[i].log) != 0)
			print_error("case %zu: '%s'\n", i, p.server.log);
		assert_string_equal(p.server.log, cases[i].log);
		assert_int_equal(p.server.malformed, cases[i].log[0] == '\0');
		pair_fini(&p);
	}
}

static void test_floods(void **state)
{
	static const char ping[] = "\0\0\x08\6\0\0\0\0\0"
				   "12345678";
	static const char settings[] = "\0\0\0\4\0\0\0\0\0";
	static const char priority[] = "\0\0\5\2\0\0\0\0\1\0\0\0\0\0";
	static const struct {
		const char *frame;
		size_t len;
	} floods[] = {{ping, sizeof(ping) - 1}, {settings, sizeof(settings) - 1},
		{priority, sizeof(priority) - 1}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(floods); i++) {
		struct h2_pair p;
		unsigned n = 0;
		int r;

		RAW(&p, "");
		do
			r = h2_input(p.server.h, floods[i].frame, floods[i].len, 1000);
		while (r == 0 && ++n < H2_CONTROLS_PER_S + 10);
		assert_int_equal(r, -EPROTO);
		pair_fini(&p);
	}
}

static void test_large_head(void **state)
{
	static char block[20000];
	struct h2_pair p;
	int r = 0;

	(void)state;
	/* one literal field of 16,000 bytes, put into the table never, 40 times in CONTINUATIONs */
	RAW(&p, "\0\0\6\1\1\0\0\0\1" GOOD);
	for (unsigned i = 0; i < 40 && r == 0; i++) {
		char head[] = {0, 0, 0, 9, 0, 0, 0, 0, 1};
		size_t n = 0;

		memcpy(block, "\x00\x01x\x7f\x81\x7c", 6);
		n = 6 + 127 + 1 + 124 * 128;
		memset(block + 6, 'v', n - 6);
		head[0] = (char)(n >> 16);
		head[1] = (char)(n >> 8);
		head[2] = (char)n;
		r = h2_input(p.server.h, head, 9, 1000);
		if (r == 0)
			r = h2_input(p.server.h, block, n, 1000);
	}
	assert_int_equal(r, -EPROTO);
	assert_true(h2_bytes(p.server.h) < 200000);
	pair_fini(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exchange),
		cmocka_unit_test(test_back_pressure),
		cmocka_unit_test(test_send_to),
		cmocka_unit_test(test_output_is_bounded),
		cmocka_unit_test(test_resets),
		cmocka_unit_test(test_many_streams),
		cmocka_unit_test(test_extended_connect),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_floods),
		cmocka_unit_test(test_large_head),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
