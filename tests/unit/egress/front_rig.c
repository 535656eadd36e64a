#include "front_rig.h"
#include "base/clock.h"
#include "base/io.h"
#include "check.h"
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

static void note(char *text, size_t *len, const char *fmt, ...) PRINTF_LIKE(3, 4);
static void note(char *text, size_t *len, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text + *len, RIG_TEXT - *len, fmt, ap);
	va_end(ap);
	if (n > 0 && *len + (size_t)n < RIG_TEXT)
		*len += (size_t)n;
}

/* ---- the vault ---- */

static void field(struct egress_fields *f, const char *name, const char *value)
{
	f->v[f->n++] = (struct egress_field){.name = name,
		.value = value,
		.name_len = (uint16_t)strlen(name),
		.value_len = (uint16_t)strlen(value)};
}

static void respond(
	struct rig_channel *c, uint16_t status, const char *name, const char *value, bool end)
{
	static struct egress_response s;

	s = (struct egress_response){.status = status, .version = 1};
	field(&s.fields, "server", "rig");
	if (name)
		field(&s.fields, name, value);
	assert_int_equal(egress_put_response(&c->out, &s, end), 0);
	c->response = true;
}

static void done(struct rig_channel *c)
{
	const struct egress_done d = {
		.bytes_up = c->up, .bytes_down = 0, .credential = "", .note = ""};

	assert_int_equal(egress_put_done(&c->out, &d), 0);
	c->busy = c->tunnel = c->ws = c->response = false;
	c->up = 0;
}

static void data(struct rig_channel *c, const char *text, bool end)
{
	assert_int_equal(egress_put_data(&c->out, text, strlen(text), end), 0);
}

static void big(struct rig_channel *c)
{
	static char block[EGRESS_FRAME_MAX];

	for (unsigned i = 0; i < 64; i++)
		assert_int_equal(egress_put_data(&c->out, block, sizeof(block), i == 63), 0);
}

/* half() - the first half of a long frame; the other comes when the test has it written */
static void half(struct rig_channel *c)
{
	static char block[EGRESS_FRAME_MAX];

	memset(block, 'h', sizeof(block));
	assert_int_equal(egress_put_data(&c->out, block, sizeof(block), true), 0);
	c->out.len -= sizeof(block) / 2;
}

void rig_other_half(struct rig *r)
{
	static char block[EGRESS_FRAME_MAX / 2];

	memset(block, 'h', sizeof(block));
	for (unsigned i = 0; i < r->n_ch; i++) {
		struct rig_channel *c = &r->ch[i];

		if (c->busy && strcmp(c->path, "/half") == 0) {
			assert_int_equal(buf_add(&c->out, block, sizeof(block)), 0);
			done(c);
		}
	}
}

static void trailers(struct rig_channel *c)
{
	static struct egress_fields f;

	f.n = 0;
	field(&f, "grpc-status", "0");
	assert_int_equal(egress_put_trailers(&c->out, &f), 0);
}

/* answer() - the request is there as a whole */
static void answer(struct rig_channel *c)
{
	const struct egress_failed x = {502, "refused", "the rig refuses"};

	if (strcmp(c->path, "/wait") == 0)
		return;
	if (c->head) {
		respond(c, 200, NULL, NULL, true);
		done(c);
		return;
	}
	if (strcmp(c->path, "/hello") == 0) {
		respond(c, 200, NULL, NULL, false);
		data(c, "hello", true);
	} else if (strcmp(c->path, "/length") == 0) {
		respond(c, 200, "content-length", "5", false);
		data(c, "hello", true);
	} else if (strcmp(c->path, "/lies") == 0) {
		respond(c, 200, "content-length", "3", false);
		data(c, "hello", true);
	} else if (strcmp(c->path, "/trailers") == 0) {
		respond(c, 200, "content-type", "application/grpc", false);
		data(c, "message", false);
		trailers(c);
	} else if (strcmp(c->path, "/big") == 0) {
		respond(c, 200, NULL, NULL, false);
		big(c);
	} else if (strcmp(c->path, "/half") == 0) {
		respond(c, 200, NULL, NULL, false);
		half(c);
		return;
	} else if (strcmp(c->path, "/split") == 0) {
		respond(c, 200, "x", "a\r\nb: c", true);
	} else if (strcmp(c->path, "/fail") == 0) {
		assert_int_equal(egress_put_failed(&c->out, &x), 0);
		c->busy = c->response = false;
		return;
	} else if (strcmp(c->path, "/echo") == 0) {
		if (!c->response)
			respond(c, 200, NULL, NULL, false);
		assert_int_equal(egress_put_data(&c->out, NULL, 0, true), 0);
	} else if (strcmp(c->path, "/101") == 0) {
		respond(c, 101, NULL, NULL, false);
		c->ws = true;
		return;
	} else {
		respond(c, 404, NULL, NULL, true);
	}
	done(c);
}

