#include "daemon/plan.h"
#include "daemon/rules.h"
#include "base/name.h"
#include "virtio/fs_pattern.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* The JSON form of a plan: reading it back. resolve.c writes it. */

static const char *want_abs(struct js_reader *rd, const char *key)
{
	const char *s = js_want_str(rd, key, PATH_MAX - 1);

	if (rd->r == 0 && s[0] != '/')
		js_fault(rd, key, "must be an absolute path");
	return s;
}

static int load_workspace(const struct js *v, size_t i, struct plan_workspace *w, struct err *e)
{
	char path[40];
	struct js_reader rd;
	const char *kind;

	(void)snprintf(path, sizeof(path), "workspaces[%zu]", i);
	js_read(&rd, v, path, e);
	w->path = want_abs(&rd, "path");
	w->host = want_abs(&rd, "host");
	w->read_only = js_take_bool(&rd, "read_only", false);
	kind = js_want_str(&rd, "kind", 16);
	w->is_file = strcmp(kind, "file") == 0;
	w->dev = (uint64_t)js_want_int(&rd, "dev", INT64_MIN, INT64_MAX);
	w->ino = (uint64_t)js_want_int(&rd, "ino", INT64_MIN, INT64_MAX);
	w->fsid = (uint64_t)js_want_int(&rd, "fsid", INT64_MIN, INT64_MAX);
	return js_done(&rd);
}

static int load_workspaces(struct plan *p, const struct js *list, struct err *e)
{
	for (size_t i = 0; i < js_len(list); i++) {
		int r = load_workspace(js_at(list, i), i, &p->workspaces[i], e);

		if (r < 0)
			return r;
		p->n_workspaces++;
	}
	return 0;
}

static int load_masks(struct plan *p, const struct js *list, struct err *e)
{
	for (size_t i = 0; i < js_len(list); i++) {
		const char *text = js_str(js_at(list, i));
		struct fs_pattern pattern;

		if (!text || fs_pattern_parse(text, false, &pattern) < 0)
			return err_set(e, ERR_INVALID, -EINVAL,
				"masks: '%.64s' is no pattern of a path in a share",
				text ? text : "");
		p->masks[p->n_masks++] = text;
	}
	return 0;
}

static int load_image(struct plan *p, const struct js *v, struct err *e)
{
	struct js_reader rd;

	js_read(&rd, v, "image", e);
	p->image_id = js_want_str(&rd, "id", IMAGE_ID_LEN);
	p->image_name = js_want_str(&rd, "name", NAME_MAX_LEN);
	p->root_digest = js_want_str(&rd, "root_digest", IMAGE_DIGEST_LEN);
	p->kernel_digest = js_want_str(&rd, "kernel_digest", IMAGE_DIGEST_LEN);
	(void)js_want_str(&rd, "modules_digest", IMAGE_DIGEST_LEN);
	(void)js_want_str(&rd, "kernel_version", 128);
	/* absent in older plans, and where there is nothing to say */
	p->image_reference = js_take_str(&rd, "reference", IMAGE_REF_MAX, "");
	p->image_pin = js_take_str(&rd, "pin", IMAGE_DIGEST_LEN, "");
	(void)js_take_str(&rd, "manifest", IMAGE_DIGEST_LEN, "");
	p->image_workdir = js_take_str(&rd, "workdir", 1024, "");
	p->image_user = js_take_str(&rd, "user", 256, "");
	if (p->image_workdir[0] && p->image_workdir[0] != '/')
		js_fault(&rd, "workdir", "must be an absolute path");
	return js_done(&rd);
}

/* strings_only() - an array or object holds nothing but strings */
static bool strings_only(const struct js *v)
{
	const struct js *item;
	const char *key;
	void *iter = NULL;

	for (size_t i = 0; js_is_array(v) && i < js_len(v); i++)
		if (!js_str(js_at(v, i)))
			return false;
	while (js_is_object(v) && js_each(v, &iter, &key, &item))
		if (!js_str(item))
			return false;
	return true;
}

static const struct js *want_strings(struct js_reader *rd, const char *key, size_t max)
{
	const struct js *v = js_take_array(rd, key, max);

	if (rd->r == 0 && (!v || !strings_only(v)))
		js_fault(rd, key, "must be an array of strings");
	return v;
}

/* check_policy() - the rules are read where they are used; here only that they can be */
static int check_policy(const struct js *list, struct err *e)
{
	AUTO(rules) all = {0};
	int r = 0;

	for (size_t i = 0; i < js_len(list) && r == 0; i++)
		r = rules_read(js_at(list, i), "policy", &all, e);
	return r;
}

