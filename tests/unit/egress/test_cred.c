/* Credentials: what is sent, what is refused; pure, then through a vault */
#include "rig.h"
#include "egress/sigv4.h"

#define TOKEN	 "sbx-standin-aaaaaaaaaaaaaaaaaaaaaaaa"
#define OTHER	 "sbx-standin-bbbbbbbbbbbbbbbbbbbbbbbb"
#define KEY	 "sbx-standin-cccccccccccccccccccccccc"
#define BASIC	 "sbx-standin-dddddddddddddddddddddddd"
#define MARK	 "sbx-standin-eeeeeeeeeeeeeeeeeeeeeeee"
#define SCOPED	 "sbx-standin-ffffffffffffffffffffffff"
#define MODEL	 "sbx-standin-gggggggggggggggggggggggg"
#define HOOK	 "sbx-standin-hhhhhhhhhhhhhhhhhhhhhhhh"
#define FORMED	 "sbx-standin-iiiiiiiiiiiiiiiiiiiiiiii"
#define HOOK_KEY "77:AA/../b c?\"x"
#define REAL	 "ghp_RealRealRealReal0123"
#define REAL_KEY "key+with/odd=chars&more"

static struct rig r;
static struct origin o;

/* echoes everything it gets */
static void echo_script(struct origin_conn *c)
{
	char head[400];

	while (origin_head(c)) {
		(void)snprintf(head, sizeof(head),
			"HTTP/1.1 200 OK\r\nContent-Length: %zu\r\nSet-Cookie: a=b\r\n"
			"X-Token: " REAL "\r\n\r\n",
			strlen(c->head));
		if (!origin_say(c, head) || !origin_say(c, c->head))
			return;
	}
}

static int set_up(void **state)
{
	(void)state;
	rig_init(&r);
	origin_start(&o, r.ca, "http/1.1", echo_script, NULL);
	rig_host(&r, "api.test.example", 443, &o);
	rig_host(&r, "git.test.example", 443, &o);
	rig_host(&r, "q.test.example", 443, &o);
	rig_host(&r, "free.test.example", 443, &o);
	rig_host(&r, "mark.test.example", 443, &o);
	rig_host(&r, "model.test.example", 443, &o);
	rig_host(&r, "hook.test.example", 443, &o);
	rig_host(&r, "path.test.example", 443, &o);
	rig_rule(&r, POLICY_ALLOW, "**");
	rig_slot(&r, "token", TOKEN, EGRESS_SLOT_HEADER, "api.test.example", "Authorization",
		"Bearer %s", "");
	rig_slot(&r, "other", OTHER, EGRESS_SLOT_HEADER, "other.test.example", "x-api-key", "%s",
		"");
	rig_slot(&r, "key", KEY, EGRESS_SLOT_QUERY, "q.test.example", "key", "", "");
	rig_slot(&r, "basic", BASIC, EGRESS_SLOT_BASIC, "git.test.example", "", "", "x-token");
	rig_slot(&r, "mark", MARK, EGRESS_SLOT_PLACEHOLDER, "mark.test.example", "x-note", "", "");
	rig_slot(&r, "scoped", SCOPED, EGRESS_SLOT_HEADER, "path.test.example", "authorization",
		"Bearer %s", "");
	r.slots[r.c.n_credentials - 1].path = "/repos/o/r/**";
	rig_slot(&r, "hook", HOOK, EGRESS_SLOT_PLACEHOLDER, "hook.test.example", ":path", "", "");
	rig_slot(&r, "formed", FORMED, EGRESS_SLOT_PLACEHOLDER, "hook.test.example", ":body", "",
		"");
	rig_slot(&r, "model", MODEL, EGRESS_SLOT_HEADER, "model.test.example", "x-api-key", "%s",
		"");
	r.credentials[r.c.n_credentials - 1].pass_body = true;
	rig_configure(&r);
	rig_secret(&r, "model", REAL);
	rig_secret(&r, "hook", HOOK_KEY);
	rig_secret(&r, "formed", HOOK_KEY);
	rig_secret(&r, "scoped", REAL);
	rig_secret(&r, "token", REAL);
	rig_secret(&r, "other", "other-secret-value");
	rig_secret(&r, "key", REAL_KEY);
	rig_secret(&r, "basic", REAL);
	rig_secret(&r, "mark", "marked-value");
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	rig_fini(&r);
	origin_stop(&o);
	return 0;
}

