#include "dist/admit.h"
#include "dist/cache.h"
#include "kit/zip.h"
#include "base/io.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* path_of() - of the directory or ZIP: what stands before "/spec.yaml" in the name of its spec */
static int path_of(const struct kit_source *src, char dst[PATH_MAX])
{
	const char *slash = strrchr(src->file, '/');

	if (!slash ||
		snprintf(dst, PATH_MAX, "%.*s", (int)(slash - src->file), src->file) >= PATH_MAX)
		return -EINVAL;
	return 0;
}

int dist_proof_find(const struct kit_source *src, struct buf *out, struct err *e)
{
	char path[PATH_MAX], at[PATH_MAX + 32];
	AUTO_FD fd = -1;
	struct stat st;
	int r;

	if (src->kind == KIT_GIT) {
		if (src->bundle.len == 0)
			return -ENOENT;
		r = buf_add(out, src->bundle.data, src->bundle.len);
		return r < 0 ? err_sys(e, r, "read a signature") : 0;
	}
	r = path_of(src, path);
	if (r < 0)
		return err_sys(e, r, "find the signature of a kit");
	(void)snprintf(
		at, sizeof(at), "%s%s", path, src->kind == KIT_ZIP ? CACHE_PROOF : "/" KIT_BUNDLE);
	fd = open(at, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return -ENOENT;
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, -errno, "open '%.200s'", at);
	r = S_ISREG(st.st_mode) ? io_read_fd(fd, out) : -EINVAL;
	return r < 0 ? err_sys(e, r, "read '%.200s'", at) : 0;
}

int dist_verify(const struct kit_source *src, const struct dist_signers *signers,
	char ret_hint[DIST_HINT_MAX], struct err *e)
{
	AUTO(buf) proof, zip;
	int r;

	buf_init(&proof, DIST_PROOF_MAX);
	buf_init(&zip, KIT_ZIP_MAX);
	r = dist_proof_find(src, &proof, e);
	if (r == -ENOENT)
		return err_set(e, ERR_DENIED, -EACCES, "the kit is not signed");
	if (r < 0)
		return r;
	if (kit_zip_write(&src->tree, &zip) < 0)
		return err_set(e, ERR_LIMIT, -EFBIG, "the kit is too large to be signed");
	return dist_proof_check(
		buf_str(&proof), proof.len, zip.data, zip.len, signers, ret_hint, e);
}

int dist_admit_origin(const struct dist_rules *rules, const char *origin, struct err *e)
{
	AUTO_FREE struct kit_ref *ref = calloc(1, sizeof(*ref));
	struct dist_ref oci;
	char place[DIST_PLACE_MAX];
	int r = ref ? kit_ref_parse(origin, ref, e) : -ENOMEM;

	if (r == 0 && ref->kind == KIT_GIT) {
		r = dist_place_git(ref->path, place, e);
		/* what cannot be compared is allowed only where nothing is compared */
		if (r < 0 && dist_places_allow(rules->sources, "?", NULL) == 0)
			return 0;
	} else if (r == 0 && ref->kind == KIT_OCI) {
		r = dist_ref_parse(origin, &oci, e);
		if (r == 0)
			r = dist_place_ref(&oci, place, e);
	} else if (r == 0) {
		return rules->allow_local || ref->kind == KIT_BUILTIN
			       ? 0
			       : err_set(e, ERR_DENIED, -EACCES,
					 "kits from directories and ZIP files are not allowed "
					 "(the setting " DIST_SETTING_LOCAL ")");
	}
	return r < 0 ? r : dist_places_allow(rules->sources, place, e);
}

/* is_from() - who says where a kit is from is believed as far as the path, or the cache, says so, too */
static bool is_from(const struct kit_source *src, const char *cache)
{
	AUTO_FREE char *real = NULL;
	char path[PATH_MAX];

	if (path_of(src, path) < 0)
		return false;
	if (src->origin[0] != '/')
		return src->kind == KIT_ZIP && dist_cache_holds(cache, src->origin, path);
	real = realpath(path, NULL);
	return real && strcmp(real, src->origin) == 0;
}

int dist_admit(const struct dist_rules *rules, const struct kit_source *src, const char *cache,
	struct err *e)
{
	char hint[DIST_HINT_MAX];
	int r;

	if (src->kind == KIT_BUILTIN)
		return 0;
	r = dist_admit_origin(rules, src->origin, e);
	if (r == 0 && !is_from(src, cache))
		r = err_set(
			e, ERR_DENIED, -EACCES, "'%.200s' is not what came from there", src->file);
	if (r == 0 && rules->require_signature) {
		r = dist_verify(src, &rules->signers, hint, e);
		if (r < 0)
			err_hint(e, "the setting " DIST_SETTING_REQUIRE
				    " is true; keys that are trusted: " DIST_SETTING_SIGNERS);
	}
	return r < 0 ? err_wrap(e, r, "kit '%.200s'", src->origin) : 0;
}
