/* test_egress.c - messages of the way out: round trips, and every shortened or altered form refused */
#include "check.h"
#include "proto/egress.h"
#include "proto/egress_config.h"
#include <string.h>

static void stream_head(void **state)
{
	struct egress_stream in = {.to = {.family = 4, .bytes = {203, 0, 113, 9}}, .port = 443},
			     out;
	uint8_t b[EGRESS_STREAM_HEAD], bad[EGRESS_STREAM_HEAD];
	(void)state;

	egress_put_stream(b, &in);
	assert_int_equal(egress_get_stream(b, &out), PROTO_OK);
	assert_int_equal(out.port, 443);
	assert_int_equal(out.to.family, 4);
	assert_memory_equal(out.to.bytes, in.to.bytes, 16);
	/* each byte that has one right value only */
	for (unsigned i = 0; i < sizeof(b); i++) {
		if (i == 6 || i == 7 || (i >= 8 && i < 12) || i == 24)
			continue;
		memcpy(bad, b, sizeof(b));
		bad[i] ^= 0x40;
		assert_int_equal(egress_get_stream(bad, &out), PROTO_MALFORMED);
		assert_int_equal(out.port, 0);
	}
	memcpy(bad, b, sizeof(b));
	bad[6] = bad[7] = 0; /* port 0 */
	assert_int_equal(egress_get_stream(bad, &out), PROTO_MALFORMED);
	memcpy(bad, b, sizeof(b));
	bad[24] = 2;
	assert_int_equal(egress_get_stream(bad, &out), PROTO_MALFORMED);
}

static void mapped_is_ipv4(void **state)
{
	struct egress_stream in = {.to = {.family = 6,
					   .bytes = {[10] = 0xff, 0xff, 169, 254, 169, 254}},
				     .port = 80},
			     out;
	uint8_t b[EGRESS_STREAM_HEAD];
	(void)state;

	egress_put_stream(b, &in);
	assert_int_equal(egress_get_stream(b, &out), PROTO_OK);
	assert_int_equal(out.to.family, 4);
	assert_int_equal(out.to.bytes[0], 169);
	assert_int_equal(out.to.bytes[4], 0);
}

static struct egress_request sample(void)
{
	return (struct egress_request){.scheme = EGRESS_HTTPS,
		.kind = EGRESS_PLAIN,
		.method = "POST",
		.host = "api.example.com",
		.port = 443,
		.path = "/v1/x",
		.query = "?a=b",
		.length = 7,
		.to = {.family = 4, .bytes = {192, 0, 2, 1}},
		.fields = {.n = 2,
			.v = {{"accept", "*/*", 6, 3, false},
				{"authorization", "Bearer s", 13, 8, true}}}};
}

static void request_round_trip(void **state)
{
	struct egress_request in = sample(), out;
	struct egress_frame f;
	struct buf b;
	size_t used;
	(void)state;

	buf_init(&b, 1 << 20);
	assert_int_equal(egress_put_request(&b, &in, false), 0);
	for (size_t n = 0; n < b.len; n++)
		assert_int_equal(egress_next_frame(b.data, n, &used, &f), FRAME_MORE);
	assert_int_equal(egress_next_frame(b.data, b.len, &used, &f), FRAME_GOT);
	assert_int_equal(used, b.len);
	assert_int_equal(egress_get_request(&f, &out), PROTO_OK);
	assert_string_equal(out.host, "api.example.com");
	assert_string_equal(out.query, "?a=b");
	assert_int_equal(out.fields.n, 2);
	assert_true(out.fields.v[1].never_index);
	assert_string_equal(egress_field(&out.fields, "authorization"), "Bearer s");
	assert_null(egress_field(&out.fields, "cookie"));
	for (size_t n = 0; n < f.len; n++) { /* whatever is cut off, nothing is left half-read */
		struct egress_frame cut = f;

		cut.len = n;
		assert_int_equal(egress_get_request(&cut, &out), PROTO_MALFORMED);
		assert_int_equal(out.fields.n, 0);
	}
	buf_fini(&b);
}

/* put_and_get() - is a request with these texts taken? */
static bool taken(const struct egress_request *q)
{
	struct egress_request out;
	struct egress_frame f;
	struct buf b;
	size_t used;
	bool ok;

	buf_init(&b, 1 << 20);
	assert_int_equal(egress_put_request(&b, q, false), 0);
	assert_int_equal(egress_next_frame(b.data, b.len, &used, &f), FRAME_GOT);
	ok = egress_get_request(&f, &out) == PROTO_OK;
	buf_fini(&b);
	return ok;
}

