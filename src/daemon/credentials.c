#include "daemon/credentials.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "store/hash.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#define SEED_BYTES 32

static credentials_table_fn on_table;
static credentials_value_fn on_value;

void credentials_hooks(credentials_table_fn table, credentials_value_fn value)
{
	on_table = table;
	on_value = value;
}

int credentials_services(struct daemon *d, struct service_set *ret, struct err *e)
{
	return service_set_load(d->paths.data, d->paths.config, ret, e);
}

int credentials_services_of(
	struct daemon *d, struct sandbox *s, struct service_set *ret, struct err *e)
{
	int r = credentials_services(d, ret, e);

	if (r < 0 || !s)
		return r;
	r = credentials_add_kits(s->plan, sandbox_installing(s), ret, e);
	if (r < 0)
		service_set_fini(ret);
	return r < 0 ? err_wrap(e, r, "credentials of sandbox '%s'", s->name) : 0;
}

bool credentials_known(struct daemon *d, const char *name)
{
	struct service_set all;
	struct sandbox **boxes;
	struct err silent = {0};
	bool found = false;
	size_t n;

	if (credentials_services(d, &all, &silent) == 0) {
		found = service_find(&all, name) != NULL;
		service_set_fini(&all);
	}
	if (found || sandbox_all(d, &boxes, &n) < 0)
		return found;
	for (size_t i = 0; i < n; i++) {
		const struct plan *p = boxes[i]->plan;

		for (size_t k = 0; k < p->n_credentials; k++)
			found |= strcmp(p->credentials[k].service, name) == 0;
		sandbox_put(boxes[i]);
	}
	free(boxes);
	return found;
}

/* ---- stand-ins ---- */

static int read_seed(const struct sandbox *s, uint8_t seed[SEED_BYTES], struct err *e)
{
	AUTO_FD dir = sandbox_dir(s, e);
	AUTO(buf) b = {0};
	int r;

	if (dir < 0)
		return dir;
	buf_init(&b, SEED_BYTES);
	r = io_read_file(dir, CREDENTIALS_SEED, &b);
	if (r == 0 && b.len == SEED_BYTES) {
		memcpy(seed, b.data, SEED_BYTES);
		explicit_bzero(b.data, b.len);
		return 0;
	}
	if (r < 0 && r != -ENOENT)
		return err_sys(e, r, "read the sandbox's seed");
	if (getrandom(seed, SEED_BYTES, 0) != SEED_BYTES)
		return err_sys(e, -EIO, "get random bytes");
	r = io_replace_file(dir, CREDENTIALS_SEED, seed, SEED_BYTES, 0600);
	return r < 0 ? err_sys(e, r, "keep the sandbox's seed") : 0;
}

/* random_for() - 64 bytes from the seed and @name: two hashes, read as bytes */
static int random_for(const uint8_t seed[SEED_BYTES], const char *name, uint8_t ret[64])
{
	uint8_t in[SEED_BYTES + 1 + 128] = {0};
	char hex[HASH_HEX];
	size_t len = strlen(name);

	if (len > 128)
		return -ENAMETOOLONG;
	memcpy(in, seed, SEED_BYTES);
	memcpy(in + SEED_BYTES + 1, name, len);
	for (unsigned half = 0; half < 2; half++) {
		int r;

		in[SEED_BYTES] = (uint8_t)half;
		r = hash_bytes(in, SEED_BYTES + 1 + len, hex);
		if (r < 0)
			return r;
		for (unsigned i = 0; i < 32; i++) {
			unsigned v = 0;

			(void)sscanf(hex + 2 * i, "%2x", &v);
			ret[32 * half + i] = (uint8_t)v;
		}
	}
	explicit_bzero(in, sizeof(in));
	return 0;
}

struct maker {
	struct sandbox *s;
	struct credentials *c;
	uint8_t seed[SEED_BYTES];
	struct err *e;
};

/* own() - @text (heap, or NULL after a failed allocation) belongs to the credentials from now on */
static char *own(struct credentials *c, char *text)
{
	if (!text || c->n_owned == ARRAY_LEN(c->owned)) {
		free(text);
		return NULL;
	}
	return c->owned[c->n_owned++] = text;
}

static char *sentinel(struct maker *m, const struct service *v, const char *name)
{
	uint8_t random[64];
	char text[160];

	if (v->text)
		return own(m->c, strdup(v->text)); /* a kit's may be long */
	if (random_for(m->seed, name, random) < 0 ||
		service_sentinel(v, random, text, sizeof(text)) < 0)
		return NULL;
	return own(m->c, strdup(text));
}

