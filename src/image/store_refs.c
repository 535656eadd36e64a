/* Which image a reference means: <cache>/images/refs/<key>, one small file each, replaced as a whole. */
#include "base/io.h"
#include "image/internal.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

/* "<id> <digest>\n<name>\n"; the digest is zeros where there is none */
#define RECORD_HEAD (IMAGE_ID_LEN + 1 + DIGEST_HEX_LEN + 1)
#define RECORD_MAX  (RECORD_HEAD + IMAGE_REF_MAX + 1)

static bool is_key(const char *s)
{
	return strlen(s) == DIGEST_HEX_LEN && strspn(s, "0123456789abcdef") == DIGEST_HEX_LEN;
}

static bool read_record(const struct image_store *s, const char *key, struct image_reference *ret)
{
	struct image_reference got;
	char path[PATH_MAX];
	AUTO(buf) text;
	size_t name;

	buf_init(&text, RECORD_MAX);
	if (snprintf(path, sizeof(path), "%s/refs/%s", s->dir, key) >= (int)sizeof(path) ||
		io_read_file(AT_FDCWD, path, &text) < 0 || text.len <= RECORD_HEAD ||
		text.data[IMAGE_ID_LEN] != ' ' || text.data[RECORD_HEAD - 1] != '\n' ||
		text.data[text.len - 1] != '\n')
		return false;
	name = text.len - RECORD_HEAD - 1;
	memcpy(got.id, text.data, IMAGE_ID_LEN);
	got.id[IMAGE_ID_LEN] = '\0';
	memcpy(got.digest, text.data + IMAGE_ID_LEN + 1, DIGEST_HEX_LEN);
	got.digest[DIGEST_HEX_LEN] = '\0';
	memcpy(got.name, text.data + RECORD_HEAD, name);
	got.name[name] = '\0';
	if (!image_id_ok(got.id) || !is_key(got.digest) || strlen(got.name) != name ||
		strchr(got.name, '\n'))
		return false;
	*ret = got;
	return true;
}

int image_store_refer(const struct image_store *s, const struct image_ref *ref, const char *id,
	const char *digest, struct err *e)
{
	char path[PATH_MAX], text[RECORD_MAX + 1];
	int n, r;

	if (snprintf(path, sizeof(path), "%s/refs", s->dir) >= (int)sizeof(path))
		return err_sys(e, -ENAMETOOLONG, "write down a reference");
	r = paths_mkdir(path, e);
	if (r < 0)
		return r;
	n = snprintf(text, sizeof(text), "%s %064d\n%s\n", id, 0, ref->name);
	if (digest[0])
		memcpy(text + IMAGE_ID_LEN + 1, digest, DIGEST_HEX_LEN);
	if (snprintf(path, sizeof(path), "%s/refs/%s", s->dir, ref->key) >= (int)sizeof(path))
		return err_sys(e, -ENAMETOOLONG, "write down a reference");
	r = io_replace_file(AT_FDCWD, path, text, (size_t)n, 0600);
	return r < 0 ? err_sys(e, r, "write down that '%s' is image %s", ref->name, id) : 0;
}

bool image_store_referred(
	const struct image_store *s, const struct image_ref *ref, struct image_reference *ret)
{
	return read_record(s, ref->key, ret);
}

/* each_of() - @what for every record that means image @id; true ends it */
static void each_of(const struct image_store *s, const char *id,
	bool (*what)(void *ctx, DIR *dir, const char *key, const struct image_reference *r),
	void *ctx)
{
	struct image_reference r;
	char path[PATH_MAX];
	struct dirent *d;
	DIR *dir = paths_join(path, s->dir, "refs") < 0 ? NULL : opendir(path);

	while (dir && (d = readdir(dir)))
		if (is_key(d->d_name) && read_record(s, d->d_name, &r) && strcmp(r.id, id) == 0 &&
			what(ctx, dir, d->d_name, &r))
			break;
	if (dir)
		(void)closedir(dir);
}

static bool drop(void *ctx, DIR *dir, const char *key, const struct image_reference *r)
{
	(void)ctx;
	(void)r;
	(void)unlinkat(dirfd(dir), key, 0);
	return false;
}

void image_store_unrefer(const struct image_store *s, const char *id)
{
	each_of(s, id, drop, NULL);
}

/* smallest() - of several names the first in order: always the same */
static bool smallest(void *ctx, DIR *dir, const char *key, const struct image_reference *r)
{
	struct image *img = ctx;

	(void)dir;
	(void)key;
	if (r->name[0] && (!img->reference[0] || strcmp(r->name, img->reference) < 0))
		image_set_reference(img, r);
	return false;
}

void image_set_reference(struct image *img, const struct image_reference *r)
{
	bool pinned = strspn(r->digest, "0") == DIGEST_HEX_LEN;

	memcpy(img->reference, r->name, strlen(r->name) + 1);
	(void)snprintf(img->pin, sizeof(img->pin), "%s", pinned ? "" : r->digest);
}

void image_find_reference(const struct image_store *s, struct image *img)
{
	img->reference[0] = img->pin[0] = '\0';
	each_of(s, img->id, smallest, img);
}