static void request_refuses_what_could_split(void **state)
{
	static const char *const bad[] = {
		"/x y", "/x\r\nHost: evil", "/\x7f", "x", "/\xc3\xa4", ""};
	struct egress_request q;
	(void)state;

	for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
		q = sample();
		q.path = bad[i];
		assert_false(taken(&q));
	}
	q = sample();
	q.method = "GET /";
	assert_false(taken(&q));
	q = sample();
	q.query = "a=b";
	assert_false(taken(&q));
	q = sample();
	q.fields.v[0].value = "a\r\nx: y";
	q.fields.v[0].value_len = 7;
	assert_false(taken(&q));
	q = sample();
	q.fields.v[0].name = "Accept";
	assert_false(taken(&q));
	q = sample();
	assert_true(taken(&q));
}

static void frame_flags(void **state)
{
	static const struct {
		uint8_t type, flags;
		bool ok;
	} t[] = {{EGRESS_TUNNEL, 0, true}, {EGRESS_TUNNEL, 1, false}, {EGRESS_DONE, 0, false},
		{EGRESS_DONE, 1, true}, {EGRESS_DATA, 0, false /* empty */}, {EGRESS_DATA, 1, true},
		{EGRESS_DATA, 2, false}, {0, 0, false}, {0x0b, 1, false}, {0xff, 1, false}};
	struct egress_frame f;
	size_t used;
	(void)state;

	for (unsigned i = 0; i < ARRAY_LEN(t); i++) {
		uint8_t b[8] = {0, 0, 0, 0, t[i].type, t[i].flags, 0, 0};

		assert_int_equal(
			egress_next_frame(b, 8, &used, &f), t[i].ok ? FRAME_GOT : FRAME_BAD);
	}
	{
		uint8_t b[8] = {1, 0, 1, 0, EGRESS_DATA, 0, 0, 0}; /* 65,537 bytes */

		assert_int_equal(egress_next_frame(b, 8, &used, &f), FRAME_BAD);
	}
}

/* data_in_pieces() - of DATA, and of nothing else, what is here can be taken */
static void data_in_pieces(void **state)
{
	static const char body[] = "0123456789";
	struct egress_frame f;
	size_t left;
	struct buf b;
	bool end;
	(void)state;

	buf_init(&b, 1 << 16);
	assert_int_equal(egress_put_data(&b, body, 10, true), 0);
	for (size_t n = 0; n <= EGRESS_FRAME_HEAD; n++)
		assert_int_equal(egress_next_data(b.data, n, &f, &left, &end), FRAME_MORE);
	for (size_t n = EGRESS_FRAME_HEAD + 1; n <= b.len; n++) {
		assert_int_equal(egress_next_data(b.data, n, &f, &left, &end), FRAME_GOT);
		assert_int_equal(f.len, n - EGRESS_FRAME_HEAD);
		assert_int_equal(left, b.len - n);
		assert_true(end && f.type == EGRESS_DATA && f.end == (n == b.len));
		assert_memory_equal(f.body, body, f.len);
	}
	assert_int_equal(buf_add(&b, "x", 1), 0); /* of the next frame */
	assert_int_equal(egress_next_data(b.data, b.len, &f, &left, &end), FRAME_GOT);
	assert_true(f.len == 10 && left == 0);
	b.data[5] = 2; /* a flag that is none */
	assert_int_equal(egress_next_data(b.data, 12, &f, &left, &end), FRAME_BAD);
	b.data[5] = 1;
	b.data[4] = EGRESS_FAILED;
	assert_int_equal(egress_next_data(b.data, 12, &f, &left, &end), FRAME_MORE);
	assert_int_equal(egress_next_data(b.data, b.len, &f, &left, &end), FRAME_MORE);
	buf_fini(&b);
}

