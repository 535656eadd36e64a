/* Tunnels, WebSocket, and proxies on the way */
#include "rig.h"
#include "http/ws.h"

static struct rig r;

static void open_tunnel(const char *host, uint16_t port, struct answer *a)
{
	const struct egress_tunnel t = {.kind = EGRESS_RAW, .host = host, .port = port};
	int64_t until = clock_ms() + 5000;

	rig_connect(&r);
	answer_init(a);
	assert_int_equal(egress_put_tunnel(&r.out, &t), 0);
	rig_send(&r);
	while (!a->status && !a->closed) {
		assert_true(clock_ms() < until);
		rig_turn(&r);
		(void)rig_take(&r, a);
	}
}

static void wait_bytes(struct answer *a, size_t n)
{
	int64_t until = clock_ms() + 5000;

	while (a->body.len < n && !a->closed) {
		assert_true(clock_ms() < until);
		rig_turn(&r);
		(void)rig_take(&r, a);
	}
}

static void banner_script(struct origin_conn *c)
{
	char line[64];
	ssize_t n;

	/* The server speaks first; says what it hears; then what it heard last. */
	if (!origin_say(c, "SSH-2.0-test\r\n"))
		return;
	while ((n = origin_read(c, line, sizeof(line))) > 0)
		if (!origin_write(c, line, (size_t)n))
			return;
	(void)origin_say(c, "bye");
}

static void test_a_tunnel(void **state)
{
	struct origin o;
	struct answer a;

	(void)state;
	rig_init(&r);
	origin_start(&o, NULL, NULL, banner_script, NULL);
	rig_host(&r, "ssh.test.example", 22, &o);
	rig_rule(&r, POLICY_ALLOW, "ssh.test.example:22");
	rig_configure(&r);
	open_tunnel("ssh.test.example", 22, &a);
	assert_int_equal(a.status, 200);
	wait_bytes(&a, 14);
	assert_int_equal(egress_put_data(&r.out, "hello", 5, false), 0);
	rig_send(&r);
	wait_bytes(&a, 19);
	assert_memory_equal(a.body.data, "SSH-2.0-test\r\nhello", 19);
	/* Half-close: the server's last words still come. */
	assert_int_equal(egress_put_data(&r.out, "", 0, true), 0);
	rig_send(&r);
	rig_wait(&r, &a);
	assert_true(a.done);
	assert_memory_equal(a.body.data + 19, "bye", 3);
	assert_int_equal(a.up, 5);
	assert_int_equal(a.down, 22);
	buf_fini(&a.body);
	open_tunnel("ssh.test.example", 23, &a);
	assert_int_equal(a.status, 403);
	buf_fini(&a.body);
	rig_fini(&r);
	origin_stop(&o);
}

static void test_a_change_of_policy_cuts(void **state)
{
	struct origin o;
	struct answer a;

	(void)state;
	rig_init(&r);
	origin_start(&o, NULL, NULL, banner_script, NULL);
	rig_host(&r, "ssh.test.example", 22, &o);
	rig_rule(&r, POLICY_ALLOW, "ssh.test.example:22");
	rig_configure(&r);
	open_tunnel("ssh.test.example", 22, &a);
	wait_bytes(&a, 14);
	rig_configure(&r); /* nothing has changed: it goes on */
	assert_int_equal(egress_put_data(&r.out, "hello", 5, false), 0);
	rig_send(&r);
	wait_bytes(&a, 19);
	policy_free(r.policy);
	r.policy = policy_new();
	rig_rule(&r, POLICY_ALLOW, "other.test.example");
	rig_configure(&r);
	rig_wait(&r, &a);
	assert_true(a.closed);
	buf_fini(&a.body);
	rig_fini(&r);
	origin_stop(&o);
}