static void forget_seen(void)
{
	pthread_mutex_lock(&o.lock);
	o.seen[0] = 0;
	pthread_mutex_unlock(&o.lock);
}

struct
try {
	const char *host, *path, *query, *name, *value;
	int status;
	const char *code; /* of a refusal */
	const char *sees; /* what the server must see */
	const char *credential;
};

static void run(const struct try *t)
{
	struct egress_request q = rig_get(t->host, t->path ? t->path : "/");
	struct answer a;
	unsigned before = o.requests;

	forget_seen();
	q.query = t->query ? t->query : "";
	if (t->name)
		rig_field(&q, t->name, t->value);
	rig_ask(&r, &q, NULL, &a);
	if (a.status != t->status || strcmp(a.code, t->code ? t->code : "") != 0)
		fail_msg("%s %s %s: %d %s %s", t->host, t->query ? t->query : "",
			t->value ? t->value : "", a.status, a.code, a.text);
	if (t->status == 200) {
		if (t->sees && !origin_saw(&o, t->sees))
			fail_msg("not seen: %s in %s", t->sees, o.seen);
		assert_string_equal(a.credential, t->credential ? t->credential : "");
		if (strcmp(a.credential, "key") == 0) {
			assert_null(memmem(a.body.data, a.body.len, "with%2Fodd", 10));
			assert_non_null(strstr(a.note, "scrubbed"));
		} else if (a.credential[0]) {
			/* The echo holds nothing of it. */
			assert_null(memmem(a.body.data, a.body.len, REAL, strlen(REAL)));
			assert_null(strstr(a.fields, REAL));
			assert_non_null(strstr(a.note, "scrubbed"));
			assert_null(strstr(a.fields, "set-cookie"));
		}
	} else {
		assert_int_equal(o.requests, before);
	}
	assert_null(strstr(a.text, REAL));
	buf_fini(&a.body);
	rig_hang_up(&r);
}

