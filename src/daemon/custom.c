#include "daemon/custom.h"
#include "daemon/credentials.h"
#include "base/io.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define FIRST_LINE "# Made by `sbx secret set-custom`; `sbx secret rm` removes it.\n"

static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;

/* open_dir() - the user's own services */
static int open_dir(struct daemon *d, struct err *e)
{
	char path[PATH_MAX];
	int fd, r = paths_mkdir(d->paths.config, e);

	if (r < 0)
		return r;
	r = paths_join(path, d->paths.config, "services");
	if (r < 0)
		return err_sys(e, r, "find the services");
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return err_sys(e, -errno, "make '%s'", path);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? err_sys(e, -errno, "open '%s'", path) : fd;
}

struct users {
	const char *name, *scope;
	bool same, others; /* secrets of that name: of that scope, of others */
};

static int note_user(void *ctx, const struct secret_entry *x)
{
	struct users *u = ctx;

	if (strcmp(x->name, u->name) != 0)
		return 0;
	if (strcmp(x->scope, u->scope) == 0)
		u->same = true;
	else
		u->others = true;
	return 0;
}

/* same_text() - two stand-ins where one is part of the other could not be told apart */
static bool same_text(const struct service *a, const struct service *b)
{
	return a->text && b->text && (strstr(a->text, b->text) || strstr(b->text, a->text));
}

static int may_be_set(struct daemon *d, const struct service *v, const char *scope, bool differs,
	bool *ret_new, struct err *e)
{
	struct users u = {.name = v->name, .scope = scope};
	struct service_set all;
	const struct service *had;
	int r = credentials_services(d, &all, e);

	if (r < 0)
		return r;
	had = service_find(&all, v->name);
	*ret_new = had == NULL;
	if (had && !had->custom)
		r = err_set(e, ERR_CONFLICT, -EEXIST,
			"'%s' is a service already; choose another name", v->name);
	for (size_t i = 0; i < all.n && r == 0; i++)
		if (all.list[i] != had && same_text(all.list[i], v))
			r = err_set(e, ERR_CONFLICT, -EEXIST,
				"the service '%s' has that placeholder", all.list[i]->name);
	if (r == 0 && had && differs) {
		r = secret_file_each(d->secrets, note_user, &u, e);
		if (r == 0 && u.others)
			r = err_set(e, ERR_CONFLICT, -EEXIST,
				"'%s' is in use elsewhere, with other places; choose another name",
				v->name);
	}
	service_set_fini(&all);
	return r;
}

/* describe() - the file's text, and what it says when read as any other */
static int describe(const char *name, const struct js *body, struct buf *text, struct service **ret,
	struct err *e)
{
	AUTO_JS o = js_object();
	char file[128];
	void *iter = NULL;
	const struct js *value;
	const char *key;
	bool bad = !o;
	int r;

	while (!bad && js_each(body, &iter, &key, &value))
		bad |= js_set_copy(o, key, value);
	bad |= js_set_str(o, "custom", "true");
	r = bad ? -ENOMEM : buf_add(text, FIRST_LINE, strlen(FIRST_LINE));
	if (r == 0)
		r = js_canonical(o, text);
	if (r == 0)
		r = buf_add(text, "\n", 1);
	if (r < 0)
		return err_sys(e, r, "describe the service '%s'", name);
	(void)snprintf(file, sizeof(file), "services/%.64s.yaml", name);
	r = service_parse(file, buf_str(text), text->len, ret, e);
	if (r == 0 && strcmp((*ret)->name, name) != 0) {
		r = err_set(
			e, ERR_INVALID, -EINVAL, "its name is '%s', not '%s'", (*ret)->name, name);
		service_free(*ret);
	}
	return r;
}