static void reset_script(struct origin_conn *c)
{
	struct linger l = {1, 0};

	(void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
}

static void test_a_reset_is_one(void **state)
{
	struct origin o;
	struct answer a;

	(void)state;
	rig_init(&r);
	origin_start(&o, NULL, NULL, reset_script, NULL);
	rig_host(&r, "rst.test.example", 22, &o);
	rig_rule(&r, POLICY_ALLOW, "rst.test.example:22");
	rig_configure(&r);
	open_tunnel("rst.test.example", 22, &a);
	rig_wait(&r, &a);
	/* Before the tunnel stood it is no connection, afterwards it is cut. */
	assert_true(a.closed || a.failed);
	assert_false(a.done);
	buf_fini(&a.body);
	rig_fini(&r);
	origin_stop(&o);
}

/* ---- WebSocket ---- */

static void ws_script(struct origin_conn *c)
{
	char answer[300], accept[WS_ACCEPT_CAP], key[64] = "", b[256];
	const char *at;

	if (!origin_head(c))
		return;
	at = strstr(c->head, "sec-websocket-key: ");
	if (at)
		(void)sscanf(at + 19, "%60[^\r]", key);
	ws_accept(c->o->ctx ? "AAAAAAAAAAAAAAAAAAAAAA==" : key, accept);
	(void)snprintf(answer, sizeof(answer),
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		"Sec-WebSocket-Accept: %s\r\n\r\n",
		accept);
	if (!origin_say(c, answer) || !origin_say(c, "\x81\x05hello"))
		return;
	/* A frame with a mask must come: its payload is said back. */
	if (!origin_exactly(c, b, 2 + 4 + 3) || (uint8_t)b[0] != 0x81 || (uint8_t)b[1] != 0x83)
		return;
	for (unsigned i = 0; i < 3; i++)
		b[6 + i] = (char)(b[6 + i] ^ b[2 + i]);
	(void)(origin_say(c, "\x81\x03") && origin_write(c, b + 6, 3));
	if (origin_read(c, b, sizeof(b)) < 0)
		return;
}

static void websocket(void *ctx, struct answer *a)
{
	struct egress_request q = rig_get("ws.test.example", "/chat");
	struct origin o;
	int64_t until = clock_ms() + 5000;

	rig_init(&r);
	origin_start(&o, r.ca, "http/1.1", ws_script, ctx);
	rig_host(&r, "ws.test.example", 443, &o);
	rig_rule(&r, POLICY_ALLOW, "ws.test.example");
	rig_configure(&r);
	rig_connect(&r);
	answer_init(a);
	q.kind = EGRESS_WEBSOCKET;
	q.length = EGRESS_LENGTH_UNKNOWN;
	rig_field(&q, "sec-websocket-version", "13");
	assert_int_equal(egress_put_request(&r.out, &q, false), 0);
	rig_send(&r);
	while (!a->status && !a->closed && !a->failed) {
		assert_true(clock_ms() < until);
		rig_turn(&r);
		(void)rig_take(&r, a);
	}
	if (a->status == 101) {
		wait_bytes(a, 7);
		assert_memory_equal(a->body.data, "\x81\x05hello", 7);
		assert_int_equal(egress_put_data(&r.out,
					 "\x81\x03"
					 "abc",
					 5, false),
			0);
		rig_send(&r);
		wait_bytes(a, 12);
		assert_memory_equal(a->body.data + 7,
			"\x81\x03"
			"abc",
			5);
		/* With a mask it is no frame of a channel. */
		assert_int_equal(egress_put_data(&r.out,
					 "\x81\x80"
					 "1234",
					 6, false),
			0);
		rig_send(&r);
		rig_wait(&r, a);
		assert_true(a->closed);
	}
	rig_fini(&r);
	origin_stop(&o);
}

static void test_websocket(void **state)
{
	struct answer a;

	(void)state;
	websocket(NULL, &a);
	assert_int_equal(a.status, 101);
	assert_null(strstr(a.fields, "accept"));
	buf_fini(&a.body);
	websocket(&a, &a); /* answers another key */
	assert_int_equal(a.status, 502);
	buf_fini(&a.body);
}

/* ---- proxies ---- */

static struct origin behind;

/* splice() - what a proxy does once the way stands */
static void splice_to(struct origin_conn *c, uint16_t port)
{
	struct sockaddr_in sa = {.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	AUTO_FD fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char b[16384];

	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return;
	for (;;) {
		struct pollfd p[2] = {{c->fd, POLLIN, 0}, {fd, POLLIN, 0}};
		ssize_t n;

		if (!(c->tls && tls_pending(c->tls)) && poll(p, 2, 3000) <= 0)
			return;
		n = c->tls ? tls_read(c->tls, b, sizeof(b))
			   : recv(c->fd, b, sizeof(b), MSG_DONTWAIT);
		if (n == 0 || (n > 0 && send(fd, b, (size_t)n, MSG_NOSIGNAL) != n))
			return;
		n = recv(fd, b, sizeof(b), MSG_DONTWAIT);
		if (n == 0 || (n > 0 && !origin_write(c, b, (size_t)n)))
			return;
	}
}

static void connect_script(struct origin_conn *c)
{
	if (!origin_head(c))
		return;
	if (strncmp(c->head, "CONNECT ", 8) != 0) {
		(void)origin_say(c, "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nby proxy");
		return;
	}
	if (strstr(c->head, "refused.test.example")) {
		(void)origin_say(c, "HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n");
		return;
	}
	if (origin_say(c, "HTTP/1.1 200 OK\r\nVia: x\r\n\r\n"))
		splice_to(c, behind.port);
}

static void socks_script(struct origin_conn *c)
{
	char b[300];
	size_t n;

	if (!origin_exactly(c, b, 2) || b[0] != 5 || !origin_exactly(c, b + 2, (size_t)b[1]))
		return;
	if (b[1] == 2) {
		if (!origin_write(c, "\5\2", 2) || !origin_exactly(c, b, 2) ||
			!origin_exactly(c, b + 2, (size_t)b[1] + 1))
			return;
		n = (size_t)(uint8_t)b[2 + b[1]];
		if (!origin_exactly(c, b + 50, n) || memcmp(b + 2, "me", 2) != 0 ||
			memcmp(b + 50, "pa:ss", 5) != 0) {
			(void)origin_write(c, "\1\1", 2);
			return;
		}
		if (!origin_write(c, "\1\0", 2))
			return;
	} else if (!origin_write(c, "\5\0", 2)) {
		return;
	}
	if (!origin_exactly(c, b, 4))
		return;
	pthread_mutex_lock(&c->o->lock);
	(void)snprintf(c->o->seen + strlen(c->o->seen), 64, "atyp %d\n", b[3]);
	pthread_mutex_unlock(&c->o->lock);
	n = b[3] == 1 ? 6 : b[3] == 4 ? 18 : 0;
	if (b[3] == 3) {
		if (!origin_exactly(c, b, 1))
			return;
		n = (size_t)(uint8_t)b[0] + 2;
	}
	if (origin_exactly(c, b, n) && origin_write(c, "\5\0\0\1\0\0\0\0\0\0", 10))
		splice_to(c, behind.port);
}

static void ok_script(struct origin_conn *c)
{
	while (origin_head(c))
		if (!origin_say(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
			return;
}

static void by_proxy(struct origin *proxy, bool tls, void (*script)(struct origin_conn *c),
	const char *scheme, const char *user, const char *host, struct answer *a)
{
	struct egress_request q = rig_get(host, "/x");
	char url[100];

	rig_init(&r);
	origin_start(&behind, r.ca, "http/1.1", ok_script, NULL);
	origin_start(proxy, tls ? r.ca : NULL, "http/1.1", script, NULL);
	rig_host(&r, "far.test.example", 443, NULL);
	rig_host(&r, "refused.test.example", 443, NULL);
	rig_host(&r, "direct.test.example", 443, &behind);
	(void)snprintf(
		url, sizeof(url), "%s://%s127.0.0.1:%u", scheme, user, (unsigned)proxy->port);
	r.proxies[r.c.n_proxies++] = (struct egress_proxy){"direct.test.example", ""};
	r.proxies[r.c.n_proxies++] = (struct egress_proxy){"**", url};
	rig_rule(&r, POLICY_ALLOW, "**.test.example");
	rig_configure(&r);
	rig_ask(&r, &q, NULL, a);
	rig_fini(&r);
	origin_stop(proxy);
	origin_stop(&behind);
}

static void test_proxies(void **state)
{
	static const struct {
		const char *scheme, *user;
		bool tls, socks;
		const char *sees;
	} cases[] = {
		{"http", "", false, false, "CONNECT far.test.example:443 HTTP/1.1\r\n"},
		{"http", "me:pa%3ass@", false, false,
			"Proxy-Authorization: Basic bWU6cGE6c3M=\r\n"},
		{"https", "", true, false, "CONNECT far.test.example:443 HTTP/1.1\r\n"},
		{"socks5", "", false, true, "atyp 1\n"},
		{"socks5h", "me:pa%3ass@", false, true, "atyp 3\n"},
	};
	struct origin proxy;
	struct answer a;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		by_proxy(&proxy, cases[i].tls, cases[i].socks ? socks_script : connect_script,
			cases[i].scheme, cases[i].user, "far.test.example", &a);
		if (a.status != 200)
			fail_msg("%s %s: %d %s", cases[i].scheme, cases[i].user, a.status, a.text);
		assert_memory_equal(a.body.data, "ok", 2);
		assert_non_null(strstr(proxy.seen, cases[i].sees));
		buf_fini(&a.body);
	}
	by_proxy(&proxy, false, connect_script, "http", "", "refused.test.example", &a);
	assert_int_equal(a.status, 502);
	assert_string_equal(a.code, "proxy");
	buf_fini(&a.body);
	by_proxy(&proxy, false, socks_script, "socks5h", "me:wrong@", "far.test.example", &a);
	assert_string_equal(a.code, "proxy");
	buf_fini(&a.body);
	/* no_proxy, and policy before the proxy */
	by_proxy(&proxy, false, connect_script, "http", "", "direct.test.example", &a);
	assert_int_equal(a.status, 200);
	assert_int_equal(proxy.connections, 0);
	buf_fini(&a.body);
	by_proxy(&proxy, false, connect_script, "http", "", "other.example", &a);
	assert_int_equal(a.status, 403);
	assert_int_equal(proxy.connections, 0);
	buf_fini(&a.body);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_tunnel),
		cmocka_unit_test(test_a_change_of_policy_cuts),
		cmocka_unit_test(test_a_reset_is_one),
		cmocka_unit_test(test_websocket),
		cmocka_unit_test(test_proxies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
