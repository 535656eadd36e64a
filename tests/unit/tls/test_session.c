#include "pair.h"
#include "base/err.h"
#include <errno.h>

static struct tls_ca *ca;
static struct tls_leaves *leaves;
static struct tls_server *server;
static struct tls_client *client;

static int set_up(void **state)
{
	struct tls_roots *roots = tls_roots_new();
	struct err e = {0};

	(void)state;
	assert_non_null(roots);
	assert_int_equal(tls_ca_make("box", time(NULL), &ca, &e), 0);
	assert_int_equal(tls_leaves_new(ca, 4, &leaves, &e), 0);
	assert_int_equal(tls_server_ctx_new(&server, &e), 0);
	assert_int_equal(
		tls_roots_add(roots, tls_ca_pem(ca), strlen(tls_ca_pem(ca)), true, NULL, &e), 0);
	assert_int_equal(tls_client_ctx_new(roots, NULL, &client, &e), 0);
	tls_roots_free(roots);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	tls_client_ctx_free(client);
	tls_server_ctx_free(server);
	tls_leaves_free(leaves);
	tls_ca_free(ca);
	return 0;
}

static void dial(struct pair *p, const char *host, bool h2)
{
	const struct tls_dial d = {
		.fd = p->fd[1], .host = host, .port = 443, .h2 = h2, .http = true};

	p->server = tls_server_new(server, p->fd[0], NULL, 0);
	assert_non_null(p->server);
	assert_int_equal(tls_client_new(client, &d, &p->client), 0);
}

static void shake(struct pair *p, const char *alpn)
{
	enum tls_step s, c;

	pair_shake(p, leaves, alpn, &s, &c);
	assert_int_equal(s, TLS_DONE);
	assert_int_equal(c, TLS_DONE);
	assert_true(tls_client_verified(p->client));
}

static void test_bytes_go_both_ways(void **state)
{
	char got[64];
	struct pair p;

	(void)state;
	pair_open(&p);
	dial(&p, "api.example.com", true);
	shake(&p, "h2");
	assert_string_equal(tls_alpn(p.client), "h2");
	assert_string_equal(tls_alpn(p.server), "h2");
	assert_string_equal(tls_server_name(p.server), "api.example.com");
	assert_true(tls_server_offers(p.server, "http/1.1"));
	assert_false(tls_server_offers(p.server, "h3"));
	assert_int_equal(tls_version(p.client), 13);
	assert_int_equal(tls_read(p.server, got, sizeof(got)), -EAGAIN);
	assert_int_equal(tls_wants(p.server), TLS_READ);
	assert_int_equal(tls_write(p.client, "hello", 5), 5);
	assert_int_equal(tls_read(p.server, got, 2), 2);
	assert_true(tls_pending(p.server));
	assert_int_equal(tls_read(p.server, got + 2, 10), 3);
	assert_memory_equal(got, "hello", 5);
	assert_int_equal(tls_write(p.server, "there", 5), 5);
	assert_int_equal(tls_read(p.client, got, sizeof(got)), 5);
	assert_int_equal(tls_close(p.client), 0);
	assert_int_equal(tls_read(p.server, got, sizeof(got)), 0);
	pair_close(&p);
}

static void test_a_cut_is_no_end(void **state)
{
	char got[8];
	struct pair p;

	(void)state;
	pair_open(&p);
	dial(&p, "cut.example.com", false);
	shake(&p, "http/1.1");
	assert_int_equal(tls_read(p.client, got, sizeof(got)), -EAGAIN);
	assert_int_equal(shutdown(p.fd[0], SHUT_WR), 0);
	assert_int_equal(tls_read(p.client, got, sizeof(got)), -ECONNRESET);
	assert_string_equal(tls_why(p.client), "the connection was cut");
	pair_close(&p);
}

static void test_bulk_with_back_pressure(void **state)
{
	enum { TOTAL = 4 << 20 };
	static char out[TOTAL], in[TOTAL];
	size_t sent = 0, got = 0;
	struct pair p;

	(void)state;
	for (size_t i = 0; i < sizeof(out); i++)
		out[i] = (char)(i * 31 + i / 7919);
	pair_open(&p);
	dial(&p, "bulk.example.com", false);
	shake(&p, NULL);
	assert_string_equal(tls_alpn(p.client), "");
	for (unsigned turns = 0; got < TOTAL && turns < 100000; turns++) {
		ssize_t n = sent < TOTAL ? tls_write(p.server, out + sent, TOTAL - sent) : 0;

		assert_true(n >= 0 || n == -EAGAIN);
		sent += n > 0 ? (size_t)n : 0;
		n = tls_read(p.client, in + got, TOTAL - got);
		assert_true(n > 0 || n == -EAGAIN);
		got += n > 0 ? (size_t)n : 0;
	}
	assert_int_equal(got, TOTAL);
	assert_memory_equal(in, out, TOTAL);
	pair_close(&p);
}

static void test_what_ends_it_is_told_after_what_came_before(void **state)
{
	char got[64];
	struct pair p;

	(void)state;
	pair_open(&p);
	dial(&p, "late.example.com", false);
	shake(&p, NULL);
	assert_int_equal(tls_write(p.server, "one", 3), 3);
	assert_int_equal(tls_write(p.server, "two", 3), 3);
	assert_int_equal(tls_close(p.server), 0);
	/* three records, one read of the descriptor */
	assert_int_equal(tls_read(p.client, got, sizeof(got)), 6);
	assert_memory_equal(got, "onetwo", 6);
	assert_true(tls_pending(p.client));
	assert_int_equal(tls_read(p.client, got, sizeof(got)), 0);
	pair_close(&p);

	pair_open(&p);
	dial(&p, "late.example.com", false);
	shake(&p, NULL);
	assert_int_equal(tls_write(p.server, "one", 3), 3);
	assert_int_equal(send(p.fd[0], "nonsense", 8, MSG_NOSIGNAL), 8);
	assert_int_equal(tls_read(p.client, got, sizeof(got)), 3);
	assert_int_equal(tls_read(p.client, got, sizeof(got)), -EPROTO);
	pair_close(&p);
}