int custom_set(struct daemon *d, const char *name, const char *scope, const struct js *body,
	bool *ret_new, struct err *e)
{
	struct service *v = NULL;
	AUTO(buf) text = {0};
	AUTO(buf) had = {0};
	AUTO_FD dir = -1;
	char file[128];
	int r;

	buf_init(&text, SERVICE_FILE_MAX);
	buf_init(&had, SERVICE_FILE_MAX);
	r = describe(name, body, &text, &v, e);
	if (r < 0)
		return r;
	(void)snprintf(file, sizeof(file), "%.64s.yaml", name);
	(void)pthread_mutex_lock(&one_at_a_time);
	dir = open_dir(d, e);
	r = dir < 0 ? dir : 0;
	if (r == 0) {
		bool same = io_read_file(dir, file, &had) == 0 && had.len == text.len &&
			    memcmp(had.data, text.data, text.len) == 0;

		r = may_be_set(d, v, scope, !same, ret_new, e);
	}
	if (r == 0) {
		r = io_replace_file(dir, file, text.data, text.len, 0600);
		if (r < 0)
			r = err_sys(e, r, "write 'services/%s'", file);
	}
	(void)pthread_mutex_unlock(&one_at_a_time);
	service_free(v);
	return r;
}

int custom_remove(struct daemon *d, const char *name, bool *ret_removed, struct err *e)
{
	struct users u = {.name = name, .scope = ""};
	const struct service *v;
	struct service_set all;
	AUTO_FD dir = -1;
	char file[128];
	int r;

	*ret_removed = false;
	(void)pthread_mutex_lock(&one_at_a_time);
	r = credentials_services(d, &all, e);
	if (r == 0) {
		v = service_find(&all, name);
		*ret_removed = v && v->custom;
		service_set_fini(&all);
	}
	if (r == 0 && *ret_removed)
		r = secret_file_each(d->secrets, note_user, &u, e);
	if (u.same || u.others)
		*ret_removed = false;
	if (r == 0 && *ret_removed) {
		dir = open_dir(d, e);
		(void)snprintf(file, sizeof(file), "%.64s.yaml", name);
		r = dir < 0 ? dir : unlinkat(dir, file, 0) < 0 && errno != ENOENT ? -errno : 0;
		if (r < 0)
			r = err_wrap(e, r, "remove 'services/%s'", file);
	}
	(void)pthread_mutex_unlock(&one_at_a_time);
	return r;
}

static bool add_place(struct js *list, const struct service_slot *s)
{
	char text[1200];

	switch (s->kind) {
	case EGRESS_SLOT_HEADER:
		(void)snprintf(text, sizeof(text), "%s: %s", s->header, s->format);
		break;
	case EGRESS_SLOT_BASIC:
		(void)snprintf(text, sizeof(text), "basic:%s", s->username);
		break;
	case EGRESS_SLOT_QUERY:
		(void)snprintf(text, sizeof(text), "query:%s", s->header);
		break;
	case EGRESS_SLOT_PLACEHOLDER:
		(void)snprintf(text, sizeof(text), "header:%s", s->header);
		break;
	case EGRESS_SLOT_SIGV4:
		(void)snprintf(text, sizeof(text), "sigv4");
		break;
	}
	return js_add_str(list, text);
}

struct js *custom_view(const struct service *v)
{
	AUTO_JS o = js_object();
	AUTO_JS hosts = js_array();
	AUTO_JS env = js_array();
	AUTO_JS places = js_array();
	char form[300];
	bool bad = false;

	/* Each slot of such a service has the same hosts. */
	for (size_t i = 0; i < v->n_slots; i++) {
		bad |= add_place(places, &v->slots[i]);
		for (size_t k = 0; i == 0 && k < v->slots[i].hosts.n; k++)
			bad |= js_add_str(hosts, v->slots[i].hosts.v[k]);
	}
	for (size_t i = 0; i < v->env.n; i++)
		bad |= js_add_str(env, v->env.v[i]);
	(void)snprintf(form, sizeof(form), "%s{rand}%s", v->prefix ? v->prefix : "",
		v->suffix ? v->suffix : "");
	bad |= js_set_str(o, "placeholder", v->text ? v->text : form);
	bad |= js_set(o, "hosts", TAKE(hosts));
	bad |= js_set(o, "env", TAKE(env));
	bad |= js_set(o, "places", TAKE(places));
	return bad ? NULL : TAKE(o);
}