int credentials_stand_in(struct daemon *d, const char *scope, const char *name,
	char dst[CREDENTIALS_STAND_IN_MAX], struct err *e)
{
	AUTO_BOX s = scope[0] ? sandbox_find(d, scope, e) : NULL;
	uint8_t seed[SEED_BYTES] = {0}, random[64] = {0};
	const struct service *v;
	struct service_set all;
	int r = credentials_services_of(d, s, &all, e);

	dst[0] = '\0';
	if (r < 0)
		return r;
	v = service_find(&all, name);
	if (v && (s || v->text)) {
		r = s ? read_seed(s, seed, e) : 0;
		if (r == 0)
			r = random_for(seed, name, random);
		if (r == 0)
			r = service_sentinel(v, random, dst, CREDENTIALS_STAND_IN_MAX);
	}
	explicit_bzero(seed, sizeof(seed));
	service_set_fini(&all);
	return r < 0 && e->code == ERR_NONE ? err_sys(e, r, "make a stand-in") : r;
}

/* ---- the table ---- */

static size_t count_slots(const struct service *v)
{
	size_t n = 0;

	for (size_t i = 0; i < v->n_slots; i++)
		n += v->slots[i].hosts.n;
	return n;
}

/* add() - credential @name with the service's slots, a slot per host; @header not NULL: instead of the
 * service's own way the value goes there as a bearer token
 */
static int add(struct maker *m, const struct service *v, const char *name, const char *header)
{
	struct egress_credential *x = &m->c->list[m->c->n];
	size_t n = count_slots(v);

	x->name = own(m->c, strdup(name));
	x->sentinel = sentinel(m, v, name);
	x->slots = calloc(n, sizeof(*x->slots));
	if (!x->name || !x->sentinel || !x->slots || n > UINT16_MAX)
		return -ENOMEM;
	x->pass_body = v->pass_body;
	m->c->n++;
	for (size_t i = 0; i < v->n_slots; i++)
		for (size_t k = 0; k < v->slots[i].hosts.n; k++) {
			const struct service_slot *from = &v->slots[i];

			x->slots[x->n_slots++] = (struct egress_slot){
				.kind = header ? EGRESS_SLOT_HEADER : from->kind,
				.host = from->hosts.v[k],
				.path = from->path,
				.header = header ? header : from->header,
				.format = header ? "Bearer %s" : from->format,
				.username = from->username};
		}
	return 0;
}

/* token_sentinel() - of the token @name + @end; without the service's prefix where it is (part of) a token of
 * a form that no service chooses
 */
static char *token_sentinel(
	struct maker *m, const struct service *v, const char *name, const char *end)
{
	static const struct service plain = {.random = 60};
	char whole[112];

	(void)snprintf(whole, sizeof(whole), "%s%s", name, end);
	return sentinel(m, strcmp(end, ".refresh") == 0 ? v : &plain, whole);
}

static int add_oauth(struct maker *m, const struct service *v)
{
	struct egress_oauth *o = &m->c->oauth[m->c->n_oauth];
	const struct service_oauth *from = v->oauth;
	/* a kit says where its token goes and what stands for it; else it goes where the service's key does */
	struct service_slot slot = {.kind = EGRESS_SLOT_HEADER, .hosts = from->hosts};
	struct service own = *v;
	char name[96];
	int r;

	if (from->hosts.n) {
		own.slots = &slot;
		own.n_slots = 1;
	}
	if (from->access_text)
		own.text = from->access_text;
	(void)snprintf(name, sizeof(name), "%s.oauth", v->name);
	r = add(m, &own, name, "authorization");
	if (r < 0)
		return r;
	m->c->list[m->c->n - 1].claims = from->claims;
	*o = (struct egress_oauth){.credential = m->c->list[m->c->n - 1].name,
		.host = from->host,
		.path = from->path,
		.access_field = from->access_field,
		.refresh_field = from->refresh_field,
		.access_sentinel = m->c->list[m->c->n - 1].sentinel,
		.refresh_sentinel = from->refresh_text ? from->refresh_text
						       : token_sentinel(m, v, name, ".refresh"),
		.id_field = from->id_field ? from->id_field : "id_token",
		.id_sentinel = token_sentinel(m, v, name, ".id"),
		.device_path = from->device_path,
		.device_field = from->device_field ? from->device_field : "device_code",
		.device_sentinel = token_sentinel(m, v, name, ".device"),
		.claims = from->claims};
	m->c->n_oauth++;
	return o->refresh_sentinel && o->id_sentinel && o->device_sentinel ? 0 : -ENOMEM;
}

