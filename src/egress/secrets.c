#include "egress/secrets.h"
#include "egress/arena.h"
#include "egress/scrub.h"
#include "egress/text.h"
#include "proto/egress.h"
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define NAME_BYTES 128

struct entry {
	struct entry *next;
	struct secret secret;
	char *value; /* in the arena */
	char name[NAME_BYTES];
};

struct secrets {
	struct entry *first;
	size_t n;
};

struct secrets *secrets_new(void)
{
	return calloc(1, sizeof(struct secrets));
}

static void entry_free(struct entry *e)
{
	scrub_unref(e->secret.scrub);
	scrub_unref(e->secret.signature);
	arena_free(e->value);
	free(e);
}

static struct entry **find(struct secrets *s, const char *name)
{
	struct entry **at = &s->first;

	while (*at && strcmp((*at)->name, name) != 0)
		at = &(*at)->next;
	return at;
}

void secrets_drop(struct secrets *s, const char *name)
{
	struct entry **at = find(s, name), *e = *at;

	if (!e)
		return;
	*at = e->next;
	entry_free(e);
	s->n--;
}

void secrets_free(struct secrets *s)
{
	if (!s)
		return;
	while (s->first)
		secrets_drop(s, s->first->name);
	free(s);
}

static bool fit(const char *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)p[i] < ' ' || p[i] == 0x7f)
			return false;
	return len > 0 && len <= EGRESS_SECRET_MAX && p[0] != ' ' && p[len - 1] != ' ';
}

int secrets_put(struct secrets *s, const char *name, const void *value, size_t len)
{
	size_t signature = text_jwt(value, len);
	struct entry *e;

	if (!name[0] || strlen(name) >= NAME_BYTES || !fit(value, len))
		return -EINVAL;
	if (!*find(s, name) && s->n >= SECRETS_MAX)
		return -ENOSPC;
	e = calloc(1, sizeof(*e));
	if (!e)
		return -ENOMEM;
	e->value = arena_new(len + 1);
	e->secret = (struct secret){e->value, len, scrub_new(value, len), NULL};
	if (signature)
		e->secret.signature = scrub_new((const char *)value + signature, len - signature);
	if (!e->value || !e->secret.scrub || (signature && !e->secret.signature)) {
		entry_free(e);
		return -ENOMEM;
	}
	memcpy(e->value, value, len);
	(void)snprintf(e->name, sizeof(e->name), "%s", name);
	secrets_drop(s, name);
	e->next = s->first;
	s->first = e;
	s->n++;
	return 0;
}

const struct secret *secrets_get(const struct secrets *s, const char *name)
{
	for (const struct entry *e = s->first; e; e = e->next)
		if (strcmp(e->name, name) == 0)
			return &e->secret;
	return NULL;
}
