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
	struct image_ref ref;
	char digest[DIGEST_HEX_LEN + 1]; /* what the registry calls it; "": not from one */
	char work[PATH_MAX], stage[PATH_MAX], fetch[PATH_MAX], layout[PATH_MAX];
	char id[IMAGE_ID_LEN + 1];
};

static void tell(const struct import *m, unsigned percent, const char *text)
{
	if (m->ask->progress)
		m->ask->progress(m->ask->ctx, percent, text);
}

bool image_pull_from_name(const char *word, enum image_pull *ret)
{
	static const char *const names[] = {[IMAGE_PULL_MISSING] = "missing",
		[IMAGE_PULL_ALWAYS] = "always",
		[IMAGE_PULL_NEVER] = "never"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(word, names[i]) == 0) {
			*ret = (enum image_pull)i;
			return true;
		}
	return false;
}

/* fetch_name() - the directory of this reference's downloads, within the store */
static void fetch_name(const struct import *m, char dst[64])
{
	(void)snprintf(dst, 64, IMPORT_FETCH "%.16s", m->ref.key);
}

/* drop_pieces() - what skopeo was writing when it was ended; whole blobs stay */
static int drop_pieces(const struct import *m, struct err *e)
{
	char keep[PATH_MAX], kept[PATH_MAX];

	if (paths_join(keep, m->fetch, "layout") < 0 || paths_join(kept, m->work, "layout") < 0)
		return err_sys(e, -ENAMETOOLONG, "fetch the image");
	(void)rename(keep, kept);
	image_remove_tree(m->fetch);
	if (mkdir(m->fetch, 0700) < 0)
		return err_sys(e, -errno, "make '%s'", m->fetch);
	(void)rename(kept, keep);
	return image_fetch_drop_pieces(keep, e);
}

/* find_layout() - the source itself, or where skopeo puts it */
static int find_layout(struct import *m, struct err *e)
{
	char pinned[PATH_MAX + 320];
	struct image_fetch f = {.source = m->ref.source,
		.dir = m->fetch,
		.interrupted = m->ask->interrupted,
		.progress = m->ask->progress,
		.ctx = m->ask->ctx};
	int r;

	if (m->ref.layout[0]) {
		memcpy(m->layout, m->ref.layout, sizeof(m->layout));
		return 0;
	}
	if (paths_join(m->layout, m->fetch, "layout") < 0)
		return err_sys(e, -ENAMETOOLONG, "fetch the image");
	r = drop_pieces(m, e);
	if (r < 0)
		return r;
	if (m->digest[0]) { /* what was asked about is what is fetched */
		(void)snprintf(pinned, sizeof(pinned), "docker://%s@sha256:%s", m->ref.repository,
			m->digest);
		f.source = pinned;
	}
	tell(m, 0, "fetching the image");
	r = image_fetch(&f, e);
	if (r == -ENOSPC) /* what is kept would keep the disk full */
		image_remove_tree(m->fetch);
	return r;
}

/* share_file() - @from as @name in the stage; images are never changed, so they may share a file */
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
		js_set_str(o, "source", m->ref.source) ||
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
		.ref = m->ref.layout[0] && m->ref.tag[0] ? m->ref.tag : NULL,
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

	if (r < 0)
		return r;
	if (mkdir(m->stage, 0755) < 0)
		return err_sys(e, -errno, "make '%s'", m->stage);
	r = convert(m, &result, e);
	/* A kept blob may be what is damaged, or what takes the room. */
	if (r == -EBADMSG || r == -ENOENT || r == -ENOSPC)
		image_remove_tree(m->fetch);
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
	if (r == 0)
		image_remove_tree(m->fetch);
	return r;
}