static void test_sessions_are_resumed_by_host(void **state)
{
	static const char *const hosts[] = {"r.example.com", "r.example.com", "other.example.com"};
	char got[8];

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(hosts); i++) {
		struct pair p;

		pair_open(&p);
		dial(&p, hosts[i], false);
		shake(&p, "http/1.1");
		assert_int_equal(tls_resumed(p.client), i == 1);
		assert_int_equal(tls_resumed(p.server), i == 1);
		assert_int_equal(tls_write(p.server, "x", 1), 1);
		assert_int_equal(tls_read(p.client, got, sizeof(got)), 1);
		pair_close(&p);
	}
}

static void test_bytes_read_ahead_come_first(void **state)
{
	char hello[4096];
	enum tls_step s, c;
	struct pair p;
	ssize_t n;

	(void)state;
	pair_open(&p);
	dial(&p, "ahead.example.com", false);
	assert_int_equal(tls_handshake(p.client), TLS_WANT);
	n = recv(p.fd[0], hello, sizeof(hello), 0);
	assert_true(n > 100);
	tls_free(p.server);
	p.server = tls_server_new(server, p.fd[0], hello, (size_t)n);
	assert_non_null(p.server);
	pair_shake(&p, leaves, NULL, &s, &c);
	assert_int_equal(s, TLS_DONE);
	assert_int_equal(c, TLS_DONE);
	pair_close(&p);
}

static void test_a_session_carries_another(void **state)
{
	struct tls_dial d = {.fd = -1, .host = "inner.example.com", .port = 443, .http = true};
	const struct tls_leaf *leaf;
	struct tls *inner, *inner_server;
	enum tls_step s, c;
	struct pair p, q;
	char got[2048];

	(void)state;
	pair_open(&p);
	pair_open(&q); /* the proxy's other side: what came out of the outer session */
	dial(&p, "proxy.example.com", false);
	shake(&p, NULL);
	d.under = p.client;
	assert_int_equal(tls_client_new(client, &d, &inner), 0);
	inner_server = tls_server_new(server, q.fd[0], NULL, 0);
	assert_non_null(inner_server);
	assert_int_equal(tls_leaves_get(leaves, "inner.example.com", time(NULL), &leaf, NULL), 0);
	assert_int_equal(tls_server_choose(inner_server, leaf, "http/1.1"), 0);
	s = c = TLS_WANT;
	for (int i = 0; i < 50 && (s == TLS_WANT || c == TLS_WANT); i++) {
		ssize_t n;

		if (c == TLS_WANT)
			c = tls_handshake(inner);
		n = tls_read(p.server, got, sizeof(got));
		if (n > 0)
			assert_int_equal(send(q.fd[1], got, (size_t)n, 0), n);
		if (s == TLS_WANT)
			s = tls_handshake(inner_server);
		n = recv(q.fd[1], got, sizeof(got), 0);
		if (n > 0)
			assert_int_equal(tls_write(p.server, got, (size_t)n), n);
	}
	assert_int_equal(s, TLS_DONE);
	assert_int_equal(c, TLS_DONE);
	assert_true(tls_client_verified(inner));
	tls_free(inner);
	tls_free(inner_server);
	pair_close(&p);
	pair_close(&q);
}

static void test_a_refused_name_gets_an_alert(void **state)
{
	struct pair p;

	(void)state;
	pair_open(&p);
	dial(&p, "no.example.com", false);
	assert_int_equal(tls_handshake(p.client), TLS_WANT);
	assert_int_equal(tls_handshake(p.server), TLS_HELLO);
	tls_server_refuse(p.server);
	assert_int_equal(tls_handshake(p.server), TLS_FAILED);
	assert_int_equal(tls_handshake(p.client), TLS_FAILED);
	assert_non_null(strstr(tls_why(p.client), "unrecognized name"));
	pair_close(&p);
}

static void test_rubbish_is_refused(void **state)
{
	static const char rubbish[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
	struct pair p;

	(void)state;
	pair_open(&p);
	p.server = tls_server_new(server, p.fd[0], rubbish, sizeof(rubbish) - 1);
	assert_non_null(p.server);
	assert_int_equal(tls_handshake(p.server), TLS_FAILED);
	assert_true(tls_why(p.server)[0] != 0);
	assert_int_equal(tls_read(p.server, (char[4]){0}, 4), -EPROTO);
	pair_close(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bytes_go_both_ways),
		cmocka_unit_test(test_a_cut_is_no_end),
		cmocka_unit_test(test_bulk_with_back_pressure),
		cmocka_unit_test(test_what_ends_it_is_told_after_what_came_before),
		cmocka_unit_test(test_sessions_are_resumed_by_host),
		cmocka_unit_test(test_bytes_read_ahead_come_first),
		cmocka_unit_test(test_a_session_carries_another),
		cmocka_unit_test(test_a_refused_name_gets_an_alert),
		cmocka_unit_test(test_rubbish_is_refused),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
