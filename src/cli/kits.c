#include "cli/kits.h"
#include "cli/report.h"
#include "dist/fetch.h"
#include "dist/ref.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

void kits_at_fini(struct kits_at *k)
{
	free(k->v);
	*k = (struct kits_at){0};
}

void kits_at_auto(struct kits_at *k)
{
	kits_at_fini(k);
}

bool kits_remote(const char *text)
{
	AUTO_FREE struct kit_ref *ref = calloc(1, sizeof(*ref));

	return ref && (strncmp(text, "git+", 4) == 0 || strncmp(text, "oci://", 6) == 0 ||
			      (kit_ref_parse(text, ref, NULL) == 0 && ref->kind == KIT_OCI));
}

void kits_base(const char *text, char *dst, size_t cap)
{
	AUTO_FREE struct kit_ref *ref = calloc(1, sizeof(*ref));
	struct dist_ref oci;
	const char *s = "kit", *slash;
	size_t n;

	if (ref && kit_ref_parse(text, ref, NULL) == 0) {
		if (ref->kind == KIT_GIT)
			s = ref->dir[0] ? ref->dir : ref->path;
		else if (ref->kind == KIT_OCI && dist_ref_parse(text, &oci, NULL) == 0)
			s = oci.repository;
	}
	slash = strrchr(s, '/');
	s = slash && slash[1] ? slash + 1 : s;
	n = strlen(s);
	if (n > 4 && strcmp(s + n - 4, ".git") == 0)
		n -= 4;
	(void)snprintf(dst, cap, "%.*s", (int)n, s);
}

static int fetch_one(const char *text, const struct paths *p, const struct dist_rules *rules,
	bool quiet, struct kit_place_at *at, struct err *e)
{
	AUTO_FREE struct dist_fetched *got = calloc(1, sizeof(*got));
	int r = got ? dist_fetch(text, p, rules, got, e) : err_sys(e, -ENOMEM, "fetch a kit");

	if (r < 0)
		return r;
	if (!quiet && !got->cached)
		report_note("kit %s", got->origin);
	(void)snprintf(at->path, sizeof(at->path), "%s", got->path);
	(void)snprintf(at->origin, sizeof(at->origin), "%s", got->origin);
	return 0;
}

/* local() - made absolute; what is no path stays a name, or what it is: the daemon says what is wrong with it */
static int local(const char *text, struct kit_place_at *at, struct err *e)
{
	AUTO_FREE struct kit_ref *ref = calloc(1, sizeof(*ref));
	struct err ignored = {0};

	if (!ref)
		return err_sys(e, -ENOMEM, "read a kit's name");
	if (strlen(text) >= sizeof(at->path))
		return err_set(e, ERR_INVALID, -EINVAL, "'%.200s' is no kit: it is too long", text);
	if (kit_ref_parse(text, ref, &ignored) == 0 &&
		(ref->kind == KIT_DIRECTORY || ref->kind == KIT_ZIP)) {
		if (!realpath(text, at->path))
			return err_sys(e, -errno, "open kit '%.200s'", text);
		return 0;
	}
	(void)snprintf(at->path, sizeof(at->path), "%s", text);
	return 0;
}

int kits_find(const char *const *refs, size_t n, const struct paths *p, bool quiet,
	struct kits_at *ret, struct err *e)
{
	AUTO(kits_at) k = {.v = calloc(n + 1, sizeof(*k.v)), .n = n};
	AUTO(dist_rules) rules = {0};
	bool loaded = false;
	int r = k.v ? 0 : err_sys(e, -ENOMEM, "read the names of kits");

	for (size_t i = 0; r == 0 && i < n; i++) {
		if (!kits_remote(refs[i])) {
			r = local(refs[i], &k.v[i], e);
			continue;
		}
		r = loaded ? 0 : dist_rules_load(p, &rules, e);
		loaded = true;
		if (r == 0)
			r = fetch_one(refs[i], p, &rules, quiet, &k.v[i], e);
	}
	if (r < 0)
		return r;
	*ret = k;
	k.v = NULL;
	return 0;
}
