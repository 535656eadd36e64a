#include "kit/kit.h"
#include "base/paths.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

void kit_strv_fini(struct kit_strv *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->v[i]);
	free(s->v);
	*s = (struct kit_strv){0};
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int kit_list(const char *data_dir, struct kit_strv *ret_names, struct err *e)
{
	char dir[PATH_MAX], spec[PATH_MAX];
	struct kit_strv s = {0};
	size_t cap = 0;
	struct dirent *d;
	DIR *kits;
	int r = 0;

	if (paths_join(dir, data_dir, "kits") < 0)
		return err_sys(e, -ENAMETOOLONG, "list kits");
	kits = opendir(dir);
	if (!kits)
		return err_sys(e, -errno, "list kits in '%s'", dir);
	while (r == 0 && (d = readdir(kits))) {
		if (!kit_name_ok(d->d_name) ||
			snprintf(spec, sizeof(spec), "%s/%s/spec.yaml", dir, d->d_name) >=
				(int)sizeof(spec) ||
			access(spec, R_OK) < 0)
			continue;
		if (s.n + 1 >= cap) {
			char **bigger = reallocarray(s.v, cap + 16, sizeof(*s.v));

			if (bigger) {
				s.v = bigger;
				cap += 16;
			}
		}
		if (s.n + 1 < cap && (s.v[s.n] = strdup(d->d_name)))
			s.v[++s.n] = NULL;
		else
			r = err_sys(e, -ENOMEM, "list kits");
	}
	(void)closedir(kits);
	if (r < 0) {
		kit_strv_fini(&s);
		return r;
	}
	if (s.n)
		qsort(s.v, s.n, sizeof(*s.v), by_name);
	*ret_names = s;
	return 0;
}

int kit_not_found(const char *ref, const char *data_dir, struct err *e)
{
	int r = err_set(e, ERR_NOT_FOUND, -ENOENT, "agent or kit '%s' not found", ref);
	struct kit_strv names;
	AUTO(buf) text;

	buf_init(&text, ERR_HINT_MAX / 2);
	if (kit_list(data_dir, &names, NULL) < 0)
		return r;
	for (size_t i = 0; i < names.n; i++)
		if (buf_addf(&text, "%s%s", i ? ", " : "", names.v[i]) < 0)
			break;
	kit_strv_fini(&names);
	err_hint(e, "built in: %s; a kit in a directory: ./DIR", buf_str(&text));
	return r;
}
