#include "daemon/resolve.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* The folders that a sandbox shares, and where its agent works. */

static int add_workspace(struct resolving *s, struct js *list, const struct js *asked, size_t i)
{
	struct js_reader rd;
	struct plan_place place;
	AUTO_JS v = js_object();
	char where[40];
	const char *path;
	bool read_only;
	int r;

	(void)snprintf(where, sizeof(where), "workspaces[%zu]", i);
	js_read(&rd, asked, where, s->e);
	path = js_want_str(&rd, "path", PATH_MAX - 1);
	read_only = js_take_bool(&rd, "read_only", false);
	r = js_done(&rd);
	if (r == 0)
		r = plan_workspace_check(path, s->paths, &place, s->e);
	if (r < 0)
		return r;
	if (i == 0 && place.is_file)
		return err_set(s->e, ERR_INVALID, -ENOTDIR,
			"the first workspace must be a directory; '%s' is a file", path);
	for (size_t k = 0; k < js_len(list); k++)
		if (strcmp(js_str(js_get(js_at(list, k), "path")), path) == 0)
			return err_set(
				s->e, ERR_INVALID, -EEXIST, "workspace '%s' is there twice", path);
	if (place.note[0])
		s->bad |= js_add_str(s->notes, place.note);
	if (i == 0)
		(void)snprintf(s->cwd, sizeof(s->cwd), "%s", path);
	s->bad |= js_set_str(v, "path", path);
	s->bad |= js_set_str(v, "host", place.host);
	s->bad |= js_set_bool(v, "read_only", read_only);
	s->bad |= js_set_str(v, "kind", place.is_file ? "file" : "directory");
	s->bad |= js_set_int(v, "dev", (int64_t)place.dev);
	s->bad |= js_set_int(v, "ino", (int64_t)place.ino);
	s->bad |= js_set_int(v, "fsid", (int64_t)place.fsid);
	s->bad |= js_add(list, TAKE(v));
	return 0;
}

/* refuse_open_back_door() - read-only is promised against root inside, who can reach whatever is
 * beneath a writable share by that share
 */
static int refuse_open_back_door(struct resolving *s, const struct js *list)
{
	for (size_t i = 0; i < js_len(list); i++) {
		const struct js *inner = js_at(list, i);
		const char *host = js_str(js_get(inner, "host"));

		for (size_t k = 0; k < js_len(list) && js_bool(js_get(inner, "read_only")); k++) {
			const struct js *outer = js_at(list, k);
			const char *dir = js_str(js_get(outer, "host"));

			if (js_bool(js_get(outer, "read_only")) || !plan_within(host, dir))
				continue;
			(void)err_set(s->e, ERR_INVALID, -EINVAL,
				"workspace '%s' cannot be read-only: it lies in '%s', which is "
				"writable",
				host, dir);
			err_hint(s->e, "share the writable parts one by one, or all read-only");
			return -EINVAL;
		}
	}
	return 0;
}

int resolve_places(struct resolving *s)
{
	int bad;

	AUTO_JS list = js_array();

	(void)snprintf(s->cwd, sizeof(s->cwd), "%s", s->workdir[0] ? s->workdir : PLAN_GUEST_HOME);
	for (size_t i = 0; i < js_len(s->workspaces); i++) {
		int r = add_workspace(s, list, js_at(s->workspaces, i), i);

		if (r < 0)
			return r;
	}
	bad = refuse_open_back_door(s, list);
	if (bad < 0)
		return bad;
	s->bad |= js_set(s->out, "workspaces", TAKE(list));
	s->bad |= js_set_str(s->out, "cwd", s->cwd);
	return 0;
}