static void test_slots(void **state)
{
	static const struct try cases[] = {
		/* replaced, whatever the scheme's word */
		{"api.test.example", NULL, NULL, "authorization", "Bearer " TOKEN, 200, NULL,
			"authorization: Bearer " REAL "\r\n", "token"},
		{"api.test.example", NULL, NULL, "authorization", "token " TOKEN, 200, NULL,
			"authorization: Bearer " REAL "\r\n", "token"},
		/* added */
		{"api.test.example", NULL, NULL, NULL, NULL, 200, NULL,
			"authorization: Bearer " REAL "\r\n", "token"},
		{"q.test.example", NULL, "?a=1&key=" KEY "&b=2", NULL, NULL, 200, NULL,
			"GET /?a=1&key=key%2Bwith%2Fodd%3Dchars%26more&b=2 HTTP", "key"},
		{"q.test.example", NULL, "?a=1", NULL, NULL, 200, NULL, "GET /?a=1&key=key%2Bwith",
			"key"},
		{"git.test.example", NULL, NULL, NULL, NULL, 200, NULL,
			"authorization: Basic eC10b2tlbjpnaHBfUmVhbFJlYWxSZWFsUmVhbDAxMjM=\r\n",
			"basic"},
		/* x:STANDIN in Basic, as git sends it */
		{"git.test.example", NULL, NULL, "authorization",
			"Basic eDpzYngtc3RhbmRpbi1kZGRkZGRkZGRkZGRkZGRkZGRkZGRkZGQ=", 200, NULL,
			"authorization: Basic eC10b2tlbjpnaHBfUmVhbFJlYWxSZWFsUmVhbDAxMjM=\r\n",
			"basic"},
		{"mark.test.example", NULL, NULL, "x-note", "a " MARK " b", 200, NULL,
			"x-note: a marked-value b\r\n", "mark"},
		{"mark.test.example", NULL, NULL, "x-note", "nothing", 200, NULL,
			"x-note: nothing\r\n", NULL},
		{"free.test.example", NULL, NULL, "authorization", "Bearer own", 200, NULL,
			"authorization: Bearer own\r\n", NULL},
		{"free.test.example", NULL, NULL, "cookie", "a=b", 200, NULL, "cookie: a=b\r\n",
			NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct try t = cases[i];

		if (t.credential && strcmp(t.credential, "mark") == 0) {
			/* its value is not the one that the server's field holds */
			struct egress_request q = rig_get(t.host, "/");
			struct answer a;

			forget_seen();
			rig_field(&q, t.name, t.value);
			rig_ask(&r, &q, NULL, &a);
			assert_int_equal(a.status, 200);
			assert_true(origin_saw(&o, t.sees));
			assert_null(memmem(a.body.data, a.body.len, "marked-value", 12));
			buf_fini(&a.body);
			rig_hang_up(&r);
			continue;
		}
		run(&t);
	}
}

static void test_refusals(void **state)
{
	static const struct try cases[] = {
		/* foreign ones, in the slot and beside it */
		{"api.test.example", NULL, NULL, "authorization", "Bearer mine", 403,
			"foreign_credential", NULL, NULL},
		{"api.test.example", NULL, NULL, "x-api-key", "mine", 403, "foreign_credential",
			NULL, NULL},
		{"api.test.example", NULL, "?access_token=mine", NULL, NULL, 403,
			"foreign_credential", NULL, NULL},
		{"q.test.example", NULL, "?key=mine", NULL, NULL, 403, "foreign_credential", NULL,
			NULL},
		{"q.test.example", NULL, "?key=" KEY "&key=mine", NULL, NULL, 403,
			"foreign_credential", NULL, NULL},
		{"q.test.example", NULL, "?%6bey=mine", NULL, NULL, 403, "foreign_credential", NULL,
			NULL},
		{"git.test.example", NULL, NULL, "authorization", "Basic bWU6bWluZQ==", 403,
			"foreign_credential", NULL, NULL},
		{"git.test.example", NULL, NULL, "authorization", "Bearer " BASIC, 403,
			"foreign_credential", NULL, NULL},
		{"api.test.example", NULL, NULL, "authorization", "Bearer " TOKEN "x", 403,
			"foreign_credential", NULL, NULL},
		{"api.test.example", NULL, NULL, "authorization", "Bearer  " TOKEN, 403,
			"foreign_credential", NULL, NULL},
		/* stand-ins where they are not for */
		{"api.test.example", NULL, NULL, "authorization", "Bearer " OTHER, 403,
			"foreign_credential", NULL, NULL},
		{"free.test.example", NULL, NULL, "authorization", "Bearer " TOKEN, 403, "sentinel",
			NULL, NULL},
		{"free.test.example", NULL, NULL, "authorization",
			"Basic eDpzYngtc3RhbmRpbi1kZGRkZGRkZGRkZGRkZGRkZGRkZGRkZGQ=", 403,
			"sentinel", NULL, NULL},
		{"api.test.example", NULL, NULL, "referer", "https://x/" TOKEN, 403, "sentinel",
			NULL, NULL},
		{"api.test.example", NULL, NULL, "cookie", "t=" TOKEN, 403, "sentinel", NULL, NULL},
		{"api.test.example", "/x/" TOKEN, NULL, NULL, NULL, 403, "sentinel", NULL, NULL},
		{"api.test.example", NULL, "?t=" TOKEN, NULL, NULL, 403, "sentinel", NULL, NULL},
		{"api.test.example", NULL, "?t=%73bx-standin-aaaaaaaaaaaaaaaaaaaaaaaa", NULL, NULL,
			403, "sentinel", NULL, NULL},
		{"mark.test.example", NULL, NULL, "x-other", MARK, 403, "sentinel", NULL, NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		run(&cases[i]);
}

/* What has several readings gets nothing where some paths of the host have a credential (D6) */
static void test_paths(void **state)
{
	static const char *const ambiguous[] = {"/repos/o/r/a//b", "/repos/o/r/a%2Fb",
		"/repos/o/r/..%2F..%2Fx", "/repos/o/r/..%5Cx", "/repos/o/r/..;/x",
		"/repos/o/r/a%3Bb", "/repos/o/r/%252E%252E/x", "/repos/o/r/%01",
		"/repos/o/r/%C0%AE", "/repos/o/r/a%3Fb", "/repos/o/r/a%23b", "//repos/o/r/x",
		"/repos;/o/r/x", "/x%2Frepos/o/r/y", "/x//y"};
	static const struct try clear[] = {
		{"path.test.example", "/repos/o/r/x", NULL, "authorization", "Bearer " SCOPED, 200,
			NULL, "authorization: Bearer " REAL "\r\n", "scoped"},
		{"path.test.example", "/repos/o/r", NULL, NULL, NULL, 200, NULL,
			"authorization: Bearer " REAL "\r\n", "scoped"},
		{"path.test.example", "/repos/o/r2", NULL, "authorization", "Bearer " SCOPED, 403,
			"sentinel", NULL, NULL},
		{"path.test.example", "/repos/o/R", NULL, "authorization", "Bearer " SCOPED, 403,
			"sentinel", NULL, NULL},
		{"path.test.example", "/other", NULL, NULL, NULL, 200, NULL, NULL, NULL},
		/* the host is managed as a whole */
		{"path.test.example", "/other", NULL, "authorization", "Bearer mine", 403,
			"foreign_credential", NULL, NULL},
		{"path.test.example", "/repos/o/r/x", NULL, "authorization", "Bearer mine", 403,
			"foreign_credential", NULL, NULL},
		/* where no path is looked at, it is sent as it stands */
		{"api.test.example", "/a//b;c%2Fd", NULL, NULL, NULL, 200, NULL,
			"GET /a//b;c%2Fd HTTP", "token"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(ambiguous); i++) {
		struct try t = {"path.test.example", ambiguous[i], NULL, NULL, NULL, 403,
			"ambiguous_path", NULL, NULL};

		run(&t);
		t.name = "authorization";
		t.value = "Bearer " SCOPED;
		run(&t);
	}
	for (size_t i = 0; i < ARRAY_LEN(clear); i++)
		run(&clear[i]);
}

static void test_twice_in_one_request(void **state)
{
	struct egress_request q = rig_get("api.test.example", "/");
	struct answer a;

	(void)state;
	rig_field(&q, "authorization", "Bearer " TOKEN);
	rig_field(&q, "authorization", "Bearer mine");
	rig_ask(&r, &q, NULL, &a);
	assert_string_equal(a.code, "foreign_credential");
	buf_fini(&a.body);
}

static void test_bodies(void **state)
{
	static const struct {
		const char *type, *body;
		int status;
		const char *host, *note; /* NULL: api, none */
	} cases[] = {
		/* a model may be shown its own stand-in, and no other; it stays one */
		{"application/json", "{\"env\":\"KEY=" MODEL "\"}", 200, "model.test.example",
			"stand-in in body"},
		{"application/json", "{\"env\":\"KEY=" MODEL "\",\"b\":\"" TOKEN "\"}", 403,
			"model.test.example", NULL},
		{"application/json", "{\"env\":\"" TOKEN "\"}", 403, "model.test.example", NULL},
		{"application/json", "{\"env\":\"" MODEL "\"}", 403, "api.test.example", NULL},
		{"application/json", "{\"env\":\"" MODEL "\"}", 403, "free.test.example", NULL},
		{"application/json", "{\"a\":\"" TOKEN "\"}", 403},
		{"application/json", "{\"" TOKEN "\":1}", 403},
		{"application/x-www-form-urlencoded", "a=%73bx-standin-aaaaaaaaaaaaaaaaaaaaaaaa",
			403},
		{NULL, "x " OTHER, 403},
		{"application/json", "{\"a\":\"b\"}", 200},
		{"application/octet-stream", "any", 200},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct egress_request q =
			rig_get(cases[i].host ? cases[i].host : "api.test.example", "/");
		struct answer a;

		q.method = "POST";
		forget_seen();
		if (cases[i].type)
			rig_field(&q, "content-type", cases[i].type);
		rig_ask(&r, &q, cases[i].body, &a);
		assert_int_equal(a.status, cases[i].status);
		if (cases[i].note)
			assert_non_null(strstr(a.note, cases[i].note));
		assert_int_equal(cases[i].note != NULL, strstr(a.note, "stand-in") != NULL);
		buf_fini(&a.body);
		/* the echo server does not read bodies: do not let it take them for requests */
		rig_hang_up(&r);
	}
}

/* Placeholders in the path and in bodies, where a descriptor says so */
static void test_other_places(void **state)
{
	static const char *const refused[][3] = {
		/* path, field, value */
		{"/bot" HOOK "/send", "x-note", HOOK},
		{"/bot" HOOK "/send", "cookie", FORMED},
		{"/x/" FORMED, NULL, NULL},
		{"/x", "referer", "https://hook.test.example/bot" HOOK},
		{"/x", "authorization", "Bearer " HOOK},
	};
	static const struct {
		const char *type, *body, *length;
		int status;
	} bodies[] = {
		{"application/x-www-form-urlencoded", "a=1&secret=" FORMED "&b=2",
			"content-length: 42\r\n", 200},
		{"application/json", "{\"s\":\"" FORMED "\"}", "content-length: 24\r\n", 200},
		{"application/json", "{\"s\":\"" HOOK "\"}", NULL, 403},
		{"application/json", "{\"s\":\"" FORMED TOKEN "\"}", NULL, 403},
		{"application/json", "{\"s\":\"none\"}", "content-length: 12\r\n", 200},
	};
	struct egress_request q = rig_get("hook.test.example", "/bot" HOOK "/send");
	struct answer a;

	(void)state;
	forget_seen();
	rig_ask(&r, &q, NULL, &a);
	assert_int_equal(a.status, 200);
	assert_string_equal(a.credential, "hook");
	assert_true(origin_saw(&o, "GET /bot77%3AAA%2F..%2Fb%20c%3F%22x/send HTTP"));
	assert_null(memmem(a.body.data, a.body.len, "77%3AAA", 7));
	buf_fini(&a.body);
	rig_hang_up(&r);
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		q = rig_get("hook.test.example", refused[i][0]);
		if (refused[i][1])
			rig_field(&q, refused[i][1], refused[i][2]);
		rig_ask(&r, &q, NULL, &a);
		assert_int_equal(a.status, 403);
		buf_fini(&a.body);
	}
	q = rig_get("api.test.example", "/bot" HOOK);
	rig_ask(&r, &q, NULL, &a);
	assert_string_equal(a.code, "sentinel");
	buf_fini(&a.body);
	for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
		q = rig_get("hook.test.example", "/x");
		q.method = "POST";
		rig_field(&q, "content-type", bodies[i].type);
		forget_seen();
		rig_ask(&r, &q, bodies[i].body, &a);
		assert_int_equal(a.status, bodies[i].status);
		if (bodies[i].length)
			assert_true(origin_saw(&o, bodies[i].length));
		if (bodies[i].length && i < 2)
			assert_string_equal(a.credential, "formed");
		buf_fini(&a.body);
		rig_hang_up(&r);
	}
}

static void test_never_without_tls(void **state)
{
	struct egress_request q = rig_get("api.test.example", "/");
	struct answer a;

	(void)state;
	q.scheme = EGRESS_HTTP;
	rig_field(&q, "authorization", "Bearer " TOKEN);
	rig_ask(&r, &q, NULL, &a);
	assert_int_equal(a.status, 403);
	assert_string_equal(a.code, "sentinel");
	buf_fini(&a.body);
}

static void test_no_tunnel_to_a_host_with_a_credential(void **state)
{
	const struct egress_tunnel t = {
		.kind = EGRESS_TLS, .host = "api.test.example", .port = 443};
	struct answer a;

	(void)state;
	rig_connect(&r);
	answer_init(&a);
	assert_int_equal(egress_put_tunnel(&r.out, &t), 0);
	rig_send(&r);
	rig_wait(&r, &a);
	assert_int_equal(a.status, 403);
	buf_fini(&a.body);
	close(r.fd);
	r.fd = -1;
}

static void test_a_secret_that_is_gone(void **state)
{
	struct egress_request q = rig_get("api.test.example", "/");
	struct answer a;

	(void)state;
	secrets_drop(r.v.secrets, "token");
	rig_field(&q, "authorization", "Bearer " TOKEN);
	rig_ask(&r, &q, NULL, &a);
	assert_int_equal(a.status, 403);
	assert_string_equal(a.code, "credential_missing");
	buf_fini(&a.body);
	/* without one nothing is added, and no stand-in leaves */
	forget_seen();
	q = rig_get("api.test.example", "/");
	rig_ask(&r, &q, NULL, &a);
	assert_int_equal(a.status, 200);
	assert_false(origin_saw(&o, "authorization"));
	buf_fini(&a.body);
	rig_secret(&r, "token", REAL);
}

static void test_secrets_that_are_none(void **state)
{
	static const char *const bad[] = {"", "a\nb", "a\rb", " a", "a ", "a\x7f"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(secrets_put(r.v.secrets, "x", bad[i], strlen(bad[i])), -EINVAL);
	assert_int_equal(secrets_put(r.v.secrets, "x", "a\0b", 3), -EINVAL);
	assert_null(secrets_get(r.v.secrets, "x"));
}

/* "Create a signed AWS API request", the example of ListUsers */
static void test_the_signature_of_the_documentation(void **state)
{
	static const char canonical[] =
		"GET\n/\nAction=ListUsers&Version=2010-05-08\n"
		"content-type:application/x-www-form-urlencoded; charset=utf-8\n"
		"host:iam.amazonaws.com\nx-amz-date:20150830T123600Z\n\n"
		"content-type;host;x-amz-date\n"
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
	static const char was[] =
		"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, "
		"SignedHeaders=content-type;host;x-amz-date, Signature=00";
	struct sigv4_scope s;
	AUTO(buf) q = {0};
	char hex[65];

	(void)state;
	assert_true(sigv4_parse(was, &s));
	assert_string_equal(s.id, "AKIDEXAMPLE");
	assert_string_equal(s.signed_headers, "content-type;host;x-amz-date");
	assert_int_equal(sigv4_sign(&s, "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
				 "20150830T123600Z", canonical, strlen(canonical), hex),
		0);
	assert_string_equal(
		hex, "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7");
	buf_init(&q, 1000);
	assert_int_equal(sigv4_query("?b=2&a&Action=x&a=1", &q), 0);
	assert_string_equal(q.data, "Action=x&a=&a=1&b=2");
	assert_false(sigv4_parse("AWS4-HMAC-SHA256 Credential=a/b", &s));
	assert_false(sigv4_parse("Bearer x", &s));
}

/* guess() - @n-th of a fixed sequence: one letter off, cut, longer, or all at random as another sandbox's are */
static const char *guess(uint32_t n, char dst[64])
{
	static const char letters[] =
		"abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ-_";
	static uint64_t state = 20261122;
	const size_t from = strlen("sbx-standin-"), len = strlen(TOKEN);

	(void)snprintf(dst, 64, "%s", TOKEN);
	if (n % 8 == 0)
		dst[(n / 8) % len] ^= 1;
	else if (n % 8 == 1)
		dst[from + (n / 8) % (len - from)] = '\0';
	else if (n % 8 == 2)
		(void)snprintf(dst + len, 64 - len, "%c", letters[(n / 8) % 64]);
	else
		for (size_t i = from; i < len; i++) {
			state = state * 6364136223846793005u + 1442695040888963407u;
			dst[i] = letters[state >> 58];
		}
	return strcmp(dst, TOKEN) == 0 ? "x" : dst;
}

/* CR-08: a million of them are a million refusals, and none gets as far as the value */
static void test_guesses(void **state)
{
	static struct cred c;
	static struct egress_request q;
	char text[64], field[80];
	struct policy_host host;
	struct cred_ask a = {.config = r.v.config, .secrets = r.v.secrets, .q = &q, .host = &host};

	(void)state;
	q = rig_get("api.test.example", "/");
	assert_true(policy_host_parse(q.host, strlen(q.host), &host));
	rig_field(&q, "authorization", "Bearer " TOKEN);
	assert_true(cred_apply(&c, &a));
	assert_string_equal(c.used, "token");
	cred_clear(&c);
	for (uint32_t n = 0; n < 1000000; n++) {
		int len = snprintf(field, sizeof(field), "Bearer %s", guess(n, text));

		q.fields.v[q.fields.n - 1].value = field;
		q.fields.v[q.fields.n - 1].value_len = (uint16_t)len;
		if (cred_apply(&c, &a) || c.status != 403 || c.used[0] ||
			(strcmp(c.code, "foreign_credential") != 0 &&
				strcmp(c.code, "sentinel") != 0))
			fail_msg("%s: %d %s", field, c.status, c.code);
		cred_clear(&c);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_slots),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_twice_in_one_request),
		cmocka_unit_test(test_bodies),
		cmocka_unit_test(test_other_places),
		cmocka_unit_test(test_never_without_tls),
		cmocka_unit_test(test_no_tunnel_to_a_host_with_a_credential),
		cmocka_unit_test(test_a_secret_that_is_gone),
		cmocka_unit_test(test_secrets_that_are_none),
		cmocka_unit_test(test_the_signature_of_the_documentation),
		cmocka_unit_test(test_guesses),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
