#include "image/store.h"
#include "image/internal.h"
#include "base/io.h"
#include "base/paths.h"
#include "json/json.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define META_MAX (1U << 20) /* what a program of the image is started with is in it */

int image_store_open(const char *cache, struct image_store *ret_store, struct err *e)
{
	struct image_store s;
	char names[PATH_MAX];
	int r;

	if (snprintf(s.dir, sizeof(s.dir), "%s/images", cache) >= (int)sizeof(s.dir) - 64)
		return err_sys(e, -ENAMETOOLONG, "open the image store");
	r = paths_mkdir(s.dir, e);
	if (r == 0)
		r = paths_join(names, s.dir, "names");
	if (r == 0)
		r = paths_mkdir(names, e);
	if (r < 0)
		return err_wrap(e, r, "open the image store");
	*ret_store = s;
	return 0;
}

bool image_id_ok(const char *s)
{
	return strlen(s) == IMAGE_ID_LEN && strspn(s, "0123456789abcdef") == IMAGE_ID_LEN;
}

/* "default" is reserved for sandboxes, and just what the first image is called */
bool image_name_ok(const char *s)
{
	return strcmp(s, IMAGE_DEFAULT) == 0 || name_check(s, NULL) == 0;
}

static int copy_str(char *dst, size_t cap, const char *src)
{
	size_t n = strlen(src);

	if (n >= cap)
		return -EBADMSG;
	memcpy(dst, src, n + 1);
	return 0;
}

/* A version or format becomes part of messages and mount options: letters that need no quoting. */
static bool plain(const char *s)
{
	return *s &&
	       strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.+~_-") ==
		       strlen(s);
}

static bool hex_digest(const char *s)
{
	return strlen(s) == IMAGE_DIGEST_LEN && strspn(s, "0123456789abcdef") == IMAGE_DIGEST_LEN;
}

/* parse_meta() - @path as JSON, the caller's */
static int parse_meta(const char *path, struct js **ret, struct err *e)
{
	AUTO(buf) text;
	int r;

	buf_init(&text, META_MAX);
	r = io_read_file(AT_FDCWD, path, &text);
	if (r < 0)
		return err_sys(e, r, "read '%s'", path);
	return js_parse(buf_str(&text), text.len, META_MAX, ret, e);
}

static int read_meta(const char *path, struct image *img, struct err *e)
{
	AUTO_JS meta = NULL;
	struct js_reader rd;
	const char *id, *format, *version, *root, *kernel, *modules, *manifest;
	int r;

	r = parse_meta(path, &meta, e);
	if (r < 0)
		return r;
	js_read(&rd, meta, "meta.json", e);
	id = js_want_str(&rd, "id", IMAGE_ID_LEN);
	format = js_want_str(&rd, "format", sizeof(img->format) - 1);
	version = js_want_str(&rd, "kernel_version", sizeof(img->kernel_version) - 1);
	root = js_want_str(&rd, "root_digest", IMAGE_DIGEST_LEN);
	kernel = js_want_str(&rd, "kernel_digest", IMAGE_DIGEST_LEN);
	modules = js_want_str(&rd, "modules_digest", IMAGE_DIGEST_LEN);
	(void)js_take_str(&rd, "suite", 64, "");
	/* of an image that was imported */
	manifest = js_take_str(&rd, "manifest", IMAGE_DIGEST_LEN, "");
	(void)js_take_str(&rd, "source", 1024, "");
	(void)js_take_object(&rd, "run");
	img->root_bytes = (uint64_t)js_want_int(&rd, "root_bytes", 1, INT64_MAX);
	img->kernel_bytes = (uint64_t)js_want_int(&rd, "kernel_bytes", 1, INT64_MAX);
	img->modules_bytes = (uint64_t)js_want_int(&rd, "modules_bytes", 1, INT64_MAX);
	r = js_done(&rd);
	if (r < 0)
		return r;
	if (!image_id_ok(id) || !plain(format) || !plain(version) || !hex_digest(root) ||
		!hex_digest(kernel) || !hex_digest(modules) ||
		(manifest[0] && !hex_digest(manifest)))
		return err_set(e, ERR_INVALID, -EBADMSG, "meta.json has a malformed value");
	if (copy_str(img->id, sizeof(img->id), id) < 0 ||
		copy_str(img->manifest, sizeof(img->manifest), manifest) < 0 ||
		copy_str(img->format, sizeof(img->format), format) < 0 ||
		copy_str(img->kernel_version, sizeof(img->kernel_version), version) < 0 ||
		copy_str(img->root_digest, sizeof(img->root_digest), root) < 0 ||
		copy_str(img->kernel_digest, sizeof(img->kernel_digest), kernel) < 0 ||
		copy_str(img->modules_digest, sizeof(img->modules_digest), modules) < 0)
		return err_set(e, ERR_INVALID, -EBADMSG, "meta.json has a malformed value");
	return 0;
}

