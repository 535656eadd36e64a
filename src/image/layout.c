#include "image/layout.h"
#include "base/io.h"
#include "image/digest.h"
#include "image/fetch.h"
#include "image/internal.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#define PREFIX	  "save-"
#define LAYER	  "layer"
#define CHUNK	  (1U << 20)
#define JSON_MAX  (1U << 20)
#define OCI_MEDIA "application/vnd.oci.image."
#define TITLE	  "org.opencontainers.image.description"

/* prune() - what is left of one whose maker died: nobody holds its lock */
static void prune(const char *cache)
{
	char path[PATH_MAX];
	struct dirent *d;
	DIR *dir = opendir(cache);

	while (dir && (d = readdir(dir))) {
		if (strncmp(d->d_name, PREFIX, strlen(PREFIX)) != 0 ||
			paths_join(path, cache, d->d_name) < 0)
			continue;
		AUTO_FD fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
			image_remove_tree(path);
	}
	if (dir)
		(void)closedir(dir);
}

static int open_layer(struct layout *l, struct err *e)
{
	own_close_fd(&l->layer);
	l->layer = openat(l->lock, LAYER, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	return l->layer < 0 ? err_sys(e, -errno, "make a layer in '%s'", l->dir) : 0;
}

int layout_new(const struct paths *p, struct layout *l, struct err *e)
{
	int r;

	*l = (struct layout){.lock = -1, .layer = -1};
	prune(p->cache);
	if (paths_join(l->dir, p->cache, PREFIX "XXXXXX") < 0)
		return err_sys(e, -ENAMETOOLONG, "make a layout");
	if (!mkdtemp(l->dir)) {
		r = err_sys(e, -errno, "make '%s'", l->dir);
		l->dir[0] = '\0';
		return r;
	}
	l->lock = open(l->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (l->lock < 0 || flock(l->lock, LOCK_EX | LOCK_NB) < 0)
		return err_sys(e, -errno, "lock '%s'", l->dir);
	if (mkdirat(l->lock, "oci", 0700) < 0 || mkdirat(l->lock, "oci/blobs", 0700) < 0 ||
		mkdirat(l->lock, "oci/blobs/sha256", 0700) < 0)
		return err_sys(e, -errno, "make a layout in '%s'", l->dir);
	if (paths_join(l->oci, l->dir, "oci") < 0)
		return err_sys(e, -ENAMETOOLONG, "make a layout");
	l->layers = js_array();
	l->diff_ids = js_array();
	return open_layer(l, e);
}

void layout_fini(struct layout *l)
{
	if (!l || !l->dir[0])
		return;
	own_close_fd(&l->layer);
	js_free(l->layers);
	js_free(l->diff_ids);
	image_remove_tree(l->dir);
	own_close_fd(&l->lock);
	l->dir[0] = '\0';
}

static int hash_layer(const struct layout *l, char ret_hex[DIGEST_HEX_LEN + 1], uint64_t *ret_bytes)
{
	AUTO_FREE uint8_t *chunk = malloc(CHUNK);
	struct digest *d = digest_new();
	bool ok = chunk && d && digest_begin(d);
	off_t at = 0;
	ssize_t n = 1;

	while (ok && n > 0) {
		n = pread(l->layer, chunk, CHUNK, at);
		ok = n >= 0 && digest_add(d, chunk, (size_t)n);
		at += n;
	}
	ok = ok && digest_end(d, ret_hex);
	digest_free(d);
	*ret_bytes = (uint64_t)at;
	return ok ? 0 : -EIO;
}

/* put_blob() - @o as a blob; its descriptor into @ret, the caller's */
static int put_blob(const struct layout *l, const struct js *o, const char *media, struct js **ret,
	struct err *e)
{
	char hex[DIGEST_HEX_LEN + 1], name[DIGEST_HEX_LEN + 32], text[DIGEST_HEX_LEN + 8];
	AUTO_JS d = js_object();
	AUTO(buf) b;
	int r;

	buf_init(&b, JSON_MAX);
	r = js_canonical(o, &b);
	if (r == 0 && !digest_of(b.data, b.len, hex))
		r = -ENOMEM;
	if (r < 0)
		return err_sys(e, r, "describe the image");
	(void)snprintf(name, sizeof(name), "oci/blobs/sha256/%s", hex);
	(void)snprintf(text, sizeof(text), "sha256:%s", hex);
	r = io_replace_file(l->lock, name, b.data, b.len, 0600);
	if (r == 0 && (js_set_str(d, "mediaType", media) || js_set_str(d, "digest", text) ||
			      js_set_int(d, "size", (int64_t)b.len)))
		r = -ENOMEM;
	if (r < 0)
		return err_sys(e, r, "describe the image");
	*ret = TAKE(d);
	return 0;
}

/* put_set() - a list of names as the object of empty objects that the format wants */
static bool put_set(struct js *to, const char *key, const struct js *list)
{
	AUTO_JS o = js_object();
	bool bad = false;

	for (size_t i = 0; i < js_len(list); i++)
		bad |= js_set(o, js_str(js_at(list, i)), js_object());
	return bad || (js_len(list) && js_set(to, key, TAKE(o)));
}

static bool put_run(struct js *to, const struct js *run, const char *description)
{
	static const char *const pairs[][2] = {
		{"Env", "env"}, {"Entrypoint", "entrypoint"}, {"Cmd", "cmd"}};
	static const char *const texts[][2] = {
		{"User", "user"}, {"WorkingDir", "workdir"}, {"StopSignal", "stop_signal"}};
	AUTO_JS labels = js_object();
	bool bad = false;

	for (size_t i = 0; i < ARRAY_LEN(pairs); i++)
		if (js_len(js_get(run, pairs[i][1])))
			bad |= js_set_copy(to, pairs[i][0], js_get(run, pairs[i][1]));
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		const char *text = js_str(js_get(run, texts[i][1]));

		if (text && text[0])
			bad |= js_set_str(to, texts[i][0], text);
	}
	bad |= put_set(to, "ExposedPorts", js_get(run, "ports"));
	bad |= put_set(to, "Volumes", js_get(run, "volumes"));
	if (!description)
		description = js_str(js_get(run, "description"));
	if (description && description[0])
		bad |= js_set_str(labels, TITLE, description) || js_set(to, "Labels", TAKE(labels));
	return bad;
}

static struct js *config_json(const struct layout *l, const struct js *run, const char *description)
{
	AUTO_JS o = js_object();
	AUTO_JS c = js_object();
	AUTO_JS fs = js_object();

	if (js_set_str(o, "os", "linux") || js_set_str(o, "architecture", "amd64") ||
		put_run(c, run, description) || js_set(o, "config", TAKE(c)) ||
		js_set_str(fs, "type", "layers") || js_set_copy(fs, "diff_ids", l->diff_ids) ||
		js_set(o, "rootfs", TAKE(fs)))
		return NULL;
	return TAKE(o);
}

static int put_index(const struct layout *l, struct js *manifest, const char *name, struct err *e)
{
	static const char mark[] = "{\"imageLayoutVersion\":\"1.0.0\"}";
	AUTO_JS d = manifest;
	AUTO_JS o = js_object();
	AUTO_JS list = js_array();
	AUTO_JS notes = js_object();
	AUTO(buf) b;
	int r = 0;

	buf_init(&b, JSON_MAX);
	if ((name && (js_set_str(notes, "org.opencontainers.image.ref.name", name) ||
			     js_set(d, "annotations", TAKE(notes)))) ||
		js_set_int(o, "schemaVersion", 2) || js_add(list, TAKE(d)) ||
		js_set(o, "manifests", TAKE(list)))
		r = -ENOMEM;
	if (r == 0)
		r = js_canonical(o, &b);
	if (r == 0)
		r = io_replace_file(l->lock, "oci/index.json", b.data, b.len, 0600);
	if (r == 0)
		r = io_replace_file(l->lock, "oci/oci-layout", mark, strlen(mark), 0600);
	return r < 0 ? err_sys(e, r, "describe the image") : 0;
}

/* finish_layer() - the layer gets its name, and is one of them */
static int finish_layer(struct layout *l, struct err *e)
{
	char hex[DIGEST_HEX_LEN + 1], text[DIGEST_HEX_LEN + 8], place[DIGEST_HEX_LEN + 32];
	AUTO_JS layer = js_object();
	uint64_t bytes;
	int r = hash_layer(l, hex, &bytes);

	(void)snprintf(text, sizeof(text), "sha256:%s", hex);
	(void)snprintf(place, sizeof(place), "oci/blobs/sha256/%s", hex);
	if (r == 0 && renameat(l->lock, LAYER, l->lock, place) < 0)
		r = -errno;
	if (r < 0)
		return err_sys(e, r, "read the layer");
	if (js_set_str(layer, "mediaType", OCI_MEDIA "layer.v1.tar") ||
		js_set_str(layer, "digest", text) || js_set_int(layer, "size", (int64_t)bytes) ||
		js_add(l->layers, TAKE(layer)) || js_add_str(l->diff_ids, text))
		return err_sys(e, -ENOMEM, "describe the image");
	return 0;
}

int layout_next(struct layout *l, struct err *e)
{
	int r = finish_layer(l, e);

	return r < 0 ? r : open_layer(l, e);
}

int layout_end(struct layout *l, const struct js *run, const char *name, const char *description,
	struct err *e)
{
	AUTO_JS config = NULL;
	AUTO_JS config_at = NULL;
	AUTO_JS o = js_object();
	struct js *manifest = NULL;
	int r = finish_layer(l, e);

	if (r < 0)
		return r;
	config = config_json(l, run, description);
	if (!config)
		return err_sys(e, -ENOMEM, "describe the image");
	r = put_blob(l, config, OCI_MEDIA "config.v1+json", &config_at, e);
	if (r < 0)
		return r;
	if (js_set_int(o, "schemaVersion", 2) ||
		js_set_str(o, "mediaType", OCI_MEDIA "manifest.v1+json") ||
		js_set(o, "config", TAKE(config_at)) || js_set_copy(o, "layers", l->layers))
		return err_sys(e, -ENOMEM, "describe the image");
	r = put_blob(l, o, OCI_MEDIA "manifest.v1+json", &manifest, e);
	return r < 0 ? r : put_index(l, manifest, name, e);
}

int layout_archive(const struct layout *l, const struct layout_save *s, struct err *e)
{
	char part[PATH_MAX], dest[PATH_MAX + 32];
	struct image_fetch f = {.source = dest,
		.dir = l->dir,
		.what = "writing the archive",
		.interrupted = s->interrupted,
		.progress = s->progress,
		.ctx = s->ctx};
	int r;

	if (snprintf(part, sizeof(part), "%s.part-%d", s->file, (int)getpid()) >=
			(int)sizeof(part) ||
		strchr(s->file, ':'))
		return err_set(e, ERR_INVALID, -EINVAL,
			"'%.200s' is too long for a file's name or has a colon", s->file);
	(void)snprintf(dest, sizeof(dest), "oci-archive:%s", part);
	(void)unlink(part);
	r = image_fetch_copy(&f, l->oci, e);
	if (r == 0 && rename(part, s->file) < 0)
		r = err_sys(e, -errno, "write '%.200s'", s->file);
	if (r < 0)
		(void)unlink(part);
	return r;
}