static void on_request(struct rig *r, struct rig_channel *c, const struct egress_frame *fr)
{
	static struct egress_request q;

	assert_int_equal(egress_get_request(fr, &q), PROTO_OK);
	assert_false(c->busy);
	c->busy = true;
	(void)snprintf(c->path, sizeof(c->path), "%s", q.path);
	c->head = strcmp(q.method, "HEAD") == 0;
	r->n_asked++;
	note(r->asked, &r->asked_len, "%s %s://%s:%u%s%s%s%s", q.method,
		q.scheme == EGRESS_HTTPS ? "https" : "http", q.host, q.port, q.path, q.query,
		q.kind == EGRESS_GRPC	     ? " grpc"
		: q.kind == EGRESS_WEBSOCKET ? " websocket"
					     : "",
		fr->end ? "" : " body");
	for (uint16_t i = 0; i < q.fields.n; i++)
		note(r->asked, &r->asked_len, " %s=%s", q.fields.v[i].name, q.fields.v[i].value);
	note(r->asked, &r->asked_len, "\n");
	if (fr->end || q.kind == EGRESS_WEBSOCKET || strcmp(q.path, "/early") == 0)
		answer(c);
}

static void on_tunnel(struct rig *r, struct rig_channel *c, const struct egress_frame *fr)
{
	struct egress_tunnel t;

	assert_int_equal(egress_get_tunnel(fr, &t), PROTO_OK);
	note(r->asked, &r->asked_len, "TUNNEL%d %s:%u\n", (int)t.kind, t.host, t.port);
	r->n_asked++;
	c->busy = c->tunnel = true;
	assert_int_equal(egress_put_open(&c->out, &t.to, t.port), 0);
}

static void on_resolve(struct rig *r, struct rig_channel *c, const struct egress_frame *fr)
{
	static const uint8_t public[] = {203, 0, 113, 7}, hidden[] = {127, 0, 0, 1},
			     v4[] = {93, 184, 216, 34};
	static struct egress_answer a;
	const char *name;
	uint16_t type;

	(void)public;
	assert_int_equal(egress_get_resolve(fr, &type, &name), PROTO_OK);
	note(r->asked, &r->asked_len, "RESOLVE %s %u\n", name, type);
	r->n_asked++;
	c->busy = true;
	a = (struct egress_answer){.rcode = 0, .ttl_s = 1000, .n = 2};
	a.v[0].type = a.v[1].type = DNS_A;
	a.v[0].len = a.v[1].len = 4;
	a.v[0].rdata = hidden; /* a resolver that was taken over */
	a.v[1].rdata = v4;
	if (type != DNS_A)
		a.n = 0;
	assert_int_equal(egress_put_answer(&c->out, &a), 0);
	done(c);
}

static void on_data(struct rig *r, struct rig_channel *c, const struct egress_frame *fr)
{
	if (!c->busy && (fr->len == 0 || r->lenient))
		return; /* the rest of what was answered early */
	r->body += fr->len;
	c->up += fr->len;
	if (c->tunnel || c->ws) {
		assert_int_equal(egress_put_data(&c->out, fr->body, fr->len, fr->end), 0);
		if (fr->end)
			done(c);
		return;
	}
	if (strcmp(c->path, "/echo") == 0 && fr->len > 0) {
		if (!c->response)
			respond(c, 200, NULL, NULL, false);
		assert_int_equal(egress_put_data(&c->out, fr->body, fr->len, false), 0);
	}
	if (fr->end)
		answer(c);
}