static void store_hint(struct err *e)
{
	err_hint(e, "sbx image build --force makes it anew");
}

int image_load(const char *dir, struct image *ret_image, struct err *e)
{
	struct image img = {0};
	char path[PATH_MAX];
	struct stat st;
	int r = paths_join(path, dir, "meta.json");

	if (r == 0 && stat(path, &st) < 0)
		r = -errno;
	if (r < 0)
		return err_sys(e, r, "read '%s/meta.json'", dir);
	img.created_ms = (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000;
	r = read_meta(path, &img, e);
	if (r < 0)
		return r;
	if (paths_join(img.root, dir, "root.img") < 0 ||
		paths_join(img.kernel, dir, "kernel") < 0 ||
		paths_join(img.modules, dir, "modules.cpio") < 0)
		return err_sys(e, -ENAMETOOLONG, "image in '%s'", dir);
	r = image_check(&img, e);
	if (r < 0)
		return r;
	*ret_image = img;
	return 0;
}

int image_meta(const struct image *img, struct js **ret_meta, struct err *e)
{
	char path[PATH_MAX], *slash;

	memcpy(path, img->root, sizeof(path));
	slash = strrchr(path, '/');
	if (!slash || (size_t)(slash - path) + sizeof("/meta.json") > sizeof(path))
		return err_sys(e, -ENAMETOOLONG, "read about image %s", img->id);
	memcpy(slash, "/meta.json", sizeof("/meta.json"));
	return parse_meta(path, ret_meta, e);
}

/* read_name() - what names/<name> points at; false when it is no name */
static bool read_name(const struct image_store *s, const char *name, char ret_id[IMAGE_ID_LEN + 1])
{
	char path[PATH_MAX];
	AUTO(buf) text;

	buf_init(&text, IMAGE_ID_LEN + 1);
	if (snprintf(path, sizeof(path), "%s/names/%s", s->dir, name) >= (int)sizeof(path) ||
		io_read_file(AT_FDCWD, path, &text) < 0 || text.len != IMAGE_ID_LEN + 1)
		return false;
	memcpy(ret_id, text.data, IMAGE_ID_LEN);
	ret_id[IMAGE_ID_LEN] = '\0';
	return image_id_ok(ret_id);
}

/* find_name() - the first name, in directory order, that means @id; "default" before all others */
static void find_name(const struct image_store *s, const char *id, char dst[NAME_MAX_LEN + 1])
{
	char path[PATH_MAX], other[IMAGE_ID_LEN + 1];
	struct dirent *d;
	DIR *dir;

	dst[0] = '\0';
	if (read_name(s, IMAGE_DEFAULT, other) && strcmp(other, id) == 0) {
		(void)copy_str(dst, NAME_MAX_LEN + 1, IMAGE_DEFAULT);
		return;
	}
	dir = paths_join(path, s->dir, "names") < 0 ? NULL : opendir(path);
	while (dir && (d = readdir(dir)))
		if (image_name_ok(d->d_name) && read_name(s, d->d_name, other) &&
			strcmp(other, id) == 0 && copy_str(dst, NAME_MAX_LEN + 1, d->d_name) == 0)
			break;
	if (dir)
		(void)closedir(dir);
}

static int load_id(const struct image_store *s, const char *id, struct image *ret, struct err *e)
{
	char dir[PATH_MAX];
	int r = paths_join(dir, s->dir, id);

	if (r == 0)
		r = image_load(dir, ret, e);
	if (r < 0) {
		r = err_wrap(e, r, "image %s", id);
		store_hint(e);
		return r;
	}
	if (strcmp(ret->id, id) != 0) {
		r = err_set(e, ERR_INVALID, -EBADMSG, "image %s: meta.json is of image %s", id,
			ret->id);
		store_hint(e);
		return r;
	}
	find_name(s, id, ret->name);
	image_find_reference(s, ret);
	return 0;
}

static int newest_first(const void *a, const void *b)
{
	const struct image *x = a, *y = b;

	return x->created_ms < y->created_ms ? 1 : x->created_ms > y->created_ms ? -1 : 0;
}

int image_store_list(const struct image_store *s, struct image **ret_images, size_t *ret_count,
	size_t *ret_broken, struct err *e)
{
	AUTO_FREE struct image *list = NULL;
	size_t n = 0, cap = 0, broken = 0;
	struct dirent *d;
	DIR *dir = opendir(s->dir);
	int r = 0;

	if (!dir)
		return err_sys(e, -errno, "list images in '%s'", s->dir);
	while ((d = readdir(dir))) {
		struct image img;

		if (!image_id_ok(d->d_name))
			continue;
		if (load_id(s, d->d_name, &img, NULL) < 0) {
			broken++;
			continue;
		}
		if (n == cap) {
			struct image *bigger = reallocarray(list, cap + 8, sizeof(*list));

			if (!bigger) {
				r = err_sys(e, -ENOMEM, "list images");
				break;
			}
			list = bigger;
			cap += 8;
		}
		list[n++] = img;
	}
	(void)closedir(dir);
	if (r < 0)
		return r;
	if (n)
		qsort(list, n, sizeof(*list), newest_first);
	*ret_images = TAKE(list);
	*ret_count = n;
	if (ret_broken)
		*ret_broken = broken;
	return 0;
}

/* resolve() - name, id or unique prefix to the id of a directory that is there */
static int resolve(
	const struct image_store *s, const char *ref, char id[IMAGE_ID_LEN + 1], struct err *e)
{
	size_t len = strlen(ref), hits = 0;
	struct dirent *d;
	DIR *dir;
	int r;

	if (image_name_ok(ref) && read_name(s, ref, id))
		return 0;
	if (len >= 4 && len <= IMAGE_ID_LEN && strspn(ref, "0123456789abcdef") == len) {
		dir = opendir(s->dir);
		while (dir && (d = readdir(dir)))
			if (image_id_ok(d->d_name) && strncmp(d->d_name, ref, len) == 0 && ++hits)
				memcpy(id, d->d_name, IMAGE_ID_LEN + 1);
		if (dir)
			(void)closedir(dir);
	}
	if (hits == 1)
		return 0;
	if (hits > 1) {
		r = err_set(e, ERR_INVALID, -EINVAL, "image '%s' is ambiguous: %zu begin like that",
			ref, hits);
		err_hint(e, "sbx image ls shows what there is");
		return r;
	}
	r = err_set(e, ERR_NOT_FOUND, -ENOENT, "image '%s' not found", ref);
	if (strcmp(ref, IMAGE_DEFAULT) == 0)
		err_hint(e, "sbx image build makes it");
	else
		err_hint(e, "sbx image ls shows what there is");
	return r;
}

/* lookup_reference() - an image that is gone or broken is as one that never came: it can be had again */
static int lookup_reference(
	const struct image_store *s, const char *text, struct image *ret_image, struct err *e)
{
	AUTO_FREE struct image_ref *ref = malloc(sizeof(*ref));
	struct image_reference known;
	int r;

	if (!ref)
		return err_sys(e, -ENOMEM, "find an image");
	if (text[0] == '/' || text[0] == '.') {
		r = err_set(e, ERR_NOT_FOUND, -ENOENT,
			"image '%.100s' not found: a path is no name of one", text);
		err_hint(e, "sbx image load makes an image of a file");
		return r;
	}
	r = image_ref_parse(text, ref, e);
	if (r < 0)
		return r;
	if (!image_store_referred(s, ref, &known) || load_id(s, known.id, ret_image, NULL) < 0)
		return image_ref_missing(ref->name[0] ? ref->name : text, e);
	image_set_reference(ret_image, &known);
	return 0;
}

int image_store_lookup(
	const struct image_store *s, const char *ref, struct image *ret_image, struct err *e)
{
	char id[IMAGE_ID_LEN + 1];
	int r;

	if (image_ref_is(ref))
		return lookup_reference(s, ref, ret_image, e);
	r = resolve(s, ref, id, e);
	return r < 0 ? r : load_id(s, id, ret_image, e);
}

static int remove_dir(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *entry;
	int r = 0;

	if (!d)
		return errno == ENOENT ? 0 : -errno;
	/* flat by construction: whatever is deeper was not made by us and stays */
	while ((entry = readdir(d)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
			unlinkat(dirfd(d), entry->d_name, 0) < 0)
			r = -errno;
	(void)closedir(d);
	return rmdir(dir) < 0 && r == 0 ? -errno : r;
}

static void drop_names(const struct image_store *s, const char *id)
{
	char path[PATH_MAX], other[IMAGE_ID_LEN + 1];
	struct dirent *d;
	DIR *dir = paths_join(path, s->dir, "names") < 0 ? NULL : opendir(path);

	while (dir && (d = readdir(dir)))
		if (image_name_ok(d->d_name) && read_name(s, d->d_name, other) &&
			strcmp(other, id) == 0)
			(void)unlinkat(dirfd(dir), d->d_name, 0);
	if (dir)
		(void)closedir(dir);
}

int image_store_remove(const struct image_store *s, const char *ref, struct err *e)
{
	char id[IMAGE_ID_LEN + 1], dir[PATH_MAX], gone[PATH_MAX];
	int r = resolve(s, ref, id, e);

	if (r < 0)
		return r;
	if (paths_join(dir, s->dir, id) < 0 ||
		snprintf(gone, sizeof(gone), "%s/.gone-%s", s->dir, id) >= (int)sizeof(gone))
		return err_sys(e, -ENAMETOOLONG, "remove image %s", id);
	drop_names(s, id);
	image_store_unrefer(s, id);
	/* moved aside first: a reader sees the whole image or none */
	if (rename(dir, gone) < 0)
		return err_sys(e, -errno, "remove image %s", id);
	r = remove_dir(gone);
	return r < 0 ? err_sys(e, r, "remove image %s", id) : 0;
}

static int sync_path(const char *path)
{
	AUTO_FD fd = open(path, O_RDONLY | O_CLOEXEC);

	return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

int image_store_publish(
	const struct image_store *s, const char *dir, struct image *ret_image, struct err *e)
{
	char place[PATH_MAX];
	struct image img;
	int r = image_load(dir, &img, e);

	if (r < 0)
		return err_wrap(e, r, "the image that was built is not whole");
	if (paths_join(place, s->dir, img.id) < 0)
		return err_sys(e, -ENAMETOOLONG, "publish image %s", img.id);
	if (sync_path(img.root) < 0 || sync_path(img.kernel) < 0 || sync_path(img.modules) < 0 ||
		sync_path(dir) < 0)
		return err_sys(e, -errno, "write image %s to the disk", img.id);
	r = rename(dir, place) < 0 ? -errno : 0;
	if (r == -EEXIST || r == -ENOTEMPTY) { /* built again: swap, then drop the old one */
		r = renameat2(AT_FDCWD, dir, AT_FDCWD, place, RENAME_EXCHANGE) < 0 ? -errno : 0;
		if (r == 0)
			r = remove_dir(dir);
	}
	if (r == 0)
		r = sync_path(s->dir);
	if (r < 0)
		return err_sys(e, r, "publish image %s", img.id);
	return load_id(s, img.id, ret_image, e);
}

int image_store_name(const struct image_store *s, const char *name, const char *id, struct err *e)
{
	char path[PATH_MAX], line[IMAGE_ID_LEN + 2];
	int r;

	if (snprintf(path, sizeof(path), "%s/names/%s", s->dir, name) >= (int)sizeof(path) ||
		snprintf(line, sizeof(line), "%s\n", id) >= (int)sizeof(line))
		return err_sys(e, -ENAMETOOLONG, "name image %s '%s'", id, name);
	r = io_replace_file(AT_FDCWD, path, line, strlen(line), 0600);
	return r < 0 ? err_sys(e, r, "name image %s '%s'", id, name) : 0;
}
