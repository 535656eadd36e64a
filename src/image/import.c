#include "image/import.h"
#include "base/io.h"
#include "image/digest.h"
#include "image/fetch.h"
#include "image/internal.h"
#include "image/worker_spawn.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define META_TEXT_MAX (1U << 20)

struct import {
	const struct image_import *ask;
	struct image_store store;
	struct image base; /* kernel and modules are its */
	char work[PATH_MAX], layout[PATH_MAX], stage[PATH_MAX];
	char id[IMAGE_ID_LEN + 1];
};

static void tell(const struct import *m, unsigned percent, const char *text)
{
	if (m->ask->progress)
		m->ask->progress(m->ask->ctx, percent, text);
}

/* is_layout() - a directory that says it is one */
static bool is_layout(const char *path)
{
	char mark[PATH_MAX];

	return paths_join(mark, path, "oci-layout") == 0 && access(mark, R_OK) == 0;
}

/* find_layout() - the source itself, or where skopeo puts it */
static int find_layout(struct import *m, struct err *e)
{
	if (is_layout(m->ask->source)) {
		int n = snprintf(m->layout, sizeof(m->layout), "%s", m->ask->source);

		return n < (int)sizeof(m->layout) ? 0
						  : err_sys(e, -ENAMETOOLONG, "open the layout");
	}
	if (paths_join(m->layout, m->work, "layout") < 0)
		return err_sys(e, -ENAMETOOLONG, "fetch the image");
	tell(m, 0, "fetching the image");
	return image_fetch(m->ask->source, m->layout, m->ask->interrupted, e);
}

/* link_or_copy() - @from as @name in the stage; images are never changed, so they may share a file */
static int share_file(const struct import *m, const char *from, const char *name, struct err *e)
{
	char to[PATH_MAX];
	int r = paths_join(to, m->stage, name);

	if (r == 0 && link(from, to) < 0)
		r = -errno;
	return r < 0 ? err_sys(e, r, "take '%s' of the default image", name) : 0;
}

/* content_id() - of what the image is made of: the same input is the same image */
static int content_id(struct import *m, const struct js *result, struct err *e)
{
	const char *digest = js_str(js_get(result, "digest"));
	char text[512], hex[DIGEST_HEX_LEN + 1];
	int n = snprintf(text, sizeof(text), "%s %s %s\n", digest ? digest : "",
		m->base.kernel_digest, m->base.modules_digest);

	if (!digest || strlen(digest) != DIGEST_HEX_LEN || !digest_of(text, (size_t)n, hex))
		return err_set(e, ERR_INTERNAL, -EIO, "sbx-image reported no digest");
	memcpy(m->id, hex, IMAGE_ID_LEN);
	m->id[IMAGE_ID_LEN] = '\0';
	return 0;
}

static int write_meta(const struct import *m, const struct js *result, struct err *e)
{
	AUTO_JS o = js_object();
	AUTO(buf) text;
	int64_t bytes = js_int(js_get(result, "bytes"), 0);
	int dir = open(m->stage, O_PATH | O_DIRECTORY | O_CLOEXEC), r;
	AUTO_FD at = dir;

	buf_init(&text, META_TEXT_MAX);
	if (js_set_str(o, "id", m->id) || js_set_str(o, "format", "erofs") ||
		js_set_str(o, "kernel_version", m->base.kernel_version) ||
		js_set_copy(o, "root_digest", js_get(result, "root_digest")) ||
		js_set_str(o, "kernel_digest", m->base.kernel_digest) ||
		js_set_str(o, "modules_digest", m->base.modules_digest) ||
		js_set_int(o, "root_bytes", bytes) ||
		js_set_int(o, "kernel_bytes", (int64_t)m->base.kernel_bytes) ||
		js_set_int(o, "modules_bytes", (int64_t)m->base.modules_bytes) ||
		js_set_copy(o, "manifest", js_get(result, "digest")) ||
		js_set_str(o, "source", m->ask->source) ||
		js_set_copy(o, "run", js_get(result, "run")))
		return err_sys(e, -ENOMEM, "describe the image");
	r = js_print(o, &text);
	if (r == 0)
		r = at < 0 ? -errno : io_replace_file(at, "meta.json", text.data, text.len, 0600);
	return r < 0 ? err_sys(e, r, "write the image's description") : 0;
}

