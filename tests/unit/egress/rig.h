/* rig.h - a vault in the test's own process and thread, with the test as its front and its daemon
 *
 * No jail, no resolver child: names come from the configuration's hosts, and lead to addresses of
 * documentation ranges' neighbours, which redirects take to loopback ports after all checks.
 */
#ifndef TESTS_EGRESS_RIG_H
#define TESTS_EGRESS_RIG_H
#include "origin.h"
#include "base/clock.h"
#include "egress/chan.h"
#include "egress/vault.h"

#define RIG_LISTS 16

struct rig {
	struct vault v;
	struct tls_ca *ca;
	struct policy *policy;
	struct egress_config c;
	struct egress_host hosts[RIG_LISTS];
	struct egress_redirect redirects[RIG_LISTS];
	struct egress_credential credentials[RIG_LISTS];
	struct egress_slot slots[RIG_LISTS];
	struct egress_oauth oauth[RIG_LISTS];
	struct egress_proxy proxies[RIG_LISTS];
	int fd; /* the front's end of the channel */
	int resolver; /* the child's end */
	struct buf in, out;
	unsigned next_address;
};

/* What came back of one exchange. */
struct answer {
	bool closed; /* the vault closed the channel */
	int status; /* RESPONSE's, or FAILED's */
	bool failed, done, ended;
	char code[64], text[400];
	char fields[8192]; /* "name: value\n" each */
	char trailers[1024];
	struct buf body;
	char credential[128], note[128];
	uint64_t up, down;
	unsigned interim;
	char early[1024]; /* fields of the last interim answer */
};

static inline void rig_init(struct rig *r)
{
	struct err e = {0};
	int pair[2];

	memset(r, 0, sizeof(*r));
	r->v.dir_fd = r->v.listen_fd = r->v.control_fd = r->v.peer_fd = r->v.resolver_fd = -1;
	r->fd = -1;
	r->v.loop = loop_new();
	r->v.secrets = secrets_new();
	assert_int_equal(tls_ca_make("origin", time(NULL), &r->ca, &e), 0);
	r->v.roots = tls_roots_new();
	assert_int_equal(tls_client_ctx_new(r->v.roots, NULL, &r->v.tls, &e), 0);
	r->v.tls_ca = strdup("");
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	r->resolver = pair[1];
	r->v.resolve = resolve_new(r->v.loop, pair[0], NULL, NULL);
	assert_non_null(r->v.resolve);
	r->policy = policy_new();
	r->c = (struct egress_config){.generation = 1,
		.id = "box",
		.name = "box",
		.agent = "",
		.deny_hint = "",
		.extra_ca = tls_ca_pem(r->ca),
		.authz_url = "",
		.hosts = r->hosts,
		.redirects = r->redirects,
		.credentials = r->credentials,
		.oauth = r->oauth,
		.proxies = r->proxies};
	buf_init(&r->in, 4 << 20);
	buf_init(&r->out, 1 << 20);
}

static inline void rig_rule(struct rig *r, enum policy_decision d, const char *resource)
{
	static unsigned n;
	char id[16];
	const struct policy_rule rule = {.id = id,
		.resource = resource,
		.origin = "test",
		.source = POLICY_SOURCE_USER,
		.decision = d};
	struct err e = {0};

	(void)snprintf(id, sizeof(id), "r%u", ++n);
	assert_int_equal(policy_add(r->policy, &rule, &e), 0);
}

/* rig_host() - @name is at a public-looking address whose @port leads to @o (NULL: nowhere) */
static inline void rig_host(struct rig *r, const char *name, uint16_t port, const struct origin *o)
{
	unsigned n = ++r->next_address;
	struct egress_addr a = {.family = 4, .bytes = {45, 33, 0, (uint8_t)n}};

	r->hosts[r->c.n_hosts++] = (struct egress_host){name, a};
	if (o)
		r->redirects[r->c.n_redirects++] = (struct egress_redirect){.from = a,
			.from_port = port,
			.to = {.family = 4, .bytes = {127, 0, 0, 1}},
			.to_port = o->port};
}