static int load(struct plan *p, struct err *e)
{
	const struct js *image, *spaces, *masks;
	struct plan_kits_json kits;
	struct js_reader rd;
	int r;

	js_read(&rd, p->json, "", e);
	(void)js_want_int(&rd, "version", 1, 1);
	p->name = js_want_str(&rd, "name", NAME_MAX_LEN);
	p->agent = js_want_str(&rd, "agent", PATH_MAX);
	p->isolation = js_want_str(&rd, "isolation", 16);
	p->cpus = (uint32_t)js_want_int(&rd, "cpus", 1, 1024);
	p->memory_bytes = (uint64_t)js_want_int(&rd, "memory_bytes", 1, INT64_MAX);
	p->disk_bytes = (uint64_t)js_want_int(&rd, "disk_bytes", 1, INT64_MAX);
	p->cwd = want_abs(&rd, "cwd");
	p->user = js_want_str(&rd, "user", 32);
	p->home = want_abs(&rd, "home");
	p->uid = (uint32_t)js_want_int(&rd, "uid", 0, UINT32_MAX - 1);
	p->gid = (uint32_t)js_want_int(&rd, "gid", 0, UINT32_MAX - 1);
	p->env = js_take_object(&rd, "env");
	p->argv = want_strings(&rd, "argv", PLAN_ARGV_MAX);
	p->argv_interactive = want_strings(&rd, "argv_interactive", PLAN_ARGV_MAX);
	p->notes = want_strings(&rd, "notes", 256);
	if (rd.r == 0 && (!p->env || !strings_only(p->env)))
		js_fault(&rd, "env", "must be an object of strings");
	p->policy = js_take_array(&rd, "policy", RULES_LIST_MAX);
	(void)js_take_object(&rd, "kit"); /* of older plans; it had nothing to act on */
	plan_kits_take(p, &rd, &kits);
	image = js_take_object(&rd, "image");
	spaces = js_take_array(&rd, "workspaces", MACHINE_EXPORTS_MAX);
	masks = js_take_array(&rd, "masks", MACHINE_MASKS_MAX); /* absent in older plans */
	r = js_done(&rd);
	if (r == 0)
		r = load_image(p, image, e);
	if (r == 0)
		r = load_workspaces(p, spaces, e);
	if (r == 0)
		r = check_policy(p->policy, e);
	if (r == 0)
		r = load_masks(p, masks, e);
	if (r == 0)
		r = plan_kits_load(p, &kits, e);
	return r == 0 ? name_check(p->name, e) : r;
}

int plan_from(struct js *json, struct plan **ret, struct err *e)
{
	struct plan *p = calloc(1, sizeof(*p));
	AUTO(buf) text = {0};
	int r;

	if (!p) {
		js_free(json);
		return err_sys(e, -ENOMEM, "read the plan");
	}
	p->json = json;
	buf_init(&text, PLAN_TEXT_MAX);
	r = load(p, e);
	if (r == 0) {
		r = js_canonical(json, &text);
		if (r == 0)
			r = hash_bytes(text.data, text.len, p->hash);
		if (r < 0)
			(void)err_sys(e, r, "hash the plan");
	}
	if (r < 0) {
		plan_free(p);
		return r;
	}
	*ret = p;
	return 0;
}

int plan_load(const char *text, size_t len, struct plan **ret, struct err *e)
{
	struct js *json;
	int r = js_parse(text, len, PLAN_TEXT_MAX, &json, e);

	return r < 0 ? r : plan_from(json, ret, e);
}

int plan_text(const struct plan *p, struct buf *out)
{
	return js_canonical(p->json, out);
}

void plan_free(struct plan *p)
{
	if (!p)
		return;
	plan_kits_fini(p);
	js_free(p->json);
	free(p);
}

#define FILES_MAX (32U << 20)

void plan_files_init(struct plan_files *f)
{
	buf_init(&f->home, FILES_MAX);
	buf_init(&f->setup, FILES_MAX);
	buf_init(&f->missing, FILES_MAX);
	buf_init(&f->workspace, FILES_MAX);
	buf_init(&f->memory, FILES_MAX);
	buf_init(&f->asked, PLAN_TEXT_MAX);
}

void plan_files_fini(struct plan_files *f)
{
	if (!f)
		return;
	buf_fini(&f->home);
	buf_fini(&f->setup);
	buf_fini(&f->missing);
	buf_fini(&f->workspace);
	buf_fini(&f->memory);
	buf_fini(&f->asked);
}

void plan_files_auto(struct plan_files *f)
{
	plan_files_fini(f);
}