static void on_frame(struct rig *r, struct rig_channel *c, const struct egress_frame *fr)
{
	static struct egress_fields f;

	switch ((int)fr->type) {
	case EGRESS_REQUEST:
		on_request(r, c, fr);
		break;
	case EGRESS_TUNNEL:
		on_tunnel(r, c, fr);
		break;
	case EGRESS_RESOLVE:
		on_resolve(r, c, fr);
		break;
	case EGRESS_TRAILERS:
		if (!c->busy)
			break;
		assert_int_equal(egress_get_trailers(fr, &f), PROTO_OK);
		for (uint16_t i = 0; i < f.n; i++)
			note(r->asked, &r->asked_len, "trailer %s=%s\n", f.v[i].name, f.v[i].value);
		answer(c);
		break;
	default:
		assert_int_equal(fr->type, EGRESS_DATA);
		on_data(r, c, fr);
	}
}

static bool channel_step(struct rig *r, struct rig_channel *c)
{
	struct egress_frame fr;
	bool moved = false;
	size_t used;
	char *room;
	ssize_t n;

	if (!r->stopped && c->out.len < (8U << 20)) {
		assert_int_equal(buf_room(&c->in, 65536, &room), 0);
		n = read(c->fd, room, 65536);
		if (n > 0)
			buf_grew(&c->in, (size_t)n);
		moved |= n > 0;
		if (n == 0) {
			close(c->fd);
			c->fd = -1;
			buf_fini(&c->in);
			buf_fini(&c->out);
			return true;
		}
	}
	while (!r->stopped && egress_next_frame(c->in.data ? c->in.data : "", c->in.len, &used,
				      &fr) == FRAME_GOT) {
		on_frame(r, c, &fr);
		buf_eat(&c->in, used);
	}
	if (c->out.len > 0) {
		n = write(c->fd, c->out.data, c->out.len);
		if (n > 0)
			buf_eat(&c->out, (size_t)n);
		moved |= n > 0;
	}
	return moved;
}

static bool vault_step(struct rig *r)
{
	bool moved = false;
	char byte;
	int fd;

	while (r->peer >= 0 && io_recv_fd(r->peer, &byte, 1, &fd, 0) == 1) {
		struct rig_channel *c = &r->ch[r->n_ch++];

		assert_int_equal(byte, 1);
		assert_true(r->n_ch < RIG_CHANNELS);
		memset(c, 0, sizeof(*c));
		c->fd = fd;
		buf_init(&c->in, 1U << 20);
		buf_init(&c->out, 16U << 20);
		moved = true;
	}
	for (unsigned i = 0; i < r->n_ch; i++)
		if (r->ch[i].fd >= 0)
			moved |= channel_step(r, &r->ch[i]);
	return moved;
}

/* ---- the daemon ---- */

static void on_records(struct rig *r, const struct egress_msg *m)
{
	const struct egress_msg ok = {
		.op = EGRESS_OP_REPLY, .seq = m->seq, .result = 0, .text = ""};
	struct egress_record rec;
	size_t at = 0, used;
	struct buf b;

	while (at < m->blob_len) {
		assert_int_equal(
			egress_next_record(m->blob + at, m->blob_len - at, &used, &rec), PROTO_OK);
		at += used;
		r->n_records++;
		note(r->records, &r->records_len, "%d %d %s:%u %s %s rule=%s %s %u\n",
			(int)rec.event, (int)rec.decision, rec.host, rec.port, rec.method, rec.path,
			rec.rule, rec.reason, rec.status);
	}
	buf_init(&b, 4096);
	assert_int_equal(egress_put_msg(&b, &ok), 0);
	assert_int_equal(io_send_fd(r->control, b.data, b.len, -1, 0), 0);
	buf_fini(&b);
}

static bool daemon_step(struct rig *r)
{
	static uint8_t bytes[EGRESS_CONTROL_MAX];
	struct egress_msg m;
	int fd;
	ssize_t n = r->control < 0 ? -1 : io_recv_fd(r->control, bytes, sizeof(bytes), &fd, 0);

	if (n <= 0)
		return false;
	assert_int_equal(egress_get_msg(bytes, (size_t)n, fd >= 0, &m), PROTO_OK);
	if (m.op == EGRESS_OP_AUDIT) {
		on_records(r, &m);
	} else if (m.op == EGRESS_OP_ASK) {
		r->last_question = m.id;
		r->n_questions++;
	}
	return true;
}

