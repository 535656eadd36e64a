#include "kit/service.h"
#include "base/io.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

int service_set_put(struct service_set *set, struct service *s, struct err *e)
{
	size_t at = 0;

	while (at < set->n && strcmp(set->list[at]->name, s->name) < 0)
		at++;
	if (at < set->n && strcmp(set->list[at]->name, s->name) == 0) {
		service_free(set->list[at]);
		set->list[at] = s;
		return 0;
	}
	if (set->n == SERVICES_MAX) {
		service_free(s);
		return err_set(e, ERR_LIMIT, -ENOSPC, "more than %d services", SERVICES_MAX);
	}
	memmove(&set->list[at + 1], &set->list[at], (set->n - at) * sizeof(set->list[0]));
	set->list[at] = s;
	set->n++;
	return 0;
}

static int load_one(
	struct service_set *set, int dirfd, const char *dir, const char *name, struct err *e)
{
	struct service *s = NULL;
	char path[PATH_MAX + 256 + 2];
	size_t stem = strlen(name) - strlen(".yaml");
	struct buf b;
	int r;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	buf_init(&b, SERVICE_FILE_MAX + 1);
	r = io_read_file(dirfd, name, &b);
	if (r < 0)
		r = err_sys(e, r, "read '%s'", path);
	else
		r = service_parse(path, buf_str(&b), b.len, &s, e);
	buf_fini(&b);
	if (r < 0)
		return r;
	if (strlen(s->name) == stem && memcmp(s->name, name, stem) == 0)
		return service_set_put(set, s, e);
	r = err_set(e, ERR_INVALID, -EINVAL, "%s: its name is '%s', not the file's", path, s->name);
	service_free(s);
	return r;
}

static int load_dir(struct service_set *set, const char *base, bool must, struct err *e)
{
	char path[PATH_MAX];
	struct dirent *d;
	DIR *dir;
	int r = 0;

	if (snprintf(path, sizeof(path), "%s/services", base) >= (int)sizeof(path))
		return err_sys(e, -ENAMETOOLONG, "find the services");
	dir = opendir(path);
	if (!dir)
		return errno == ENOENT && !must ? 0 : err_sys(e, -errno, "open '%s'", path);
	while (r == 0 && (d = readdir(dir))) {
		size_t n = strlen(d->d_name);

		if (n > 5 && strcmp(d->d_name + n - 5, ".yaml") == 0 && d->d_name[0] != '.')
			r = load_one(set, dirfd(dir), path, d->d_name, e);
	}
	closedir(dir);
	return r;
}

int service_set_load(
	const char *data_dir, const char *user_dir, struct service_set *ret_set, struct err *e)
{
	int r;

	*ret_set = (struct service_set){.n = 0};
	r = load_dir(ret_set, data_dir, true, e);
	if (r == 0 && user_dir)
		r = load_dir(ret_set, user_dir, false, e);
	if (r < 0)
		service_set_fini(ret_set);
	return r;
}

void service_set_fini(struct service_set *s)
{
	for (size_t i = 0; i < s->n; i++)
		service_free(s->list[i]);
	s->n = 0;
}

const struct service *service_find(const struct service_set *s, const char *name)
{
	for (size_t i = 0; i < s->n; i++)
		if (strcmp(s->list[i]->name, name) == 0)
			return s->list[i];
	return NULL;
}
