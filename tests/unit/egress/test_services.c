/* Token endpoints, AWS signatures and ext_authz through a vault */
#include "rig.h"
#include "egress/sigv4.h"
#include "egress/text.h"
#include "tls/digest.h"

#define ACCESS	   "sbx-standin-access-aaaaaaaaaaaaaaaa"
#define REFRESH	   "sbx-standin-refresh-bbbbbbbbbbbbbbb"
#define AWS_ID	   "sbx-standin-awsid-cccccccccccccccc"
#define AWS_KEY	   "sbx-standin-awskey-dddddddddddddddd"
#define REAL_TOKEN "real-access-token-0123456789"
#define REAL_AGAIN "real-refresh-token/9876+543=="

static struct rig r;
static struct origin o;

/* ---- token endpoint ---- */

static void token_script(struct origin_conn *c)
{
	static const char answer[] =
		"{\"access_token\":\"" REAL_TOKEN "\",\"token_type\":\"bearer\","
		"\"refresh_token\":\"" REAL_AGAIN "\",\"expires_in\":3600}";
	char body[2048] = "", head[200];
	const char *at;

	while (origin_head(c)) {
		at = strstr(c->head, "content-length: ");
		memset(body, 0, sizeof(body));
		if (at && !origin_exactly(c, body, strtoul(at + 16, NULL, 10)))
			return;
		pthread_mutex_lock(&c->o->lock);
		(void)snprintf(c->o->seen + strlen(c->o->seen), sizeof(body), "%s", body);
		pthread_mutex_unlock(&c->o->lock);
		if (strstr(c->head, "GET /api")) {
			at = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
			if (!origin_say(c, at))
				return;
			continue;
		}
		if (strstr(body, "nested")) {
			if (!origin_say(c, "HTTP/1.1 200 OK\r\nContent-Length: 58\r\n\r\n"
					   "{\"data\":[{\"access_token\":\"" REAL_TOKEN "\"}]}"))
				return;
			continue;
		}
		if (strstr(body, "broken")) {
			if (!origin_say(c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n<html"))
				return;
			continue;
		}
		if (strstr(body, "error")) {
			(void)snprintf(head, sizeof(head),
				"HTTP/1.1 400 Bad\r\nContent-Length: %zu\r\n\r\n", strlen(body));
			if (!origin_say(c, head) || !origin_say(c, body))
				return;
			continue;
		}
		(void)snprintf(head, sizeof(head),
			"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
			"%zu\r\n"
			"Set-Cookie: x=y\r\n\r\n",
			strlen(answer));
		if (!origin_say(c, head) || !origin_say(c, answer))
			return;
	}
}

static void ask_token(const char *body, const char *type, struct answer *a)
{
	struct egress_request q = rig_get("auth.test.example", "/oauth/token");

	rig_hang_up(&r);
	q.method = "POST";
	rig_field(&q, "content-type", type);
	rig_ask(&r, &q, body, a);
}

static void test_tokens_stay_here(void **state)
{
	struct egress_request q = rig_get("api.test.example", "/api");
	const struct secret *s;
	struct answer a;

	(void)state;
	rig_init(&r);
	origin_start(&o, r.ca, "http/1.1", token_script, NULL);
	rig_host(&r, "auth.test.example", 443, &o);
	rig_host(&r, "api.test.example", 443, &o);
	rig_rule(&r, POLICY_ALLOW, "**.test.example");
	rig_slot(&r, "svc", ACCESS, EGRESS_SLOT_HEADER, "api.test.example", "authorization",
		"Bearer %s", "");
	r.oauth[r.c.n_oauth++] = (struct egress_oauth){.credential = "svc",
		.host = "auth.test.example",
		.path = "/oauth/token",
		.access_field = "access_token",
		.refresh_field = "refresh_token",
		.access_sentinel = ACCESS,
		.refresh_sentinel = REFRESH};
	rig_configure(&r);
	/* log in: the guest gets stand-ins */
	ask_token("grant_type=authorization_code&code=x", "application/x-www-form-urlencoded", &a);
	assert_int_equal(a.status, 200);
	assert_true(a.done);
	assert_non_null(strstr(a.body.data, "\"access_token\":\"" ACCESS "\""));
	assert_non_null(strstr(a.body.data, "\"refresh_token\":\"" REFRESH "\""));
	assert_non_null(strstr(a.body.data, "\"expires_in\":3600"));
	assert_null(strstr(a.body.data, "real-"));
	assert_null(strstr(a.fields, "set-cookie"));
	buf_fini(&a.body);
	s = secrets_get(r.v.secrets, "svc");
	assert_non_null(s);
	assert_string_equal(s->value, REAL_TOKEN);
	s = secrets_get(r.v.secrets, "svc.refresh");
	assert_non_null(s);
	assert_string_equal(s->value, REAL_AGAIN);
	/* use it */
	rig_field(&q, "authorization", "Bearer " ACCESS);
	rig_ask(&r, &q, NULL, &a);
	assert_int_equal(a.status, 200);
	assert_true(origin_saw(&o, "authorization: Bearer " REAL_TOKEN "\r\n"));
	buf_fini(&a.body);
	/* refresh, as a form and as JSON: the real one goes out */
	ask_token("grant_type=refresh_token&refresh_token=" REFRESH,
		"application/x-www-form-urlencoded", &a);
	assert_int_equal(a.status, 200);
	assert_true(origin_saw(&o, "refresh_token=real-refresh-token%2F9876%2B543%3D%3D"));
	buf_fini(&a.body);
	ask_token("{\"refresh_token\":\"" REFRESH "\"}", "application/json", &a);
	assert_true(origin_saw(&o, "{\"refresh_token\":\"" REAL_AGAIN "\"}"));
	buf_fini(&a.body);
	/* an error that says everything back */
	ask_token("error=" REFRESH, "text/plain", &a);
	assert_int_equal(a.status, 400);
	assert_null(memmem(a.body.data, a.body.len, "real-", 5));
	buf_fini(&a.body);
	ask_token("nested", "text/plain", &a);
	assert_int_equal(a.status, 502);
	assert_string_equal(a.code, "token");
	buf_fini(&a.body);
	ask_token("broken", "text/plain", &a);
	assert_int_equal(a.status, 502);
	buf_fini(&a.body);
	rig_fini(&r);
	origin_stop(&o);
}

/* ---- id tokens, device codes, access tokens with claims ---- */

#define ID_SIGN	    "sbxstandinidaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define ACCESS_SIGN "sbxstandinaccessbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define DEVICE	    "sbxstandindeviceccccccccccccccccc"
#define ID_HEAD	    "eyJhbGciOiJSUzI1NiJ9.eyJhY2NvdW50IjoiYWNjLTEifQ."
#define ACCESS_HEAD "eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjE5OTk5OTk5OTl9."
#define ID_REAL	    "RealSignatureOfTheIdToken-0123456789_abcdefghij"
#define ACCESS_REAL "RealSignatureOfTheAccessToken-987654321_abcdefg"
#define DEVICE_REAL "real-device-code-31337-31337"

static void oidc_script(struct origin_conn *c)
{
	char body[8192], head[200];
	const char *at, *answer;

	while (origin_head(c)) {
		at = strstr(c->head, "content-length: ");
		memset(body, 0, sizeof(body));
		if (at && !origin_exactly(c, body, strtoul(at + 16, NULL, 10)))
			return;
		pthread_mutex_lock(&c->o->lock);
		(void)snprintf(c->o->seen + strlen(c->o->seen), sizeof(body), "%s", body);
		pthread_mutex_unlock(&c->o->lock);
		answer = "{\"access_token\":\"" ACCESS_HEAD ACCESS_REAL
			 "\",\"id_token\":\"" ID_HEAD ID_REAL "\",\"refresh_token\":\"" REAL_AGAIN
			 "\"}";
		if (strcasestr(c->head, "/oauth/device"))
			answer = "{\"device_code\":\"" DEVICE_REAL "\",\"user_code\":\"ABCD-EFGH\","
				 "\"verification_uri\":\"https://auth.test.example/"
				 "activate\",\"interval\":5}";
		else if (strstr(body, "pending"))
			answer = "{\"error\":\"authorization_pending\",\"error_description\":"
				 "\"" DEVICE_REAL "\"}";
		else if (strstr(body, "hidden"))
			answer = "{\"error\":\"x\",\"id_token\":\"" ID_HEAD ID_REAL "\"}";
		else if (strstr(body, "opaque"))
			answer = "{\"access_token\":\"" ACCESS_HEAD ACCESS_REAL
				 "\",\"id_token\":\"real-opaque-id-1234\"}";
		else if (strstr(c->head, "/api"))
			answer = c->head; /* an echo */
		(void)snprintf(head, sizeof(head), "HTTP/1.1 %s\r\nContent-Length: %zu\r\n\r\n",
			strstr(answer, "\"error\"") ? "400 Bad" : "200 OK", strlen(answer));
		if (!origin_say(c, head) || !origin_say(c, answer))
			return;
	}
}

static void oidc_ask(
	const char *path, const char *type, const char *body, int status, struct answer *a)
{
	struct egress_request q = rig_get("auth.test.example", path);

	rig_hang_up(&r);
	pthread_mutex_lock(&o.lock);
	o.seen[0] = '\0';
	pthread_mutex_unlock(&o.lock);
	q.method = "POST";
	rig_field(&q, "content-type", type);
	rig_ask(&r, &q, body, a);
	if (a->status != status)
		fail_msg("%s: %d %s %s", body, a->status, a->code, a->text);
	if (a->body.len > 0) {
		assert_null(strstr(a->body.data, ID_REAL));
		assert_null(strstr(a->body.data, ACCESS_REAL));
		assert_null(strstr(a->body.data, DEVICE_REAL));
		assert_null(strstr(a->body.data, "real-"));
	}
}

static void oidc_start(void)
{
	rig_init(&r);
	origin_start(&o, r.ca, "http/1.1", oidc_script, NULL);
	rig_host(&r, "auth.test.example", 443, &o);
	rig_host(&r, "api.test.example", 443, &o);
	rig_rule(&r, POLICY_ALLOW, "**.test.example");
	rig_slot(&r, "svc", ACCESS_SIGN, EGRESS_SLOT_HEADER, "api.test.example", "authorization",
		"Bearer %s", "");
	r.credentials[0].claims = true;
	r.oauth[r.c.n_oauth++] = (struct egress_oauth){.credential = "svc",
		.host = "auth.test.example",
		.path = "/oauth/token",
		.access_field = "access_token",
		.refresh_field = "refresh_token",
		.access_sentinel = ACCESS_SIGN,
		.refresh_sentinel = REFRESH,
		.id_field = "id_token",
		.id_sentinel = ID_SIGN,
		.device_path = "/oauth/device",
		.device_field = "device_code",
		.device_sentinel = DEVICE,
		.claims = true};
	rig_configure(&r);
}

#define FORM "application/x-www-form-urlencoded"

static void test_device_codes(void **state)
{
	struct egress_request q = rig_get("api.test.example", "/api");
	struct answer a;

	(void)state;
	oidc_start();
	oidc_ask("/oauth/device", FORM, "client_id=x", 200, &a);
	assert_non_null(strstr(a.body.data, "\"device_code\":\"" DEVICE "\""));
	assert_non_null(strstr(a.body.data, "\"user_code\":\"ABCD-EFGH\""));
	assert_non_null(strstr(a.body.data, "/activate"));
	buf_fini(&a.body);
	assert_string_equal(secrets_get(r.v.secrets, "svc.device")->value, DEVICE_REAL);
	/* polled with: the real one goes out, and does not come back */
	oidc_ask("/oauth/token", FORM, "pending=1&device_code=" DEVICE, 400, &a);
	assert_true(origin_saw(&o, "device_code=" DEVICE_REAL));
	assert_non_null(strstr(a.body.data, "authorization_pending"));
	buf_fini(&a.body);
	/* nowhere else, and no code of one's own spelling of the path */
	oidc_ask("/other", "application/json", "{\"device_code\":\"" DEVICE "\"}", 403, &a);
	assert_string_equal(a.code, "sentinel");
	buf_fini(&a.body);
	rig_field(&q, "x-code", DEVICE);
	rig_ask(&r, &q, NULL, &a);
	assert_string_equal(a.code, "sentinel");
	buf_fini(&a.body);
	oidc_ask("/oauth//token", FORM, "code=x", 403, &a);
	assert_string_equal(a.code, "ambiguous_path");
	buf_fini(&a.body);
	oidc_ask("/OAuth/Device/", FORM, "client_id=x", 200, &a);
	assert_non_null(strstr(a.body.data, "\"device_code\":\"" DEVICE "\""));
	buf_fini(&a.body);
	/* the last poll gives tokens, and the code is forgotten */
	oidc_ask("/oauth/token", FORM, "device_code=" DEVICE, 200, &a);
	assert_true(origin_saw(&o, "device_code=" DEVICE_REAL));
	buf_fini(&a.body);
	assert_null(secrets_get(r.v.secrets, "svc.device"));
	oidc_ask("/oauth/token", FORM, "device_code=" DEVICE, 403, &a);
	assert_string_equal(a.code, "credential_missing");
	buf_fini(&a.body);
	rig_fini(&r);
	origin_stop(&o);
}

static void test_tokens_with_claims(void **state)
{
	struct egress_request q = rig_get("api.test.example", "/api");
	struct answer a;

	(void)state;
	oidc_start();
	oidc_ask("/oauth/token", FORM, "code=x", 200, &a);
	assert_non_null(strstr(a.body.data, "\"id_token\":\"" ID_HEAD ID_SIGN "\""));
	assert_non_null(strstr(a.body.data, "\"access_token\":\"" ACCESS_HEAD ACCESS_SIGN "\""));
	buf_fini(&a.body);
	assert_string_equal(secrets_get(r.v.secrets, "svc.id")->value, ID_HEAD ID_REAL);
	/* the access token, used; what it looks like is no matter; its signature alone does not come back */
	rig_field(&q, "authorization", "Bearer " ACCESS_HEAD ACCESS_SIGN);
	rig_ask(&r, &q, NULL, &a);
	assert_int_equal(a.status, 200);
	assert_true(origin_saw(&o, "authorization: Bearer " ACCESS_HEAD ACCESS_REAL "\r\n"));
	assert_null(strstr(a.body.data, ACCESS_REAL));
	buf_fini(&a.body);
	q.fields.v[0].value = "Bearer eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjF9." ACCESS_SIGN "x";
	q.fields.v[0].value_len = (uint16_t)strlen(q.fields.v[0].value);
	rig_ask(&r, &q, NULL, &a);
	assert_string_equal(a.code, "foreign_credential");
	buf_fini(&a.body);
	/* the id token: to the endpoint that gave it, whole and as it was given; nowhere else */
	oidc_ask("/oauth/token", FORM, "subject_token=" ID_HEAD ID_SIGN "&x=1", 200, &a);
	assert_true(origin_saw(&o, "subject_token=" ID_HEAD ID_REAL "&x=1"));
	buf_fini(&a.body);
	oidc_ask("/oauth/token", "application/json", "{\"id_token_hint\":\"" ID_HEAD ID_SIGN "\"}",
		200, &a);
	assert_true(origin_saw(&o, "{\"id_token_hint\":\"" ID_HEAD ID_REAL "\"}"));
	buf_fini(&a.body);
	oidc_ask("/oauth/token", FORM, "subject_token=eyJhbGciOiJSUzI1NiJ9.eyJhIjoxfQ." ID_SIGN,
		403, &a);
	assert_string_equal(a.code, "sentinel");
	buf_fini(&a.body);
	oidc_ask("/other", "application/json", "{\"t\":\"" ID_HEAD ID_SIGN "\"}", 403, &a);
	assert_string_equal(a.code, "sentinel");
	buf_fini(&a.body);
	q.fields.v[0].value = "Bearer " ID_HEAD ID_SIGN;
	q.fields.v[0].value_len = (uint16_t)strlen(q.fields.v[0].value);
	rig_ask(&r, &q, NULL, &a);
	assert_string_equal(a.code, "foreign_credential");
	buf_fini(&a.body);
	/* an error with a token in it, and one that is no JWT */
	oidc_ask("/oauth/token", FORM, "hidden", 400, &a);
	assert_non_null(strstr(a.body.data, ID_HEAD ID_SIGN));
	buf_fini(&a.body);
	oidc_ask("/oauth/token", FORM, "opaque", 200, &a);
	assert_non_null(strstr(a.body.data, "\"id_token\":\"" ID_SIGN "\""));
	buf_fini(&a.body);
	rig_fini(&r);
	origin_stop(&o);
}

static void test_what_a_jwt_is(void **state)
{
	static const char sign[] = ".0123456789012345678901234567890123456789";
	char text[200];

	(void)state;
	(void)snprintf(text, sizeof(text), "eyJh.eyJh%s", sign);
	assert_int_equal(text_jwt(text, strlen(text)), 10);
	for (const char *const *bad = (const char *const[]){"eyJh", "eyJh.eyJh.x", "a.eyJh",
		     "eyJh..", "eyJh.", "", ".", "eyJ!.a", NULL};
		*bad; bad++) {
		(void)snprintf(text, sizeof(text), "%s%s", *bad, strstr(*bad, ".x") ? "" : sign);
		assert_int_equal(text_jwt(text, strlen(text)), 0);
	}
	(void)snprintf(text, sizeof(text), "eyJh.eyJh%s.x", sign);
	assert_int_equal(text_jwt(text, strlen(text)), 0);
}

/* ---- AWS ---- */

static void ok_script(struct origin_conn *c)
{
	while (origin_head(c))
		if (!origin_say(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
			return;
}

static void test_a_request_is_signed_anew(void **state)
{
	static const char hash[] =
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
	static const char canonical[] =
		"GET\n/bucket/a%20key\nprefix=x\nhost:s3.test.example\nx-amz-content-sha256:"
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n"
		"x-amz-date:20260101T000000Z\n\nhost;x-amz-content-sha256;x-amz-date\n"
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
	static const char was[] =
		"AWS4-HMAC-SHA256 Credential=" AWS_ID "/20260101/eu-central-1/s3/aws4_request, "
		"SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature=00";
	struct egress_request q = rig_get("s3.test.example", "/bucket/a%20key");
	struct sigv4_scope s;
	char hex[65], want[200];
	struct answer a;

	(void)state;
	rig_init(&r);
	origin_start(&o, r.ca, "http/1.1", ok_script, NULL);
	rig_host(&r, "s3.test.example", 443, &o);
	rig_rule(&r, POLICY_ALLOW, "**.test.example");
	rig_slot(&r, "aws", AWS_KEY, EGRESS_SLOT_SIGV4, "s3.test.example", "", "", "aws.id");
	rig_slot(&r, "aws.id", AWS_ID, EGRESS_SLOT_HEADER, "none.example", "x", "%s", "");
	rig_configure(&r);
	rig_secret(&r, "aws", "real/aws+key");
	rig_secret(&r, "aws.id", "AKIAREALREAL");
	q.query = "?prefix=x";
	rig_field(&q, "x-amz-date", "20260101T000000Z");
	rig_field(&q, "x-amz-content-sha256", hash);
	rig_field(&q, "authorization", was);
	rig_ask(&r, &q, NULL, &a);
	assert_string_equal(a.text, "");
	assert_int_equal(a.status, 200);
	buf_fini(&a.body);
	assert_true(sigv4_parse(was, &s));
	assert_int_equal(sigv4_sign(&s, "real/aws+key", "20260101T000000Z", canonical,
				 strlen(canonical), hex),
		0);
	(void)snprintf(want, sizeof(want), "Signature=%s\r\n", hex);
	assert_true(origin_saw(&o, want));
	assert_true(
		origin_saw(&o, "Credential=AKIAREALREAL/20260101/eu-central-1/s3/aws4_request"));
	assert_false(origin_saw(&o, AWS_ID));
	/* another key, another scheme */
	q.fields.n--;
	rig_field(&q, "authorization",
		"AWS4-HMAC-SHA256 Credential=AKIAMINE/20260101/eu-central-1/s3/aws4_request, "
		"SignedHeaders=host, Signature=00");
	rig_ask(&r, &q, NULL, &a);
	assert_string_equal(a.code, "foreign_credential");
	buf_fini(&a.body);
	q.fields.n--;
	rig_field(&q, "authorization", "Bearer mine");
	rig_ask(&r, &q, NULL, &a);
	assert_string_equal(a.code, "foreign_credential");
	buf_fini(&a.body);
	rig_fini(&r);
	origin_stop(&o);
}

static void test_id_and_key_in_one(void **state)
{
	static const char was[] =
		"AWS4-HMAC-SHA256 Credential=" AWS_ID "/20260101/eu-central-1/sts/aws4_request, "
		"SignedHeaders=host;x-amz-date, Signature=00";
	struct egress_request q = rig_get("sts.test.example", "/");
	struct answer a;

	(void)state;
	rig_init(&r);
	origin_start(&o, r.ca, "http/1.1", ok_script, NULL);
	rig_host(&r, "sts.test.example", 443, &o);
	rig_rule(&r, POLICY_ALLOW, "**.test.example");
	rig_slot(&r, "aws", AWS_ID, EGRESS_SLOT_SIGV4, "**.test.example", "", "", "");
	rig_configure(&r);
	rig_secret(&r, "aws", "AKIAREALREAL:real/aws+key");
	rig_field(&q, "x-amz-date", "20260101T000000Z");
	rig_field(&q, "authorization", was);
	rig_ask(&r, &q, NULL, &a);
	assert_string_equal(a.text, "");
	assert_int_equal(a.status, 200);
	assert_string_equal(a.credential, "aws");
	assert_true(
		origin_saw(&o, "Credential=AKIAREALREAL/20260101/eu-central-1/sts/aws4_request"));
	assert_false(origin_saw(&o, "real/aws+key"));
	buf_fini(&a.body);
	rig_secret(&r, "aws", "nocolon");
	rig_ask(&r, &q, NULL, &a);
	assert_string_equal(a.code, "credential_missing");
	buf_fini(&a.body);
	/* without a signature nothing is added */
	q.fields.n--;
	rig_ask(&r, &q, NULL, &a);
	assert_int_equal(a.status, 200);
	buf_fini(&a.body);
	rig_fini(&r);
	origin_stop(&o);
}

/* ---- ext_authz ---- */

static void authz_script(struct origin_conn *c)
{
	while (origin_head(c)) {
		if (strstr(c->head, "/slow"))
			return; /* no answer at all */
		if (!origin_say(
			    c, strstr(c->head, "/yes")
				       ? "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
				       : "HTTP/1.1 401 No\r\nContent-Length: 9\r\n\r\nnot today"))
			return;
	}
}

static void test_ext_authz(void **state)
{
	struct egress_request q = rig_get("api.test.example", "/yes");
	struct origin judge;
	struct answer a;
	char url[64];

	(void)state;
	rig_init(&r);
	origin_start(&o, r.ca, "http/1.1", ok_script, NULL);
	origin_start(&judge, NULL, NULL, authz_script, NULL);
	rig_host(&r, "api.test.example", 443, &o);
	rig_rule(&r, POLICY_ALLOW, "**.test.example");
	(void)snprintf(url, sizeof(url), "http://127.0.0.1:%u/check/", (unsigned)judge.port);
	r.c.authz_url = url;
	r.c.authz_ms = 3000;
	rig_configure(&r);
	rig_field(&q, "authorization", "Bearer mine");
	rig_field(&q, "x-plain", "seen");
	for (unsigned i = 0; i < 2; i++) {
		rig_ask(&r, &q, NULL, &a);
		assert_string_equal(a.text, "");
		assert_int_equal(a.status, 200);
		buf_fini(&a.body);
	}
	assert_int_equal(judge.connections, 1);
	assert_true(
		origin_saw(&judge, "GET /check/yes HTTP/1.1\r\nhost: api.test.example:443\r\n"));
	assert_true(origin_saw(&judge, "x-plain: seen\r\n"));
	assert_false(origin_saw(&judge, "mine"));
	q.path = "/no";
	rig_ask(&r, &q, NULL, &a);
	assert_int_equal(a.status, 401);
	assert_string_equal(a.code, "authz");
	assert_string_equal(a.text, "not today");
	buf_fini(&a.body);
	assert_int_equal(o.requests, 2);
	q.path = "/slow";
	rig_ask(&r, &q, NULL, &a);
	assert_int_equal(a.status, 403);
	buf_fini(&a.body);
	origin_stop(&judge);
	q.path = "/yes"; /* nobody is there: closed */
	rig_ask(&r, &q, NULL, &a);
	assert_int_equal(a.status, 403);
	assert_string_equal(a.code, "authz");
	buf_fini(&a.body);
	assert_int_equal(o.requests, 2);
	rig_fini(&r);
	origin_stop(&o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tokens_stay_here),
		cmocka_unit_test(test_device_codes),
		cmocka_unit_test(test_tokens_with_claims),
		cmocka_unit_test(test_what_a_jwt_is),
		cmocka_unit_test(test_a_request_is_signed_anew),
		cmocka_unit_test(test_id_and_key_in_one),
		cmocka_unit_test(test_ext_authz),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