static int add_env(struct maker *m, const struct service *v, const char *stand_in)
{
	if (!stand_in)
		return -ENOMEM;
	for (size_t i = 0; i < v->env.n; i++) {
		char **grown = reallocarray(m->c->env, m->c->n_env + 1, sizeof(*grown));
		char *text = NULL;

		if (!grown)
			return -ENOMEM;
		m->c->env = grown;
		if (asprintf(&text, "%s=%s", v->env.v[i], stand_in) < 0)
			return -ENOMEM;
		m->c->env[m->c->n_env++] = text;
	}
	return 0;
}

/* on_secret() - a stored secret: does the sandbox have the use of it, and which service is it? */
static int on_secret(void *ctx, const struct secret_entry *x)
{
	struct maker *m = ctx;
	const struct service *v = service_find(&m->c->services, x->name);
	int r;

	if (!v || (x->scope[0] && strcmp(x->scope, m->s->id) != 0))
		return 0;
	for (uint32_t i = 0; i < m->c->n; i++)
		if (strcmp(m->c->list[i].name, x->name) == 0)
			return 0; /* the sandbox's own and the global one: one credential */
	if (v->n_slots ==
		0) /* it goes nowhere: of another phase (then without variables), or a login */
		return add_env(m, v, sentinel(m, v, v->name));
	r = add(m, v, v->name, NULL);
	return r < 0 ? r : add_env(m, v, m->c->list[m->c->n - 1].sentinel);
}

int credentials_for(struct sandbox *s, struct credentials *ret, struct err *e)
{
	struct maker m = {.s = s, .c = ret, .e = e};
	int r;

	*ret = (struct credentials){.n = 0};
	r = credentials_services_of(s->d, s, &ret->services, e);
	if (r == 0)
		r = read_seed(s, m.seed, e);
	if (r < 0)
		return r;
	ret->list = calloc(2 * SERVICES_MAX, sizeof(*ret->list));
	ret->oauth = calloc(SERVICES_MAX, sizeof(*ret->oauth));
	r = ret->list && ret->oauth ? secret_file_each(s->d->secrets, on_secret, &m, e) : -ENOMEM;
	for (size_t i = 0; r == 0 && i < ret->services.n; i++)
		if (ret->services.list[i]->oauth)
			r = add_oauth(&m, ret->services.list[i]);
	explicit_bzero(m.seed, sizeof(m.seed));
	return r < 0 && e->code == ERR_NONE ? err_sys(e, r, "list the credentials") : r;
}

void credentials_fini(struct credentials *c)
{
	for (uint32_t i = 0; c->list && i < 2 * SERVICES_MAX; i++)
		free(c->list[i].slots);
	for (size_t i = 0; i < c->n_owned; i++)
		free(c->owned[i]);
	for (size_t i = 0; i < c->n_env; i++)
		free(c->env[i]);
	free(c->env);
	free(c->list);
	free(c->oauth);
	service_set_fini(&c->services);
	*c = (struct credentials){.n = 0};
}

/* ---- values ---- */

int credentials_value(struct daemon *d, const char *scope, const char *name,
	struct secret_entry *ret, struct err *e)
{
	AUTO(buf) out = {0};
	int r = secret_file_get(d->secrets, scope, name, ret, e);

	if (r < 0 || !ret->command[0])
		return r;
	buf_init(&out, EGRESS_SECRET_MAX + 1);
	r = credentials_run(ret->command, clock_ms() + CREDENTIALS_RUN_MS, &out, e);
	if (r == 0 && (out.len == 0 || out.len > EGRESS_SECRET_MAX))
		r = err_set(e, ERR_INVALID, -EINVAL, "the command printed nothing, or too much");
	if (r == 0) {
		memcpy(ret->value, out.data, out.len);
		ret->value[out.len] = '\0';
		ret->value_len = out.len;
	}
	if (out.data)
		explicit_bzero(out.data, out.cap);
	return r < 0 ? err_wrap(e, r, "get the secret '%s'", name) : 0;
}

struct names {
	const char *id;
	char (*list)[SECRET_NAME_MAX + 1];
	size_t n;
};

static int note_name(void *ctx, const struct secret_entry *x)
{
	struct names *l = ctx;

	if (x->scope[0] && strcmp(x->scope, l->id) != 0)
		return 0;
	for (size_t i = 0; i < l->n; i++)
		if (strcmp(l->list[i], x->name) == 0)
			return 0;
	memcpy(l->list[l->n++], x->name, sizeof(x->name));
	return 0;
}