void rig_verdict(struct rig *r, uint64_t id, bool allow)
{
	const struct egress_msg m = {.op = EGRESS_OP_VERDICT, .id = id, .yes = allow};
	struct buf b;

	buf_init(&b, 4096);
	assert_int_equal(egress_put_msg(&b, &m), 0);
	assert_int_equal(io_send_fd(r->control, b.data, b.len, -1, 0), 0);
	buf_fini(&b);
	rig_run(r, 200);
}

/* ---- the rig ---- */

void rig_encode(const struct rig_rule *rules, size_t n, const char *bypass, struct buf *config)
{
	AUTO_POLICY *p = policy_new();
	struct egress_config c = {.generation = 1,
		.id = "box",
		.name = "box",
		.agent = "",
		.deny_hint = "sbx policy allow",
		.extra_ca = "",
		.authz_url = ""};
	struct buf policy;
	struct err e = {0};

	assert_non_null(p);
	for (size_t i = 0; i < n; i++) {
		char id[32];
		const struct policy_rule rule = {.id = id,
			.resource = rules[i].resource,
			.path = rules[i].path,
			.origin = "test",
			.methods = rules[i].methods,
			.source = POLICY_SOURCE_SANDBOX,
			.decision = rules[i].decision,
			.websocket = rules[i].websocket};

		(void)snprintf(id, sizeof(id), "r%zu", i);
		if (policy_add(p, &rule, &e) < 0)
			fail_msg("%s", e.msg);
	}
	if (bypass)
		assert_int_equal(policy_add_bypass(p, bypass, &e), 0);
	assert_int_equal(policy_seal(p), 0);
	buf_init(&policy, POLICY_BYTES_MAX);
	buf_init(config, EGRESS_CONFIG_MAX);
	assert_int_equal(policy_encode(p, &policy), 0);
	c.policy = (const uint8_t *)policy.data;
	c.policy_len = policy.len;
	assert_int_equal(egress_put_config(config, &c), 0);
	buf_fini(&policy);
}

static void encode(struct rig *r, const struct rig_rule *rules, size_t n, const char *bypass)
{
	struct buf config;
	struct err e = {0};

	rig_encode(rules, n, bypass, &config);
	if (front_configure(&r->f, config.data, config.len, &e) < 0)
		fail_msg("%s", e.msg);
	buf_fini(&config);
}

void rig_policy(struct rig *r, const struct rig_rule *rules, size_t n)
{
	encode(r, rules, n, NULL);
}

void rig_bypass(struct rig *r, const struct rig_rule *rules, size_t n, const char *bypass)
{
	encode(r, rules, n, bypass);
}