static inline void rig_slot(struct rig *r, const char *name, const char *sentinel,
	enum egress_slot_kind kind, const char *host, const char *header, const char *format,
	const char *username)
{
	struct egress_credential *c = NULL;
	struct egress_slot *s = &r->slots[r->c.n_credentials];

	c = &r->credentials[r->c.n_credentials];
	*s = (struct egress_slot){kind, host, "", header, format, username};
	*c = (struct egress_credential){name, sentinel, 1, s};
	r->c.n_credentials++;
}

static inline void rig_configure(struct rig *r)
{
	AUTO(buf) policy = {0}, bytes = {0};
	struct err e = {0};

	buf_init(&policy, POLICY_BYTES_MAX);
	buf_init(&bytes, EGRESS_CONFIG_MAX);
	assert_int_equal(policy_seal(r->policy), 0);
	assert_int_equal(policy_encode(r->policy, &policy), 0);
	r->c.policy = (const uint8_t *)policy.data;
	r->c.policy_len = policy.len;
	assert_int_equal(egress_put_config(&bytes, &r->c), 0);
	if (vault_configure(&r->v, bytes.data, bytes.len, &e) < 0)
		fail_msg("%s", e.msg);
	r->c.generation++;
}

static inline void rig_secret(struct rig *r, const char *name, const char *value)
{
	assert_int_equal(secrets_put(r->v.secrets, name, value, strlen(value)), 0);
}

static inline void rig_connect(struct rig *r)
{
	int pair[2];

	if (r->fd >= 0)
		close(r->fd);
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	r->fd = pair[0];
	buf_clear(&r->in);
	assert_int_equal(chan_new(&r->v, pair[1]), 0);
}

static inline void rig_turn(struct rig *r)
{
	assert_int_equal(loop_once(r->v.loop, vault_round(&r->v) ? 0 : 10), 0);
	(void)vault_round(&r->v);
}

static inline void rig_fini(struct rig *r)
{
	if (r->fd >= 0)
		close(r->fd);
	for (int i = 0; i < 5; i++)
		rig_turn(r);
	vault_close(&r->v);
	close(r->resolver);
	policy_free(r->policy);
	tls_ca_free(r->ca);
	buf_fini(&r->in);
	buf_fini(&r->out);
}

/* rig_hang_up() - kept connections go: a server of the tests serves one at a time */
static inline void rig_hang_up(struct rig *r)
{
	for (struct up *u = r->v.ups; u; u = u->next)
		up_close(u);
	(void)vault_round(&r->v);
}

/* rig_send() - what stands in r->out goes to the vault */
static inline void rig_send(struct rig *r)
{
	size_t at = 0;

	for (unsigned i = 0; at < r->out.len && i < 100000; i++) {
		ssize_t n = send(r->fd, r->out.data + at, r->out.len - at, MSG_NOSIGNAL);

		if (n < 0 && errno != EAGAIN)
			break; /* it was closed: the answer says so */
		at += n > 0 ? (size_t)n : 0;
		if (n < 0)
			rig_turn(r);
	}
	buf_clear(&r->out);
}

static inline void answer_fields(char *dst, size_t cap, const struct egress_fields *f)
{
	size_t n = 0;

	for (uint16_t i = 0; i < f->n && n < cap; i++)
		n += (size_t)snprintf(dst + n, cap - n, "%s: %s\n", f->v[i].name, f->v[i].value);
}