/* have() - is it here already, so that nothing is to be done but naming it? */
static bool have(struct import *m, struct image *ret_image)
{
	struct image_reference known;

	if (m->ask->again || !image_store_referred(&m->store, &m->ref, &known) ||
		image_store_lookup(&m->store, known.id, ret_image, NULL) < 0)
		return false;
	if (m->digest[0] && strcmp(known.digest, m->digest) != 0)
		return false;
	image_set_reference(ret_image, &known);
	memcpy(m->id, ret_image->id, sizeof(m->id));
	if (!m->digest[0] && m->ref.kind == IMAGE_REF_REGISTRY)
		memcpy(m->digest, known.digest, sizeof(m->digest));
	return true;
}

/* ask_registry() - what the reference means there now */
static int ask_registry(struct import *m, struct err *e)
{
	struct image_fetch f = {
		.source = m->ref.source, .dir = m->work, .interrupted = m->ask->interrupted};
	int r;

	if (m->ref.kind != IMAGE_REF_REGISTRY)
		return 0;
	if (m->ref.pin[0]) {
		memcpy(m->digest, m->ref.pin, sizeof(m->digest));
		return 0;
	}
	tell(m, 0, "asking the registry");
	r = image_fetch_digest(&f, m->digest, e);
	if (r < 0)
		m->digest[0] = '\0';
	return r;
}

static int name_it(struct import *m, struct err *e)
{
	int r = image_store_refer(&m->store, &m->ref, m->id, m->digest, e);

	return r == 0 && m->ask->name ? image_store_name(&m->store, m->ask->name, m->id, e) : r;
}

static int import_locked(struct import *m, struct image *ret_image, struct err *e)
{
	char keep[64];
	int r = image_store_lookup(&m->store, IMAGE_DEFAULT, &m->base, e);

	if (r < 0)
		return err_wrap(e, r, "the kernel of the default image is needed");
	fetch_name(m, keep);
	image_remove_leftovers(&m->store, keep);
	if (mkdir(m->work, 0700) < 0)
		return err_sys(e, -errno, "make '%s'", m->work);
	if (m->ask->pull == IMAGE_PULL_ALWAYS || !have(m, ret_image))
		r = ask_registry(m, e);
	if (r == 0 && !have(m, ret_image))
		r = make(m, ret_image, e);
	if (r == 0)
		r = name_it(m, e);
	image_remove_tree(m->work);
	return r < 0 ? r : image_store_lookup(&m->store, m->id, ret_image, e);
}

/* present() - without a lock and without asking anybody; 1: it has to be fetched */
static int present(struct import *m, struct image *ret_image, struct err *e)
{
	if (m->ask->pull != IMAGE_PULL_ALWAYS && !m->ask->name && have(m, ret_image))
		return 0;
	if (m->ask->pull != IMAGE_PULL_NEVER)
		return 1;
	return image_ref_missing(m->ref.name[0] ? m->ref.name : m->ask->source, e);
}

int image_import(const struct image_import *ask, struct image *ret_image, struct err *e)
{
	AUTO_FREE struct import *m = calloc(1, sizeof(*m));
	char keep[64];
	int r;

	if (!m)
		return err_sys(e, -ENOMEM, "import an image");
	m->ask = ask;
	if (ask->name && (!image_name_ok(ask->name) || strcmp(ask->name, IMAGE_DEFAULT) == 0))
		return err_set(
			e, ERR_INVALID, -EINVAL, "'%.80s' is not a name for an image", ask->name);
	r = image_ref_parse(ask->source, &m->ref, e);
	if (r == 0)
		r = image_store_open(ask->paths->cache, &m->store, e);
	if (r == 0)
		r = present(m, ret_image, e);
	if (r <= 0)
		return r;
	fetch_name(m, keep);
	if (paths_join(m->work, m->store.dir, IMPORT_WORK) < 0 ||
		paths_join(m->fetch, m->store.dir, keep) < 0 ||
		paths_join(m->stage, m->work, "image") < 0)
		return err_sys(e, -ENAMETOOLONG, "import an image");
	AUTO_FD lock = image_lock_store(&m->store, ask->interrupted, ask->progress, ask->ctx, e);
	return lock < 0 ? TAKE_FD(lock) : import_locked(m, ret_image, e);
}