int credentials_each(struct sandbox *s, credentials_fn fn, void *ctx, struct err *e)
{
	struct names l = {.id = s->id, .list = calloc(SECRET_FILE_MAX, sizeof(*l.list))};
	struct secret_entry *x = calloc(1, sizeof(*x));
	int r = l.list && x ? secret_file_each(s->d->secrets, note_name, &l, e)
			    : err_sys(e, -ENOMEM, "list the secrets");

	for (size_t i = 0; r == 0 && i < l.n; i++) {
		struct err why = {0};

		if (credentials_value(s->d, s->id, l.list[i], x, &why) < 0)
			log_warn("sandbox %s: %s", s->name, why.msg);
		else
			r = fn(ctx, x->name, x->value, x->value_len);
		secret_entry_wipe(x);
	}
	free(x);
	free(l.list);
	return r;
}

static void tell_one(struct sandbox *s, const char *scope, const char *name)
{
	struct secret_entry *x;
	struct err e = {0};
	enum status st = sandbox_status(s);
	int r;

	if (!status_has_machine(st) || (scope[0] && strcmp(scope, s->id) != 0))
		return;
	x = calloc(1, sizeof(*x));
	r = x ? credentials_value(s->d, s->id, name, x, &e) : -ENOMEM;
	if (r < 0 && r != -ENOENT)
		log_warn("sandbox %s: %s", s->name, e.msg);
	/* The value first: a table that names a credential without one would refuse its requests. */
	if (r == 0 && on_value)
		on_value(s, name, x->value, x->value_len);
	if (on_table)
		on_table(s);
	if (r == -ENOENT && on_value)
		on_value(s, name, NULL, 0);
	if (x)
		secret_entry_wipe(x);
	free(x);
}

void credentials_changed(struct daemon *d, const char *scope, const char *name)
{
	struct sandbox **all;
	size_t n;

	if (sandbox_all(d, &all, &n) < 0)
		return;
	for (size_t i = 0; i < n; i++) {
		tell_one(all[i], scope, name);
		sandbox_put(all[i]);
	}
	free(all);
}

void credentials_table_changed(struct daemon *d)
{
	struct sandbox **all;
	size_t n;

	if (sandbox_all(d, &all, &n) < 0)
		return;
	for (size_t i = 0; i < n; i++) {
		if (on_table && status_has_machine(sandbox_status(all[i])))
			on_table(all[i]);
		sandbox_put(all[i]);
	}
	free(all);
}

/* is_token() - the only names that a vault may send: those of the tokens of a service that has a login */
static bool is_token(struct sandbox *s, const char *name)
{
	static const char *const ends[] = {".oauth", ".oauth.refresh", ".oauth.id"};
	struct service_set services;
	struct err e = {0};
	bool found = false;

	if (credentials_services_of(s->d, s, &services, &e) < 0)
		return false;
	for (size_t i = 0; i < services.n && !found; i++) {
		const struct service *v = services.list[i];
		size_t n = strlen(v->name);

		if (!v->oauth || strncmp(name, v->name, n) != 0)
			continue;
		for (size_t k = 0; k < ARRAY_LEN(ends); k++)
			found |= strcmp(name + n, ends[k]) == 0;
	}
	service_set_fini(&services);
	return found;
}

int credentials_caught(
	struct sandbox *s, const char *name, const void *value, size_t len, struct err *e)
{
	struct secret_entry *x = calloc(1, sizeof(*x));
	int r = x ? 0 : err_sys(e, -ENOMEM, "keep a token");

	if (r == 0 && (len > EGRESS_SECRET_MAX || strlen(name) > SECRET_NAME_MAX))
		r = err_set(e, ERR_INVALID, -EINVAL, "a token is too long");
	/* Whoever took a vault over must not put secrets in place of the user's. */
	if (r == 0 && !is_token(s, name))
		r = err_set(e, ERR_INVALID, -EINVAL, "'%s' is no token of a service", name);
	if (r == 0) {
		memcpy(x->scope, s->id, sizeof(x->scope));
		(void)snprintf(x->name, sizeof(x->name), "%s", name);
		memcpy(x->value, value, len);
		x->value_len = len;
		r = secret_file_set(s->d->secrets, x, e);
		secret_entry_wipe(x);
	}
	free(x);
	if (r == 0)
		credentials_changed(s->d, s->id, name);
	return r;
}