static int convert(struct import *m, struct js **ret_result, struct err *e)
{
	char program[PATH_MAX], root[PATH_MAX];
	struct worker_job job = {.program = program,
		.interrupted = m->ask->interrupted,
		.progress = m->ask->progress,
		.ctx = m->ask->ctx};

	if (paths_join(program, m->ask->paths->libexec, "sbx-image") < 0 ||
		paths_join(root, m->stage, "root.img") < 0)
		return err_sys(e, -ENAMETOOLONG, "convert the image");
	AUTO_FD layout = open(m->layout, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AUTO_FD image = open(root, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (layout < 0 || image < 0)
		return err_sys(e, -errno, "open '%s'", layout < 0 ? m->layout : root);
	job.layout_fd = layout;
	job.image_fd = image;
	return worker_do(&job, ret_result, e);
}

static int make(struct import *m, struct image *ret_image, struct err *e)
{
	AUTO_JS result = NULL;
	int r = find_layout(m, e);

	if (r == 0 && mkdir(m->stage, 0755) < 0)
		r = err_sys(e, -errno, "make '%s'", m->stage);
	if (r == 0)
		r = convert(m, &result, e);
	if (r == 0)
		r = content_id(m, result, e);
	if (r == 0)
		r = share_file(m, m->base.kernel, "kernel", e);
	if (r == 0)
		r = share_file(m, m->base.modules, "modules.cpio", e);
	if (r == 0)
		r = write_meta(m, result, e);
	if (r < 0)
		return r;
	tell(m, 97, "publishing the image");
	r = image_store_publish(&m->store, m->stage, ret_image, e);
	return r < 0 ? r : image_store_name(&m->store, m->ask->name, m->id, e);
}

static int import_locked(struct import *m, struct image *ret_image, struct err *e)
{
	int r = image_store_lookup(&m->store, IMAGE_DEFAULT, &m->base, e);

	if (r < 0)
		return err_wrap(e, r, "the kernel of the default image is needed");
	image_remove_leftovers(&m->store);
	if (mkdir(m->work, 0700) < 0)
		return err_sys(e, -errno, "make '%s'", m->work);
	r = make(m, ret_image, e);
	image_remove_tree(m->work);
	return r < 0 ? r : image_store_lookup(&m->store, m->id, ret_image, e);
}

int image_import(const struct image_import *ask, struct image *ret_image, struct err *e)
{
	struct import m = {.ask = ask};
	int r;

	if (!ask->name || !image_name_ok(ask->name) || strcmp(ask->name, IMAGE_DEFAULT) == 0)
		return err_set(e, ERR_INVALID, -EINVAL, "'%.80s' is not a name for an image",
			ask->name ? ask->name : "");
	if (!*ask->source || strlen(ask->source) > IMPORT_SOURCE_MAX)
		return err_set(e, ERR_INVALID, -EINVAL,
			"what the image is to come from is empty or too long");
	r = image_store_open(ask->paths->cache, &m.store, e);
	if (r < 0)
		return r;
	if (paths_join(m.work, m.store.dir, IMPORT_WORK) < 0 ||
		paths_join(m.stage, m.work, "image") < 0)
		return err_sys(e, -ENAMETOOLONG, "import an image");
	AUTO_FD lock = image_lock_store(&m.store, ask->interrupted, ask->progress, ask->ctx, e);
	return lock < 0 ? TAKE_FD(lock) : import_locked(&m, ret_image, e);
}
