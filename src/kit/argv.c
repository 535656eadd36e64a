#include "kit/kit.h"
#include "proto/tar.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

static int add_all(struct kit_strv *s, char *const *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		s->v[s->n] = strdup(v[i]);
		if (!s->v[s->n])
			return -ENOMEM;
		s->n++;
	}
	return 0;
}

int kit_argv(const struct kit *k, bool tty, char *const *args, size_t n, struct kit_strv *ret_argv)
{
	const struct kit_strv *command = tty && k->has_interactive ? &k->interactive : &k->command;
	bool replace = n > 0 && args[0][0] != '-';
	struct kit_strv s = {0};
	int r;

	s.v = calloc(k->entrypoint.n + command->n + n + 1, sizeof(*s.v));
	if (!s.v)
		return -ENOMEM;
	r = add_all(&s, k->entrypoint.v, k->entrypoint.n);
	if (r == 0 && !replace)
		r = add_all(&s, command->v, command->n);
	if (r == 0)
		r = add_all(&s, args, n);
	if (r < 0) {
		kit_strv_fini(&s);
		return r;
	}
	*ret_argv = s;
	return 0;
}

/* expand() - ${WORKDIR} and nothing else; other text that looks like it stays as it is */
static int expand(const struct kit_file *f, const char *workdir, struct buf *out)
{
	static const char var[] = "${WORKDIR}";
	const char *at = f->content, *end = f->content + f->len;
	int r = 0;

	while (r == 0 && at < end) {
		const char *hit = strstr(at, var), *stop = hit ? hit : end;

		if (stop > at)
			r = buf_add(out, at, (size_t)(stop - at));
		if (r == 0 && hit)
			r = buf_add(out, workdir, strlen(workdir));
		at = hit ? hit + sizeof(var) - 1 : end;
	}
	return r;
}

static int put_file(
	const struct kit_file *f, const char *workdir, uint32_t uid, uint32_t gid, struct buf *out)
{
	static const char zeros[TAR_BLOCK];
	AUTO_FREE struct tar_entry *t = calloc(1, sizeof(*t));
	AUTO(buf) text;
	int r;

	buf_init(&text, out->max);
	if (!t)
		return -ENOMEM;
	r = expand(f, workdir, &text);
	if (r < 0)
		return r;
	t->type = TAR_FILE;
	t->mode = f->mode;
	t->uid = uid;
	t->gid = gid;
	t->size = text.len;
	(void)snprintf(t->path, sizeof(t->path), "%s", f->path + 1);
	r = tar_put_entry(out, t);
	if (r == 0 && text.len)
		r = buf_add(out, text.data, text.len);
	return r == 0 ? buf_add(out, zeros, tar_padding(text.len)) : r;
}

int kit_setup_tar(const struct kit *k, const char *workdir, uint32_t uid, uint32_t gid,
	struct buf *out, struct err *e)
{
	int r = 0;

	for (size_t i = 0; i < k->n_files && r == 0; i++)
		r = put_file(&k->files[i], workdir, uid, gid, out);
	if (r == 0 && k->n_files)
		r = tar_put_end(out);
	return r < 0 ? err_sys(e, r, "put together the files of kit '%s'", k->name) : 0;
}
