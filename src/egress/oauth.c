/* Answers of token endpoints: collected, the tokens in them kept here and sent to the daemon, and the guest
 * given their stand-ins. A success that is no JSON object is refused, an error that is none passed on masked.
 */
#include "egress/chan.h"
#include "egress/text.h"
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

/* The tokens of an answer: where each stands, under which name it is kept, and what the guest gets. */
struct token {
	const char *field, *sentinel;
	char name[160];
	bool jwt; /* its header and claims are left to the guest */
	bool lasting; /* is worth keeping on the host; else it is gone with this process */
};

#define TOKENS 4

static void tokens_of(const struct egress_oauth *o, struct token t[TOKENS])
{
	static const char *const ends[TOKENS] = {"", ".refresh", ".id", ".device"};

	t[0] = (struct token){o->access_field, o->access_sentinel, "", o->claims, true};
	t[1] = (struct token){o->refresh_field, o->refresh_sentinel, "", false, true};
	t[2] = (struct token){o->id_field, o->id_sentinel, "", true, true};
	t[3] = (struct token){o->device_field, o->device_sentinel, "", false, false};
	for (unsigned i = 0; i < TOKENS; i++)
		(void)snprintf(t[i].name, sizeof(t[i].name), "%s%s", o->credential, ends[i]);
}

static void note(struct chan *c, const char *what)
{
	(void)snprintf(c->cred.note, sizeof(c->cred.note), "%s", what);
}

/* stand_in() - what the guest gets for @token; true: failed */
static bool stand_in(const struct token *t, struct js *answer, const char *token)
{
	size_t signature = t->jwt ? text_jwt(token, strlen(token)) : 0;
	AUTO(buf) b = {0};

	buf_init(&b, TOKEN_ANSWER_MAX);
	return buf_add(&b, token, signature) < 0 ||
	       buf_add(&b, t->sentinel, strlen(t->sentinel)) < 0 ||
	       js_set_str(answer, t->field, b.data);
}

/* keep() - a token of the answer becomes a secret and its stand-in takes its place; true: failed */
static bool keep(struct chan *c, const struct token *t, struct js *answer)
{
	const char *token = t->field[0] ? js_str(js_get(answer, t->field)) : NULL;
	size_t len = token ? strlen(token) : 0;

	if (!token || !t->sentinel[0] || strcmp(token, t->sentinel) == 0)
		return false;
	if (len > EGRESS_SECRET_MAX && t->jwt && text_jwt(token, len)) {
		secrets_drop(c->v->secrets, t->name); /* cannot be sent back: few clients ever do */
		return stand_in(t, answer, token);
	}
	if (secrets_put(c->v->secrets, t->name, token, len) < 0)
		return true;
	if (t->lasting)
		control_caught(c->v, t->name, token, len);
	note(c, "token kept");
	return stand_in(t, answer, token);
}

static void mask(struct chan *c, struct buf *b, const char *name)
{
	const struct secret *s = secrets_get(c->v->secrets, name);
	bool found = s && b->len && scrub_mask(s->scrub, b->data, b->len);

	if (s && s->signature && b->len)
		found |= scrub_mask(s->signature, b->data, b->len);
	if (found)
		note(c, "scrubbed");
}

static bool is_token(const struct token t[TOKENS], const char *key)
{
	for (unsigned i = 0; i < TOKENS; i++)
		if (t[i].field[0] && strcmp(t[i].field, key) == 0)
			return true;
	return false;
}

/* hides_token() - a token where nobody looks for it: below the top. (Depth is limited by the parser.) */
static bool hides_token(const struct js *v, const struct token t[TOKENS], bool top)
{
	const struct js *item;
	void *iter = NULL;
	const char *key;

	for (size_t i = 0; js_is_array(v) && i < js_len(v); i++)
		if (hides_token(js_at(v, i), t, false))
			return true;
	while (js_is_object(v) && js_each(v, &iter, &key, &item)) {
		if (!top && js_str(item) && is_token(t, key))
			return true;
		if (hides_token(item, t, false))
			return true;
	}
	return false;
}

/* take_tokens() - false: what came cannot be given to the guest. An error may be of any form; one that has
 * tokens in it is looked into like a success.
 */
static bool take_tokens(struct chan *c, const struct token t[TOKENS])
{
	bool success = c->token_status / 100 == 2, bad = false;
	AUTO_JS answer = NULL;
	struct err e = {0};

	if (js_parse(c->token.data, c->token.len, TOKEN_ANSWER_MAX, &answer, &e) < 0 ||
		!js_is_object(answer))
		return !success;
	if (hides_token(answer, t, true))
		return false;
	for (unsigned i = 0; i < TOKENS; i++)
		bad |= keep(c, &t[i], answer);
	/* The code has had its use. */
	if (js_str(js_get(answer, t[0].field)))
		secrets_drop(c->v->secrets, t[3].name);
	explicit_bzero(c->token.data, c->token.cap);
	buf_clear(&c->token);
	return !bad && js_print(answer, &c->token) == 0;
}

bool token_end(struct chan *c)
{
	struct egress_response s = {.status = (uint16_t)c->token_status, .version = 1};
	struct token t[TOKENS];

	if (c->dead || c->token.max == 0)
		return false;
	tokens_of(c->cred.oauth, t);
	if (c->token.len > 0 && !take_tokens(c, t)) {
		chan_fail(c, 502, "token", "the answer of the token endpoint cannot be read");
		return false;
	}
	/* What is known by now must not be anywhere else in it. */
	for (unsigned i = 0; i < TOKENS; i++)
		mask(c, &c->token, t[i].name);
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
