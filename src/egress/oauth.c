/* Answers of token endpoints: collected, the tokens in them kept here and sent to the daemon, and the guest
 * given their stand-ins. An answer that is no JSON object, or no success, is passed on masked.
 */
#include "egress/chan.h"
#include "json/json.h"
#include <stdio.h>
#include <string.h>

#define TOKEN_ANSWER_MAX 65536

void token_begin(struct chan *c, int status, const struct egress_response *s, bool end)
{
	const char *type = egress_field(&s->fields, "content-type");
	const char *coding = egress_field(&s->fields, "content-encoding");

	(void)end; /* exchange_end() comes also for an answer without a body */
	if (coding && coding[0] && strcmp(coding, "identity") != 0) {
		chan_fail(c, 502, "coding", "the answer of the token endpoint is encoded");
		return;
	}
	buf_init(&c->token, TOKEN_ANSWER_MAX);
	c->token_status = status;
	(void)snprintf(c->token_type, sizeof(c->token_type), "%s",
		type && strlen(type) < sizeof(c->token_type) ? type : "application/json");
}

void token_data(struct chan *c, const void *p, size_t len)
{
	if (buf_add(&c->token, p, len) < 0)
		chan_fail(c, 502, "too_large", "the answer of the token endpoint is too large");
}

/* keep() - a token of the answer becomes a secret and its stand-in takes its place; true: failed */
static bool keep(struct chan *c, struct js *answer, const char *field, const char *name,
	const char *sentinel)
{
	const char *token = field[0] ? js_str(js_get(answer, field)) : NULL;

	if (!token || !sentinel[0] || strcmp(token, sentinel) == 0)
		return false;
	if (secrets_put(c->v->secrets, name, token, strlen(token)) < 0)
		return true;
	control_caught(c->v, name, token, strlen(token));
	(void)snprintf(c->cred.note, sizeof(c->cred.note), "token kept");
	return js_set_str(answer, field, sentinel);
}

static void mask(struct chan *c, struct buf *b, const char *name)
{
	const struct secret *s = secrets_get(c->v->secrets, name);

	if (s && b->len && scrub_mask(s->scrub, b->data, b->len))
		(void)snprintf(c->cred.note, sizeof(c->cred.note), "scrubbed");
}

/* hides_token() - a token where nobody looks for it: below the top. (Depth is limited by the parser.) */
static bool hides_token(const struct js *v, const struct egress_oauth *o, bool top)
{
	const struct js *item;
	void *iter = NULL;
	const char *key;

	for (size_t i = 0; js_is_array(v) && i < js_len(v); i++)
		if (hides_token(js_at(v, i), o, false))
			return true;
	while (js_is_object(v) && js_each(v, &iter, &key, &item)) {
		if (!top && js_str(item) &&
			(strcmp(key, o->access_field) == 0 || strcmp(key, o->refresh_field) == 0))
			return true;
		if (hides_token(item, o, false))
			return true;
	}
	return false;
}

/* take_tokens() - false: what came cannot be given to the guest */
static bool take_tokens(struct chan *c, const char *refresh)
{
	const struct egress_oauth *o = c->cred.oauth;
	AUTO_JS answer = NULL;
	struct err e = {0};
	bool bad;

	if (js_parse(c->token.data, c->token.len, TOKEN_ANSWER_MAX, &answer, &e) < 0 ||
		!js_is_object(answer) || hides_token(answer, o, true))
		return false;
	bad = keep(c, answer, o->access_field, o->credential, o->access_sentinel);
	bad |= keep(c, answer, o->refresh_field, refresh, o->refresh_sentinel);
	explicit_bzero(c->token.data, c->token.cap);
	buf_clear(&c->token);
	return !bad && js_print(answer, &c->token) == 0;
}

bool token_end(struct chan *c)
{
	const struct egress_oauth *o = c->cred.oauth;
	struct egress_response s = {.status = (uint16_t)c->token_status, .version = 1};
	char refresh[160];
	bool ok = true;

	if (c->dead || c->token.max == 0)
		return false;
	(void)snprintf(refresh, sizeof(refresh), "%s.refresh", o->credential);
	if (c->token_status / 100 == 2 && c->token.len > 0)
		ok = take_tokens(c, refresh);
	if (!ok) {
		chan_fail(c, 502, "token", "the answer of the token endpoint cannot be read");
		return false;
	}
	/* What is known by now must not be anywhere else in it. */
	mask(c, &c->token, o->credential);
	mask(c, &c->token, refresh);
	s.fields.v[s.fields.n++] = (struct egress_field){
		"content-type", c->token_type, 12, (uint16_t)strlen(c->token_type), false};
	s.fields.v[s.fields.n++] = (struct egress_field){"cache-control", "no-store", 13, 8, false};
	c->answered = true;
	if (egress_put_response(&c->out, &s, c->token.len == 0) < 0 ||
		(c->token.len > 0 &&
			egress_put_data(&c->out, c->token.data, c->token.len, true) < 0)) {
		chan_put_failed(c);
		return false;
	}
	chan_done(c);
	return false;
}
