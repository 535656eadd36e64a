#include "daemon/provision.h"
#include "store/secret_file.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define STEP 16

int provision_env_add(struct provision_env *v, const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;
	int n;

	if (v->n == v->cap) {
		char **grown = reallocarray(v->v, v->cap + STEP, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		v->v = grown;
		v->cap += STEP;
	}
	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0)
		return -ENOMEM;
	v->v[v->n++] = text;
	return 0;
}

void provision_env_fini(struct provision_env *v)
{
	for (size_t i = 0; i < v->n; i++)
		free(v->v[i]);
	free(v->v);
	*v = (struct provision_env){0};
}

void provision_env_auto(struct provision_env *v)
{
	provision_env_fini(v);
}

/* What there is of a service: a key, or the tokens of a login. */
struct having {
	const char *id, *service;
	bool key, login;
};

static int on_secret(void *ctx, const struct secret_entry *x)
{
	struct having *h = ctx;
	size_t n = strlen(h->service);

	if ((x->scope[0] && strcmp(x->scope, h->id) != 0) || strncmp(x->name, h->service, n) != 0)
		return 0;
	h->key |= x->name[n] == '\0';
	h->login |= strcmp(x->name + n, ".oauth") == 0;
	return 0;
}

/* A service's name has small letters, digits, '-' and '_'. */
static void variable_of(const char *service, char dst[80])
{
	size_t i = 0;

	for (; service[i] && i < 79; i++)
		dst[i] = (char)(service[i] >= 'a' && service[i] <= 'z' ? service[i] - 'a' + 'A'
				: service[i] == '-'		       ? '_'
								       : service[i]);
	dst[i] = '\0';
}

int provision_env_usual(struct sandbox *s, struct provision_env *v, struct err *e)
{
	const struct plan *p = s->plan;
	int r = provision_env_add(v, "WORKSPACE_DIR=%s", p->cwd);

	for (size_t i = 0; i < p->n_credentials && r == 0; i++) {
		struct having h = {.id = s->id, .service = p->credentials[i].service};
		char name[80];

		r = secret_file_each(s->d->secrets, on_secret, &h, e);
		if (r < 0)
			return r;
		variable_of(h.service, name);
		/* a key goes before a login, as it does in requests */
		r = provision_env_add(v, "SBX_CRED_%s_MODE=%s", name,
			h.key	  ? "apikey"
			: h.login ? "oauth"
				  : "none");
	}
	return r < 0 ? err_sys(e, r, "make the environment of a command") : 0;
}