static inline void answer_frame(struct answer *a, const struct egress_frame *f)
{
	static struct egress_response s;
	static struct egress_fields t;
	struct egress_failed x;
	struct egress_done d;

	switch (f->type) {
	case EGRESS_RESPONSE:
		assert_int_equal(egress_get_response(f, &s), PROTO_OK);
		if (s.status < 200 && s.status != 101) {
			a->interim++;
			answer_fields(a->early, sizeof(a->early), &s.fields);
			break;
		}
		a->status = s.status;
		answer_fields(a->fields, sizeof(a->fields), &s.fields);
		a->ended = f->end;
		break;
	case EGRESS_DATA:
		assert_false(a->ended);
		assert_int_equal(buf_add(&a->body, f->body, f->len), 0);
		a->ended = f->end;
		break;
	case EGRESS_TRAILERS:
		assert_int_equal(egress_get_trailers(f, &t), PROTO_OK);
		answer_fields(a->trailers, sizeof(a->trailers), &t);
		a->ended = true;
		break;
	case EGRESS_FAILED:
		assert_int_equal(egress_get_failed(f, &x), PROTO_OK);
		a->failed = true;
		a->status = x.status;
		(void)snprintf(a->code, sizeof(a->code), "%s", x.code);
		(void)snprintf(a->text, sizeof(a->text), "%s", x.text);
		break;
	case EGRESS_DONE:
		assert_int_equal(egress_get_done(f, &d), PROTO_OK);
		assert_true(a->ended);
		a->done = true;
		a->up = d.bytes_up;
		a->down = d.bytes_down;
		(void)snprintf(a->credential, sizeof(a->credential), "%s", d.credential);
		(void)snprintf(a->note, sizeof(a->note), "%s", d.note);
		break;
	case EGRESS_OPEN:
		a->status = 200;
		break;
	case EGRESS_REQUEST:
	case EGRESS_TUNNEL:
	case EGRESS_RESOLVE:
	case EGRESS_ANSWER:
	default:
		fail_msg("unexpected frame %u", (unsigned)f->type);
	}
}

/* rig_take() - read what is there; false: nothing new */
static inline bool rig_take(struct rig *r, struct answer *a)
{
	struct egress_frame f;
	size_t used;
	char *room;
	ssize_t n;

	assert_int_equal(buf_room(&r->in, 65536, &room), 0);
	n = recv(r->fd, room, 65536, 0);
	if (n > 0)
		buf_grew(&r->in, (size_t)n);
	else if (n == 0 || errno != EAGAIN)
		a->closed = true;
	while (!a->done && !a->failed &&
		egress_next_frame(r->in.data, r->in.len, &used, &f) == FRAME_GOT) {
		answer_frame(a, &f);
		buf_eat(&r->in, used);
	}
	return n > 0;
}

static inline void answer_init(struct answer *a)
{
	memset(a, 0, sizeof(*a));
	buf_init(&a->body, 64 << 20);
}

/* rig_wait() - to the end of the exchange; at most 20 s */
static inline void rig_wait(struct rig *r, struct answer *a)
{
	int64_t until = clock_ms() + 20000;

	while (!a->done && !a->failed && !a->closed) {
		assert_true(clock_ms() < until);
		rig_turn(r);
		(void)rig_take(r, a);
	}
}

static inline struct egress_request rig_get(const char *host, const char *path)
{
	return (struct egress_request){.scheme = EGRESS_HTTPS,
		.kind = EGRESS_PLAIN,
		.method = "GET",
		.host = host,
		.port = 443,
		.path = path,
		.query = ""};
}

static inline void rig_field(struct egress_request *q, const char *name, const char *value)
{
	q->fields.v[q->fields.n++] = (struct egress_field){
		name, value, (uint16_t)strlen(name), (uint16_t)strlen(value), false};
}

/* rig_ask() - a whole exchange; @body NULL: none. a->body is to be freed. */
static inline void rig_ask(
	struct rig *r, const struct egress_request *q, const char *body, struct answer *a)
{
	struct egress_request whole = *q;

	if (r->fd < 0)
		rig_connect(r);
	answer_init(a);
	whole.length = body ? strlen(body) : 0;
	assert_int_equal(egress_put_request(&r->out, &whole, !body), 0);
	if (body)
		assert_int_equal(egress_put_data(&r->out, body, strlen(body), true), 0);
	rig_send(r);
	rig_wait(r, a);
	if (a->closed) {
		close(r->fd);
		r->fd = -1;
	}
}
#endif