static void control_round_trip(void **state)
{
	struct egress_msg in = {.op = EGRESS_OP_ASK,
				  .seq = 9,
				  .id = 77,
				  .name = "h.example.com",
				  .port = 443,
				  .method = "GET",
				  .path = "/x",
				  .rule = "r1"},
			  out;
	struct buf b;
	(void)state;

	buf_init(&b, EGRESS_CONTROL_MAX);
	assert_int_equal(egress_put_msg(&b, &in), 0);
	assert_int_equal(egress_get_msg(b.data, b.len, false, &out), PROTO_OK);
	assert_int_equal(out.op, EGRESS_OP_ASK);
	assert_int_equal(out.id, 77);
	assert_string_equal(out.rule, "r1");
	assert_int_equal(
		egress_get_msg(b.data, b.len, true, &out), PROTO_MALFORMED); /* surplus fd */
	for (size_t n = 0; n < b.len; n++)
		assert_int_equal(egress_get_msg(b.data, n, false, &out), PROTO_MALFORMED);
	buf_clear(&b);
	in = (struct egress_msg){.op = EGRESS_OP_PEER, .seq = 1};
	assert_int_equal(egress_put_msg(&b, &in), 0);
	assert_int_equal(
		egress_get_msg(b.data, b.len, false, &out), PROTO_MALFORMED); /* fd is due */
	assert_int_equal(egress_get_msg(b.data, b.len, true, &out), PROTO_OK);
	buf_fini(&b);
}

static void records(void **state)
{
	struct egress_record in = {.time_ms = 5,
				     .event = EGRESS_ON_HTTP,
				     .decision = EGRESS_DENY,
				     .host = "x.test",
				     .port = 443,
				     .method = "GET",
				     .path = "/",
				     .rule = "",
				     .reason = "default-deny",
				     .status = 403,
				     .credential = "",
				     .note = ""},
			     out;
	struct buf b;
	size_t used, at = 0, n = 0;
	(void)state;

	buf_init(&b, EGRESS_CONTROL_MAX);
	for (int i = 0; i < 3; i++)
		assert_int_equal(egress_put_record(&b, &in), 0);
	while (at < b.len) {
		assert_int_equal(
			egress_next_record((uint8_t *)b.data + at, b.len - at, &used, &out),
			PROTO_OK);
		assert_string_equal(out.reason, "default-deny");
		at += used;
		n++;
	}
	assert_int_equal(n, 3);
	in.decision = 9;
	buf_clear(&b);
	assert_int_equal(egress_put_record(&b, &in), 0);
	assert_int_equal(
		egress_next_record((uint8_t *)b.data, b.len, &used, &out), PROTO_MALFORMED);
	buf_fini(&b);
}

static void config_round_trip(void **state)
{
	struct egress_slot slot = {.kind = EGRESS_SLOT_HEADER,
		.host = "api.github.com:443",
		.header = "authorization",
		.format = "Bearer %s"};
	struct egress_credential cred = {
		.name = "github", .sentinel = "sbx-1", .n_slots = 1, .slots = &slot};
	struct egress_server server = {.addr = {.family = 4, .bytes = {127, 0, 0, 53}}, .port = 53};
	struct egress_config in = {.generation = 3,
				     .id = "0123",
				     .name = "box",
				     .policy = (const uint8_t *)"P",
				     .policy_len = 1,
				     .extra_ca = "-----BEGIN",
				     .n_credentials = 1,
				     .credentials = &cred,
				     .n_servers = 1,
				     .servers = &server},
			     out;
	struct buf b;
	(void)state;

	buf_init(&b, EGRESS_CONFIG_MAX);
	assert_int_equal(egress_put_config(&b, &in), 0);
	assert_int_equal(egress_get_config(b.data, b.len, &out), PROTO_OK);
	assert_int_equal(out.generation, 3);
	assert_string_equal(out.agent, "");
	assert_string_equal(out.extra_ca, "-----BEGIN");
	assert_string_equal(out.credentials[0].slots[0].format, "Bearer %s");
	assert_int_equal(out.servers[0].port, 53);
	egress_config_fini(&out);
	for (size_t n = 0; n < b.len; n++) {
		assert_int_equal(egress_get_config(b.data, n, &out), PROTO_MALFORMED);
		assert_null(out.bytes);
	}
	/* a count that cannot be true allocates nothing */
	memset(b.data + b.len - 4, 0xff, 4);
	assert_int_equal(egress_get_config(b.data, b.len, &out), PROTO_MALFORMED);
	buf_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stream_head),
		cmocka_unit_test(mapped_is_ipv4),
		cmocka_unit_test(request_round_trip),
		cmocka_unit_test(request_refuses_what_could_split),
		cmocka_unit_test(frame_flags),
		cmocka_unit_test(data_in_pieces),
		cmocka_unit_test(control_round_trip),
		cmocka_unit_test(records),
		cmocka_unit_test(config_round_trip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
