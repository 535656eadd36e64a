#include "kit/kit.h"
#include "kit/spec.h"
#include "kit/run.h"
#include "proto/tar.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* A spec as what a start of today takes: struct kit. */

static int copy(const char *from, char **to)
{
	if (!from)
		return 0;
	*to = strdup(from);
	return *to ? 0 : -ENOMEM;
}

static int copy_words(const struct kit_words *from, struct kit_strv *to)
{
	to->v = calloc(from->n + 1, sizeof(*to->v));
	if (!to->v)
		return -ENOMEM;
	for (size_t i = 0; i < from->n; i++) {
		if (copy(from->v[i].text, &to->v[i]) < 0)
			return -ENOMEM;
		to->n++;
	}
	return 0;
}

static int copy_variables(const struct kit_parts *p, struct kit *k)
{
	k->vars = calloc(p->n_vars + 1, sizeof(*k->vars));
	if (!k->vars)
		return -ENOMEM;
	for (; k->n_vars < p->n_vars; k->n_vars++) {
		struct kit_var *var = &k->vars[k->n_vars];

		if (copy(p->vars[k->n_vars].name, &var->name) < 0 ||
			copy(p->vars[k->n_vars].value, &var->value) < 0) {
			k->n_vars++;
			return -ENOMEM;
		}
	}
	return 0;
}

static int copy_files(const struct kit_parts *p, struct kit *k)
{
	k->files = calloc(p->n_files + 1, sizeof(*k->files));
	if (!k->files)
		return -ENOMEM;
	for (size_t i = 0; i < p->n_files; i++) {
		struct kit_file *f = &k->files[k->n_files++];

		f->mode = p->files[i].mode;
		f->len = p->files[i].len;
		if (copy(p->files[i].path, &f->path) < 0)
			return -ENOMEM;
		f->content = malloc(f->len + 1);
		if (!f->content)
			return -ENOMEM;
		memcpy(f->content, p->files[i].content, f->len + 1);
	}
	return 0;
}

int kit_placed_tar(const struct kit_placed *v, size_t n, struct buf *out)
{
	static const char zeros[TAR_BLOCK];
	AUTO_FREE struct tar_entry *t = NULL;
	int r = 0;

	for (size_t i = 0; r == 0 && i < n; i++) {
		const struct kit_entry *f = v[i].entry;

		free(t);
		t = calloc(1, sizeof(*t));
		if (!t)
			return -ENOMEM;
		t->type = f->type == KIT_DIR	? TAR_DIR
			  : f->type == KIT_LINK ? TAR_SYMLINK
						: TAR_FILE;
		t->mode = f->mode;
		t->size = t->type == TAR_FILE ? v[i].len : 0;
		(void)snprintf(t->path, sizeof(t->path), "%s", v[i].path);
		(void)snprintf(t->linkname, sizeof(t->linkname), "%s",
			t->type == TAR_SYMLINK ? f->bytes : "");
		r = tar_put_entry(out, t);
		if (r == 0 && t->size)
			r = buf_add(out, v[i].bytes, v[i].len);
		if (r == 0)
			r = buf_add(out, zeros, tar_padding(t->size));
	}
	return r == 0 && n ? tar_put_end(out) : r;
}

static int convert(const struct kit_spec *s, struct kit *k)
{
	const struct kit_entry *spec = kit_tree_find(s->tree, "spec.yaml");
	const struct kit_parts *p = &s->parts;

	k->has_interactive = s->interactive.given;
	k->cpus = (s->cpu_milli + 999) / 1000;
	k->memory_bytes = s->memory_bytes;
	if (copy(s->name.text, &k->name) < 0 || copy(s->version.text, &k->version) < 0 ||
		copy(s->display_name.text, &k->display_name) < 0 ||
		copy(s->description.text, &k->description) < 0 ||
		copy(s->image.text, &k->image) < 0 ||
		copy(s->instructions_file.text, &k->instructions_file) < 0 ||
		copy(p->n_texts ? p->texts->text : NULL, &k->instructions) < 0 ||
		copy_words(&s->entrypoint, &k->entrypoint) < 0 ||
		copy_words(&s->command, &k->command) < 0 ||
		copy_words(&s->interactive, &k->interactive) < 0 || copy_variables(p, k) < 0 ||
		copy_files(p, k) < 0)
		return -ENOMEM;
	if (buf_add(&k->spec, spec->bytes, spec->len) < 0)
		return -ENOMEM;
	return kit_placed_tar(p->home, p->n_home, &k->home_tar);
}

int kit_of_spec(const struct kit_spec *s, struct kit **ret_kit, struct err *e)
{
	AUTO_KIT *k = NULL;
	int r;

	if (s->kind == KIT_MIXIN) {
		r = kit_fault(
			e, s, s->name.at, "'%s' is a mixin: it extends an agent", s->name.text);
		err_hint(e, "give it with --kit");
		return r;
	}
	r = kit_check_enforced(s, e);
	if (r < 0)
		return r;
	k = calloc(1, sizeof(*k));
	if (!k)
		return err_sys(e, -ENOMEM, "read '%s'", s->file);
	buf_init(&k->spec, KIT_SPEC_MAX);
	buf_init(&k->home_tar, KIT_HOME_MAX);
	r = convert(s, k);
	if (r < 0)
		return err_sys(e, r, "read '%s'", s->file);
	*ret_kit = TAKE(k);
	return 0;
}

int kit_parse(const char *file, const char *text, size_t len, struct kit **ret_kit, struct err *e)
{
	const struct kit_entry spec = {
		.path = "spec.yaml", .bytes = text, .len = len, .mode = 0644};
	AUTO_KIT_SPEC *s = NULL;
	AUTO(kit_tree) t = {0};
	int r;

	if (len > KIT_SPEC_MAX)
		return err_set(e, ERR_LIMIT, -EFBIG, "%s:1:1: larger than %u KiB", file,
			KIT_SPEC_MAX >> 10);
	r = kit_tree_add(&t, file, &spec, e);
	if (r == 0)
		r = kit_tree_seal(&t, file, e);
	if (r == 0)
		r = kit_decode(&t, file, NULL, &s, e);
	return r == 0 ? kit_of_spec(s, ret_kit, e) : r;
}

void kit_strv_fini(struct kit_strv *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->v[i]);
	free(s->v);
	*s = (struct kit_strv){0};
}

void kit_free(struct kit *k)
{
	if (!k)
		return;
	for (size_t i = 0; i < k->n_vars; i++) {
		free(k->vars[i].name);
		free(k->vars[i].value);
	}
	for (size_t i = 0; i < k->n_files; i++) {
		free(k->files[i].path);
		free(k->files[i].content);
	}
	free(k->vars);
	free(k->files);
	kit_strv_fini(&k->entrypoint);
	kit_strv_fini(&k->command);
	kit_strv_fini(&k->interactive);
	free(k->name);
	free(k->version);
	free(k->display_name);
	free(k->description);
	free(k->dir);
	free(k->image);
	free(k->instructions_file);
	free(k->instructions);
	buf_fini(&k->spec);
	buf_fini(&k->home_tar);
	free(k);
}

void kit_freep(struct kit **k)
{
	kit_free(*k);
}
