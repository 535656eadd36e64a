/* test_front_tls.c - TLS of the guest, HTTP/2, CONNECT, bypass, and every pair of names that may differ */
#include "base/clock.h"
#include "check.h"
#include "front_rig.h"
#include "tls/client.h"
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

static const struct rig_rule rules[] = {
	{POLICY_ALLOW, "a.test", NULL, 0, false},
	{POLICY_ALLOW, "b.test", NULL, 0, false},
	{POLICY_ALLOW, "pass.test", NULL, 0, false},
	{POLICY_ALLOW, "93.184.216.9", NULL, 0, false},
	{POLICY_DENY, "evil.test", NULL, 0, false},
};

#define A "93.184.216.1"
#define B "93.184.216.2"
#define C "93.184.216.9"

struct guest {
	int fd;
	struct tls_roots *roots;
	struct tls_client *ctx;
	struct tls *tls;
};

static struct rig *make(void)
{
	struct rig *r = rig_new(rules, ARRAY_LEN(rules));

	rig_bypass(r, rules, ARRAY_LEN(rules), "pass.test");
	rig_pin(r, "a.test", A);
	rig_pin(r, "b.test", B);
	rig_pin(r, "pass.test", B);
	rig_pin(r, "evil.test", B);
	return r;
}

static bool has(const char *text, const char *what)
{
	if (!strstr(text, what))
		print_error("no '%s' in: %s\n", what, text);
	return strstr(text, what) != NULL;
}

static void guest_fini(struct guest *g)
{
	tls_free(g->tls);
	tls_client_ctx_free(g->ctx);
	tls_roots_free(g->roots);
	close(g->fd);
}

/* hello() - TLS over @fd as the guest's client; false: the handshake fails */
static bool hello(struct rig *r, struct guest *g, int fd, const char *sni, bool h2, bool http)
{
	struct tls_dial d = {.fd = fd, .host = sni, .port = 443, .h2 = h2, .http = http};
	const char *pem = tls_ca_pem(r->f.ca);
	struct err e = {0};
	enum tls_step step;

	memset(g, 0, sizeof(*g));
	g->fd = fd;
	g->roots = tls_roots_new();
	assert_int_equal(tls_roots_add(g->roots, pem, strlen(pem), true, NULL, &e), 0);
	assert_int_equal(tls_client_ctx_new(g->roots, NULL, &g->ctx, &e), 0);
	assert_int_equal(tls_client_new(g->ctx, &d, &g->tls), 0);
	for (unsigned i = 0; i < 20; i++) {
		step = tls_handshake(g->tls);
		if (step != TLS_WANT)
			break;
		rig_run(r, 200);
	}
	return step == TLS_DONE;
}

static const char *talk(
	struct rig *r, struct guest *g, const char *text, size_t len, size_t *ret_len)
{
	static char got[RIG_TEXT];
	size_t at = 0;

	while (len > 0) {
		ssize_t n = tls_write(g->tls, text, len);

		if (n > 0) {
			text += n;
			len -= (size_t)n;
		} else if (n != -EAGAIN)
			break;
		rig_run(r, 200);
	}
	for (unsigned quiet = 0; quiet < 3;) {
		ssize_t n = tls_read(g->tls, got + at, sizeof(got) - 1 - at);

		if (n > 0) {
			at += (size_t)n;
			quiet = 0;
			continue;
		}
		rig_run(r, 500);
		quiet++;
	}
	got[at] = '\0';
	if (ret_len)
		*ret_len = at;
	return got;
}

static const char *ask(struct rig *r, struct guest *g, const char *text)
{
	return talk(r, g, text, strlen(text), NULL);
}