void rig_new_vault(struct rig *r)
{
	int fds[2];

	assert_int_equal(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
	r->peer = fds[1];
	front_channel_peer(&r->f, fds[0]);
}

void rig_kill_vault(struct rig *r)
{
	for (unsigned i = 0; i < r->n_ch; i++) {
		own_close_fd(&r->ch[i].fd);
		buf_fini(&r->ch[i].in);
		buf_fini(&r->ch[i].out);
	}
	r->n_ch = 0;
	own_close_fd(&r->peer);
}

struct rig *rig_new(const struct rig_rule *rules, size_t n)
{
	struct rig *r = calloc(1, sizeof(*r));
	struct err e = {0};
	int fds[2];

	assert_non_null(r);
	(void)signal(SIGPIPE, SIG_IGN); /* as the program does */
	if (front_start(&r->f, &e) < 0 ||
		tls_ca_make("box", clock_real_ms() / 1000, &r->f.ca, &e) < 0 ||
		tls_leaves_new(r->f.ca, TLS_LEAVES_MAX, &r->f.leaves, &e) < 0)
		fail_msg("%s", e.msg);
	r->peer = r->control = -1;
	rig_new_vault(r);
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
	r->control = fds[1];
	assert_int_equal(front_control_take(&r->f, fds[0]), 0);
	rig_policy(r, rules, n);
	return r;
}

void rig_free(struct rig *r)
{
	front_close(&r->f);
	rig_kill_vault(r);
	own_close_fd(&r->control);
	free(r);
}

void rig_pin(struct rig *r, const char *name, const char *address)
{
	struct policy_address a;

	assert_true(policy_address_parse(address, strlen(address), &a));
	assert_true(front_pins_add(r->f.pins, name, &a));
}

static int open_stream(struct rig *r, const struct egress_stream *to)
{
	uint8_t head[EGRESS_STREAM_HEAD];
	int fds[2];

	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
	assert_int_equal(
		front_stream_open(&r->f, fds[0], to ? EGRESS_PORT_TCP : EGRESS_PORT_DNS), 0);
	if (to) {
		egress_put_stream(head, to);
		assert_int_equal(write(fds[1], head, sizeof(head)), sizeof(head));
	}
	return fds[1];
}

int rig_open(struct rig *r, const char *address, uint16_t port)
{
	struct egress_stream to = {.port = port};
	struct policy_address a;

	assert_true(policy_address_parse(address, strlen(address), &a));
	to.to.family = a.family;
	memcpy(to.to.bytes, a.byte, sizeof(to.to.bytes));
	return open_stream(r, &to);
}

int rig_proxy(struct rig *r)
{
	const struct egress_stream to = {
		.to = {.family = 4, .bytes = {198, 18, 0, 1}}, .port = 3128, .way = EGRESS_PROXY};

	return open_stream(r, &to);
}

int rig_dns(struct rig *r)
{
	return open_stream(r, NULL);
}

void rig_run(struct rig *r, int ms)
{
	int64_t until = clock_ms() + ms;
	unsigned idle = 0;

	while (r->remote && idle < 30 && clock_ms() < until) {
		bool moved = vault_step(r);

		moved |= daemon_step(r);
		idle = moved ? 0 : idle + 1;
		usleep(1000); /* the other process has its turn */
	}
	if (r->remote)
		return;
	/* Quiet three times in a row: nothing is on its way between the two. */
	while (idle < 3 && clock_ms() < until) {
		unsigned streams = r->f.n_streams;
		bool moved;

		assert_int_equal(loop_once(r->f.loop, idle ? 1 : 0), 0);
		r->f.now = clock_ms();
		moved = front_round(&r->f) || r->f.n_streams != streams;
		moved |= vault_step(r);
		moved |= daemon_step(r);
		idle = moved ? 0 : idle + 1;
	}
}

void rig_step(struct rig *r)
{
	assert_int_equal(loop_once(r->f.loop, 0), 0);
	r->f.now = clock_ms();
	(void)front_round(&r->f);
	(void)vault_step(r);
	(void)daemon_step(r);
}

void rig_send(struct rig *r, int fd, const char *text)
{
	size_t len = strlen(text);

	while (len > 0) {
		ssize_t n = write(fd, text, len);

		if (n < 0) {
			assert_int_equal(errno, EAGAIN);
			rig_run(r, 200);
			continue;
		}
		text += n;
		len -= (size_t)n;
	}
}

size_t rig_recv(struct rig *r, int fd, char *dst, size_t cap, bool *ret_end)
{
	/* Another process answers when it has its turn, which on a busy host is a matter of seconds. */
	const int64_t first = clock_ms() + (r->remote ? 20000 : 0);
	size_t at = 0;
	bool end = false;

	for (unsigned quiet = 0; quiet < 2 && !end && at + 1 < cap;) {
		ssize_t n = read(fd, dst + at, cap - 1 - at);

		if (n > 0) {
			at += (size_t)n;
			quiet = 0;
			continue;
		}
		end = n == 0 || errno != EAGAIN;
		rig_run(r, 2000);
		quiet += at > 0 || clock_ms() >= first;
	}
	dst[at] = '\0';
	if (ret_end)
		*ret_end = end;
	return at;
}

const char *rig_talk(struct rig *r, int fd, const char *text)
{
	static char answer[RIG_TEXT];

	rig_send(r, fd, text);
	rig_run(r, 2000);
	(void)rig_recv(r, fd, answer, sizeof(answer), NULL);
	return answer;
}
