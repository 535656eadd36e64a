#include "daemon/api.h"
#include "daemon/diagnose.h"
#include "daemon/view.h"
#include <errno.h>
#include <string.h>

static int no_memory(struct err *e)
{
	return err_set(e, ERR_LIMIT, -ENOMEM, "out of memory");
}

int api_version(struct api_call *a, struct err *e)
{
	AUTO_JS o = js_object();
	bool bad = false;

	bad |= js_set_str(o, "version", SBX_VERSION);
	bad |= js_set_int(o, "api", 1);
	bad |= js_set_int(o, "pid", getpid());
	bad |= view_time(o, "started_at", a->d->started_ms);
	return bad ? no_memory(e) : conn_json(a->c, 200, TAKE(o));
}

static struct js *image_json(const struct image *img)
{
	AUTO_JS o = js_object();
	bool bad = false;

	bad |= js_set_str(o, "id", img->id);
	bad |= js_set_str(o, "name", img->name[0] ? img->name : NULL);
	bad |= js_set_str(o, "reference", img->reference[0] ? img->reference : NULL);
	bad |= js_set_str(o, "digest", img->pin[0] ? img->pin : NULL);
	bad |= view_time(o, "created_at", img->created_ms);
	bad |= js_set_int(
		o, "bytes", (int64_t)(img->root_bytes + img->kernel_bytes + img->modules_bytes));
	bad |= js_set_str(o, "root_digest", img->root_digest);
	bad |= js_set_str(o, "kernel_digest", img->kernel_digest);
	bad |= js_set_str(o, "kernel_version", img->kernel_version);
	bad |= js_set_str(o, "format", img->format);
	return bad ? NULL : TAKE(o);
}

int api_images(struct api_call *a, struct err *e)
{
	AUTO_JS list = js_array();
	AUTO_JS o = js_object();
	AUTO_FREE struct image *images = NULL;
	struct image_store store;
	bool bad = false;
	size_t n = 0, broken = 0;
	int r = image_store_open(a->d->paths.cache, &store, e);

	if (r == 0)
		r = image_store_list(&store, &images, &n, &broken, e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++)
		bad |= js_add(list, image_json(&images[i]));
	bad |= js_set(o, "images", TAKE(list));
	bad |= js_set_int(o, "broken", (int64_t)broken);
	return bad ? no_memory(e) : conn_json(a->c, 200, TAKE(o));
}

/* in_use() - a sandbox whose plan names that image keeps it */
static int in_use(struct daemon *d, const char *id, struct err *e)
{
	struct sandbox **all;
	size_t n;
	int r = 0;

	if (sandbox_all(d, &all, &n) < 0)
		return no_memory(e);
	for (size_t i = 0; i < n; i++) {
		if (r == 0 && strcmp(all[i]->plan->image_id, id) == 0) {
			r = err_set(e, ERR_CONFLICT, -EBUSY, "image '%s' is in use by sandbox '%s'",
				id, all[i]->name);
			err_hint(e, "remove it first: sbx rm %s", all[i]->name);
		}
		sandbox_put(all[i]);
	}
	free(all);
	return r;
}

int api_image_remove(struct api_call *a, struct err *e)
{
	AUTO_FREE struct image *img = malloc(sizeof(*img));
	struct image_store store;
	struct err why = {0};
	int r;

	if (!img)
		return no_memory(e);
	r = image_store_open(a->d->paths.cache, &store, e);
	if (r < 0)
		return r;
	r = image_store_lookup(&store, a->arg, img, &why);
	if (r == 0)
		r = in_use(a->d, img->id, e);
	else if (r == -EBADMSG)
		r = 0; /* broken: nobody can use it, away with it */
	else
		*e = why;
	if (r == 0)
		r = image_store_remove(&store, a->arg, e);
	return r < 0 ? r : conn_empty(a->c, 204);
}

int api_diagnose(struct api_call *a, struct err *e)
{
	struct js *v = diagnose(a->d);

	return v ? conn_json(a->c, 200, v) : no_memory(e);
}

int api_daemon_stop(struct api_call *a, struct err *e)
{
	struct js *o = js_object();
	int r;

	a->c->keep_alive = false;
	if (js_set_int(o, "pid", getpid())) {
		js_free(o);
		return no_memory(e);
	}
	r = conn_json(a->c, 202, o);
	daemon_stop(a->d);
	return r;
}