static void test_h1(void **state)
{
	struct rig *r = make();
	struct guest g;
	const char *got;

	(void)state;
	assert_true(hello(r, &g, rig_open(r, A, 443), "a.test", false, true));
	assert_string_equal(tls_alpn(g.tls), "http/1.1");
	got = ask(r, &g, "GET /hello HTTP/1.1\r\nHost: a.test\r\n\r\n");
	assert_true(has(got, "200 OK") && has(got, "hello"));
	assert_string_equal(r->asked, "GET https://a.test:443/hello\n");
	got = ask(r, &g, "GET /hello HTTP/1.1\r\nHost: b.test\r\n\r\n");
	assert_true(has(got, "421 "));
	guest_fini(&g);
	/* no ALPN: what is spoken is seen */
	assert_true(hello(r, &g, rig_open(r, A, 443), "a.test", false, false));
	got = ask(r, &g, "GET /hello HTTP/1.1\r\nHost: a.test\r\n\r\n");
	assert_true(has(got, "hello"));
	guest_fini(&g);
	assert_true(hello(r, &g, rig_open(r, A, 443), "a.test", false, false));
	got = ask(r, &g, "EHLO a.test\r\n"); /* no HTTP in inspected TLS */
	assert_string_equal(got, "");
	guest_fini(&g);
	/* a denied name: the client sees why */
	assert_true(hello(r, &g, rig_open(r, B, 443), "evil.test", false, true));
	got = ask(r, &g, "GET /hello HTTP/1.1\r\nHost: evil.test\r\n\r\n");
	assert_true(has(got, "403 Forbidden"));
	guest_fini(&g);
	assert_int_equal(r->n_asked, 2);
	rig_free(r);
}

/* what the guest names: address, CONNECT, SNI, Host, absolute target */
static void test_matrix(void **state)
{
	static const char *const names[] = {"a.test", "b.test", "evil.test", A, C, "a.test:8443"};
	struct rig *r = make();
	unsigned before, good = 0;

	(void)state;
	/* address and SNI and Host, redirected */
	for (size_t i = 0; i < 2; i++)
		for (size_t s = 0; s < 5; s++)
			for (size_t h = 0; h < ARRAY_LEN(names); h++) {
				const char *to = i ? C : A;
				bool fits = i == 0 ? s == 0 && h == 0 : s == 4 && h == 4;
				struct guest g;
				char text[200];
				const char *got = "";

				before = r->n_asked;
				(void)snprintf(text, sizeof(text),
					"GET /hello HTTP/1.1\r\nHost: %s\r\n\r\n", names[h]);
				if (hello(r, &g, rig_open(r, to, 443), names[s], false, true))
					got = ask(r, &g, text);
				if (fits != (r->n_asked > before))
					print_error("%s %s %s: %s\n", to, names[s], names[h], got);
				assert_int_equal(r->n_asked - before, fits);
				if (fits)
					assert_true(has(got, "hello"));
				else if (got[0])
					assert_true(strstr(got, " 421 ") || strstr(got, " 403 "));
				good += fits;
				guest_fini(&g);
			}
	assert_int_equal(good, 2);
	/* CONNECT and SNI and Host */
	for (size_t c = 0; c < 5; c++)
		for (size_t s = 0; s < 5; s++)
			for (size_t h = 0; h < ARRAY_LEN(names); h++) {
				bool fits = c == s && s == h && c != 2 && c != 3;
				int fd = rig_proxy(r);
				struct guest g;
				char text[200];
				const char *got;

				before = r->n_asked;
				(void)snprintf(text, sizeof(text),
					"CONNECT %s:443 HTTP/1.1\r\nHost: %s:443\r\n\r\n", names[c],
					names[c]);
				got = rig_talk(r, fd, text);
				if (!strstr(got, " 200 ")) {
					assert_true(strstr(got, " 403 ") && (c == 2 || c == 3));
					close(fd);
					continue;
				}
				(void)snprintf(text, sizeof(text),
					"GET /hello HTTP/1.1\r\nHost: %s\r\n\r\n", names[h]);
				if (hello(r, &g, fd, names[s], false, true))
					(void)ask(r, &g, text);
				assert_int_equal(r->n_asked - before, fits);
				guest_fini(&g);
			}
	rig_free(r);
}

