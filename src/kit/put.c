#include "kit/put.h"
#include "proto/tar.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define MEMORY_MAX (4U << 20) /* of all texts for the agent */

/* put_entry() - @t and, of a file, its @bytes */
static int put_entry(struct buf *out, const struct tar_entry *t, const char *bytes)
{
	static const char zeros[TAR_BLOCK];
	int r = tar_put_entry(out, t);

	if (r == 0 && t->size)
		r = buf_add(out, bytes, (size_t)t->size);
	return r == 0 ? buf_add(out, zeros, tar_padding(t->size)) : r;
}

int kit_placed_tar(const struct kit_placed *v, size_t n, struct buf *out)
{
	AUTO_FREE struct tar_entry *t = malloc(sizeof(*t));
	int r = t ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && i < n; i++) {
		const struct kit_entry *f = v[i].entry;

		memset(t, 0, sizeof(*t));
		t->type = f->type == KIT_DIR	? TAR_DIR
			  : f->type == KIT_LINK ? TAR_SYMLINK
						: TAR_FILE;
		t->mode = f->mode;
		t->size = t->type == TAR_FILE ? v[i].len : 0;
		(void)snprintf(t->path, sizeof(t->path), "%s", v[i].path);
		(void)snprintf(t->linkname, sizeof(t->linkname), "%s",
			t->type == TAR_SYMLINK ? f->bytes : "");
		r = put_entry(out, t, v[i].bytes);
	}
	return r == 0 && n ? tar_put_end(out) : r;
}

static int put_text(struct buf *out, const char *path, uint32_t mode, struct kit_owner owner,
	const struct buf *text)
{
	AUTO_FREE struct tar_entry *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->type = TAR_FILE;
	t->mode = mode;
	t->uid = owner.uid;
	t->gid = owner.gid;
	t->size = text->len;
	(void)snprintf(t->path, sizeof(t->path), "%s", path);
	return put_entry(out, t, text->data);
}

/* expand() - ${WORKDIR} and nothing else; other text that looks like it stays as it is */
static int expand(const struct kit_put *f, const char *workdir, struct buf *out)
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

/* is_last() - of those of its path and its stream: the later kit's file is the one */
static bool is_last(const struct kit_parts *p, size_t i)
{
	for (size_t j = i + 1; j < p->n_files; j++)
		if (p->files[j].if_missing == p->files[i].if_missing &&
			strcmp(p->files[j].path, p->files[i].path) == 0)
			return false;
	return true;
}

int kit_setup_tar(const struct kit_parts *p, bool if_missing, const char *workdir,
	struct kit_owner owner, struct buf *out)
{
	bool any = false;
	int r = 0;

	for (size_t i = 0; r == 0 && i < p->n_files; i++) {
		const struct kit_put *f = &p->files[i];
		AUTO(buf) text;

		buf_init(&text, out->max);
		if (f->if_missing != if_missing || !is_last(p, i))
			continue;
		any = true;
		r = expand(f, workdir, &text);
		if (r == 0)
			r = put_text(out, f->path + 1, f->mode, owner, &text);
	}
	return r == 0 && any ? tar_put_end(out) : r;
}

static int put_dir(struct buf *out, const char *path, struct kit_owner owner)
{
	AUTO_FREE struct tar_entry *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->type = TAR_DIR;
	t->mode = 0755;
	t->uid = owner.uid;
	t->gid = owner.gid;
	(void)snprintf(t->path, sizeof(t->path), "%s", path);
	return put_entry(out, t, NULL);
}

int kit_memory_tar(const struct kit_plan *p, struct kit_owner owner, struct buf *out)
{
	const char *content;
	char path[128];
	AUTO(buf) main;
	int r;

	buf_init(&main, MEMORY_MAX);
	if (!p->instructions_file.text || p->parts.n_texts == 0)
		return 0;
	r = kit_memory_main(p, "", &main);
	if (r == 0)
		r = put_text(out, p->instructions_file.text, 0644, owner, &main);
	for (size_t i = 0; r == 0 && kit_memory_file(p, i, path, &content); i++) {
		AUTO(buf) text;

		buf_init(&text, KIT_SPEC_MAX + KIT_TREE_BYTES_MAX);
		if (i == 0)
			r = put_dir(out, "kits-memory", owner);
		if (r == 0 && content[0])
			r = buf_add(&text, content, strlen(content));
		if (r == 0)
			r = put_text(out, path, 0644, owner, &text);
	}
	return r == 0 ? tar_put_end(out) : r;
}