static void test_proxy(void **state)
{
	struct rig *r = make();
	int fd = rig_proxy(r);
	const char *got;

	(void)state;
	got = rig_talk(r, fd,
		"GET http://a.test/hello?q HTTP/1.1\r\nHost: a.test\r\n"
		"Proxy-Connection: keep-alive\r\nProxy-Authorization: Basic eA==\r\n\r\n");
	assert_true(has(got, "hello"));
	got = rig_talk(r, fd, "GET http://b.test:8080 HTTP/1.1\r\nHost: b.test:8080\r\n\r\n");
	assert_true(has(got, "404 "));
	assert_string_equal(r->asked, "GET http://a.test:80/hello?q\nGET http://b.test:8080/\n");
	got = rig_talk(r, fd, "GET http://evil.test/ HTTP/1.1\r\nHost: evil.test\r\n\r\n");
	assert_true(has(got, "403 "));
	got = rig_talk(r, fd, "GET /hello HTTP/1.1\r\nHost: a.test\r\n\r\n");
	assert_true(has(got, "400 "));
	close(fd);
	fd = rig_proxy(r);
	got = rig_talk(r, fd, "GET https://a.test/hello HTTP/1.1\r\nHost: a.test\r\n\r\n");
	assert_true(has(got, "400 "));
	close(fd);
	/* plain HTTP through a CONNECT, and a CONNECT within */
	fd = rig_proxy(r);
	got = rig_talk(r, fd,
		"CONNECT a.test:80 HTTP/1.1\r\nHost: a.test\r\n\r\n"
		"GET /hello HTTP/1.1\r\nHost: a.test\r\n\r\n");
	assert_true(has(got, " 200 Connection established") && has(got, "hello"));
	got = rig_talk(r, fd, "CONNECT b.test:80 HTTP/1.1\r\nHost: b.test:80\r\n\r\n");
	assert_true(has(got, "405 "));
	close(fd);
	/* the proxy to itself */
	fd = rig_proxy(r);
	got = rig_talk(r, fd, "CONNECT gateway.sbx.internal:3128 HTTP/1.1\r\n\r\n");
	assert_true(strstr(got, " 403 ") || strstr(got, " 400 "));
	close(fd);
	fd = rig_proxy(r);
	got = rig_talk(r, fd,
		"CONNECT gateway.sbx.internal:3128 HTTP/1.1\r\n"
		"Host: gateway.sbx.internal:3128\r\n\r\n");
	assert_true(has(got, " 403 "));
	close(fd);
	rig_free(r);
}

static void test_bypass(void **state)
{
	static const char client_hello[] = "\x16\x03\x01\x00\x3b\x01\x00\x00\x37\x03\x03"
					   "0123456789abcdef0123456789abcdef"
					   "\x00\x00\x02\x13\x01\x01\x00"
					   "\x00\x0c\x00\x00\x00\x0e\x00\x0c\x00\x00\x09"
					   "pass.test";
	struct rig *r = make();
	int fd = rig_open(r, B, 443);
	const char *got;
	char raw[sizeof(client_hello) - 1 + 4];
	size_t n = sizeof(client_hello) - 1;

	(void)state;
	(void)raw;
	/* lengths: extensions 18, message 61, record 65 */
	memcpy(raw, client_hello, n);
	raw[4] = (char)(n - 5);
	raw[8] = (char)(n - 9);
	raw[9 + 2 + 32 + 1 + 4 + 2 + 1] = (char)(n - (9 + 2 + 32 + 1 + 4 + 2 + 2));
	assert_int_equal(write(fd, raw, n), n);
	rig_run(r, 500);
	assert_string_equal(r->asked, "TUNNEL2 pass.test:443\n");
	got = rig_talk(r, fd, "more");
	assert_true(
		r->body == n + 4); /* the ClientHello went first, and came back as the rig's echo */
	assert_memory_equal(got, raw, n);
	/* Another change leaves it; without its bypass it is cut in the moment of the change. */
	rig_bypass(r, rules, ARRAY_LEN(rules), "*.test");
	rig_run(r, 100);
	assert_int_equal(recv(fd, raw, sizeof(raw), MSG_DONTWAIT), -1);
	assert_int_equal(errno, EAGAIN);
	rig_policy(r, rules, ARRAY_LEN(rules));
	rig_run(r, 100);
	assert_true(recv(fd, raw, sizeof(raw), MSG_DONTWAIT) == 0 || errno == ECONNRESET);
	close(fd);
	rig_free(r);
}

/* ---- HTTP/2 ---- */

struct h2_guest {
	struct h2 *h;
	char log[4096];
	size_t len, data;
};

static void note(struct h2_guest *g, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void note(struct h2_guest *g, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	g->len += (size_t)vsnprintf(g->log + g->len, sizeof(g->log) - g->len, fmt, ap);
	va_end(ap);
}

static void on_head(void *ctx, int32_t id, void *user, const struct h2_head *h, bool end)
{
	(void)user;
	note(ctx, "%d:%d%s ", id, h->status, end ? " end" : "");
}

static void on_data(void *ctx, int32_t id, void *user, const uint8_t *p, size_t len)
{
	struct h2_guest *g = ctx;

	(void)user;
	g->data += len;
	if (len < 20)
		note(g, "%.*s ", (int)len, (const char *)p);
	h2_consume(g->h, id, len);
}

static void on_end(void *ctx, int32_t id, void *user, const struct egress_fields *t)
{
	(void)user;
	note(ctx, "%d:end%s ", id, t ? " trailers" : "");
}

static void on_closed(void *ctx, int32_t id, void *user, uint32_t code)
{
	(void)user;
	if (code)
		note(ctx, "%d:closed%u ", id, code);
}

static const struct h2_ops h2_ops = {
	.head = on_head, .data = on_data, .end = on_end, .closed = on_closed};

static void h2_run(struct rig *r, struct guest *g, struct h2_guest *h)
{
	for (unsigned i = 0; i < 30; i++) {
		struct buf b;
		const char *got;
		size_t n;
		bool more;

		buf_init(&b, 4U << 20);
		assert_int_equal(h2_output(h->h, &b, 1U << 20, &more), 0);
		if (b.len == 0 && i > 3) {
			buf_fini(&b);
			break;
		}
		got = talk(r, g, b.data ? b.data : "", b.len, &n);
		buf_fini(&b);
		if (n > 0 && h2_input(h->h, got, n, clock_ms()) < 0)
			note(h, "broken ");
	}
}

static int32_t get(struct h2_guest *h, const char *method, const char *authority, const char *path,
	const char *type, bool end)
{
	struct egress_fields f = {.n = 0};
	const struct h2_head q = {.method = method,
		.scheme = "https",
		.authority = authority,
		.path = path,
		.fields = &f};

	if (type)
		f.v[f.n++] =
			(struct egress_field){"content-type", type, 12, (uint16_t)strlen(type), 0};
	return h2_request(h->h, &q, end, NULL);
}

static void test_h2(void **state)
{
	struct rig *r = make();
	struct h2_guest h = {0};
	struct guest g;
	const struct h2_options o = {.role = H2_CLIENT, .ops = &h2_ops, .ctx = &h};
	int32_t id;

	(void)state;
	h.h = h2_new(&o);
	assert_true(hello(r, &g, rig_open(r, A, 443), "a.test", true, true));
	assert_string_equal(tls_alpn(g.tls), "h2");
	assert_true(get(&h, "GET", "a.test", "/hello", NULL, true) > 0);
	h2_run(r, &g, &h);
	assert_string_equal(h.log, "1:200 hello 1:end ");
	h.len = 0;
	/* at once: another server, a denied path form, an allowed one with a body, gRPC */
	assert_true(get(&h, "GET", "b.test", "/hello", NULL, true) > 0);
	assert_true(get(&h, "GET", "a.test:444", "/hello", NULL, true) > 0);
	assert_true(get(&h, "TRACE", "a.test", "/hello", NULL, true) > 0);
	id = get(&h, "POST", "a.test", "/trailers", "application/grpc+proto", false);
	assert_int_equal(h2_send(h.h, id, "message", 7), 0);
	assert_int_equal(h2_end(h.h, id, NULL), 0);
	h2_run(r, &g, &h);
	assert_true(has(h.log, "3:421") && has(h.log, "5:421") && has(h.log, "7:405"));
	assert_true(has(h.log, "9:200") && has(h.log, "9:end trailers"));
	assert_true(has(r->asked, "POST https://a.test:443/trailers grpc body "
				  "content-type=application/grpc+proto\n"));
	assert_int_equal(r->n_asked, 2);
	h.len = 0;
	h.data = 0;
	assert_true(get(&h, "GET", "a.test", "/big", NULL, true) > 0);
	h2_run(r, &g, &h);
	assert_int_equal(h.data, 64 * EGRESS_FRAME_MAX);
	/* given up by the guest: the channel is closed, the connection goes on */
	h.len = 0;
	id = get(&h, "GET", "a.test", "/wait", NULL, true);
	h2_run(r, &g, &h);
	h2_reset(h.h, id, H2_CANCEL);
	h2_run(r, &g, &h);
	assert_int_equal(r->f.n_channels, r->f.n_idle);
	assert_true(get(&h, "GET", "a.test", "/fail", NULL, true) > 0);
	h2_run(r, &g, &h);
	assert_true(has(h.log, ":502 "));
	/* the policy takes it away */
	id = get(&h, "GET", "a.test", "/wait", NULL, true);
	h2_run(r, &g, &h);
	rig_policy(r, rules + 1, ARRAY_LEN(rules) - 1);
	h2_run(r, &g, &h);
	assert_true(has(h.log, ":403 "));
	h2_free(h.h);
	guest_fini(&g);
	rig_run(r, 100);
	assert_int_equal(r->f.n_streams, 0);
	rig_free(r);
}

static void test_h2_upload(void **state)
{
	static char block[65536];
	struct rig *r = make();
	struct h2_guest h = {0};
	struct guest g;
	const struct h2_options o = {.role = H2_CLIENT, .ops = &h2_ops, .ctx = &h};
	size_t sent = 0;
	int32_t id;

	(void)state;
	h.h = h2_new(&o);
	assert_true(hello(r, &g, rig_open(r, A, 443), "a.test", true, false));
	id = get(&h, "POST", "a.test", "/sink", NULL, false);
	for (unsigned i = 0; i < 60 && sent < (2U << 20); i++) {
		if (h2_send(h.h, id, block, sizeof(block)) == 0)
			sent += sizeof(block);
		if (i == 20) /* the vault stops: so must the guest */
			r->stopped = true;
		h2_run(r, &g, &h);
		if (i == 40) {
			assert_true(r->f.memory < (1U << 20));
			r->stopped = false;
		}
	}
	assert_int_equal(h2_end(h.h, id, NULL), 0);
	h2_run(r, &g, &h);
	assert_int_equal(r->body, sent);
	assert_true(has(h.log, ":404"));
	/* answered before the body has come: the rest of it is taken, and goes nowhere */
	h.len = 0;
	sent = 0;
	id = get(&h, "POST", "a.test", "/early", NULL, false);
	for (unsigned i = 0; i < 40 && sent < (1U << 20); i++) {
		if (h2_send(h.h, id, block, sizeof(block)) == 0)
			sent += sizeof(block);
		h2_run(r, &g, &h);
	}
	assert_true(sent >= (1U << 20) || strstr(h.log, "closed"));
	assert_true(has(h.log, ":404"));
	h2_free(h.h);
	guest_fini(&g);
	rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_h1),
		cmocka_unit_test(test_matrix),
		cmocka_unit_test(test_proxy),
		cmocka_unit_test(test_bypass),
		cmocka_unit_test(test_h2),
		cmocka_unit_test(test_h2_upload),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
