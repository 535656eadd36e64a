/* sbx image ls|build|load|pull|rm; save is in template.c */
#include "base/escape.h"
#include "base/name.h"
#include "cli/box.h"
#include "cli/image_verbs.h"
#include "cli/images.h"
#include "cli/report.h"
#include "cli/verb.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

static void print_images(const struct js *list, bool quiet)
{
	char name[512], id[512], created[512], format[128];

	if (!quiet)
		printf("%-20s %-18s %-10s %9s  %s\n", "IMAGE", "ID", "FORMAT", "SIZE", "CREATED");
	for (size_t i = 0; i < js_len(list); i++) {
		const struct js *v = js_at(list, i);

		(void)escape_str(name, sizeof(name),
			box_str(v, box_str(v, "name")[0] ? "name" : "reference"));
		(void)escape_str(id, sizeof(id), box_str(v, "id"));
		if (quiet) {
			puts(id);
			continue;
		}
		printf("%-20s %-18s %-10s %5.0f MiB  %s\n", name[0] ? name : "-", id,
			escape_str(format, sizeof(format), box_str(v, "format")),
			(double)js_int(js_get(v, "bytes"), 0) / (1 << 20),
			escape_str(created, sizeof(created), box_str(v, "created_at")));
	}
}

int image_verb_ls(int argc, char **argv)
{
	static const struct plain_form form = {
		.options = OPT_JSON | OPT_QUIET, .words = "", .doc = "List root images."};
	AUTO(plain_args) a = {0};
	AUTO(api) api = {0};
	AUTO_JS all = NULL;
	struct err e = {0};
	int r = verb_plain(argc, argv, &form, &a);

	if (r)
		return r;
	if (api_open(&api, API_START, &e) < 0 ||
		api_call(&api, "GET", "/v1/images", NULL, API_CALL_MS, &all, &e) < 0)
		return report_err(&e, CLI_FAIL);
	if (!(a.given & OPT_JSON))
		print_images(js_get(all, "images"), a.given & OPT_QUIET);
	else if (box_print(all, &e) < 0)
		return report_err(&e, CLI_FAIL);
	return report_flush();
}

/* find_ref() - an image's name or id becomes part of a URL; a reference is looked up for that */
static int find_ref(
	const struct paths *p, const char *ref, char ret[NAME_MAX_LEN + 1], struct err *e)
{
	struct image_store store;
	struct image img;
	int r;

	if (image_ref_is(ref)) {
		r = image_store_open(p->cache, &store, e);
		if (r == 0)
			r = image_store_lookup(&store, ref, &img, e);
		if (r < 0)
			return r;
		ref = img.id;
	} else if (name_check(ref, e) < 0) {
		return err_set(e, ERR_INVALID, -EINVAL,
			"'%.80s' is no name, id or reference of an image", ref);
	}
	(void)snprintf(ret, NAME_MAX_LEN + 1, "%s", ref);
	return 0;
}

int image_verb_rm(int argc, char **argv)
{
	static const struct plain_form form = {.options = OPT_JSON,
		.min_words = 1,
		.max_words = 64,
		.words = "IMAGE...",
		.doc = "Remove root images, by name, id or reference. One that a sandbox needs is "
		       "kept."};
	AUTO(plain_args) a = {0};
	AUTO(api) api = {0};
	struct err e = {0};
	int status = verb_plain(argc, argv, &form, &a);

	if (status)
		return status;
	if (api_open(&api, API_START, &e) < 0)
		return report_err(&e, CLI_FAIL);
	for (size_t i = 0; i < a.n_words; i++) {
		char target[API_TARGET_MAX], id[NAME_MAX_LEN + 1] = "";
		int r = find_ref(&api.paths, a.words[i], id, &e);

		(void)snprintf(target, sizeof(target), "/v1/images/%s", id);
		if (r == 0)
			r = api_call(&api, "DELETE", target, NULL, API_REMOVE_MS, NULL, &e);
		if (r < 0) {
			(void)err_wrap(&e, r, "remove image '%.100s'", a.words[i]);
			status = report_err(&e, CLI_FAIL);
		}
		e = (struct err){0};
	}
	return status;
}

static int image_build_verb(int argc, char **argv)
{
	static const struct plain_form form = {
		.options = OPT_JSON | OPT_QUIET | OPT_FORCE | OPT_NAME,
		.words = "",
		.doc = "Make the root image from Debian packages. With --force even when it is "
		       "there."};
	AUTO(plain_args) a = {0};
	struct paths p;
	struct err e = {0};
	char id[64] = "";
	bool built = false;
	int r = verb_plain(argc, argv, &form, &a);

	if (r)
		return r;
	r = paths_find(&p, &e);
	if (r == 0)
		r = images_build(&p, a.name, a.given & OPT_FORCE, a.given & (OPT_QUIET | OPT_JSON),
			id, &built, &e);
	if (r < 0)
		return report_err(&e, r == -EINTR ? 130 : CLI_FAIL);
	if (a.given & OPT_JSON) {
		AUTO_JS o = js_object();

		if (js_set_str(o, "id", id) || js_set_bool(o, "built", built) ||
			box_print(o, &e) < 0)
			return report_err(&e, CLI_FAIL);
		return report_flush();
	}
	if (!built && !(a.given & OPT_QUIET))
		report_note("the image is there already");
	puts(id);
	return report_flush();
}

static int import_verb(
	int argc, char **argv, struct images_ask ask, const char *words, const char *doc)
{
	const struct plain_form form = {.options = OPT_JSON | OPT_QUIET | OPT_NAME,
		.min_words = 1,
		.max_words = 1,
		.words = words,
		.doc = doc};
	AUTO(plain_args) a = {0};
	struct paths p;
	struct err e = {0};
	char id[64] = "";
	int r = verb_plain(argc, argv, &form, &a);

	if (r)
		return r;
	ask.source = a.words[0];
	ask.name = a.name;
	ask.quiet = a.given & (OPT_QUIET | OPT_JSON);
	r = paths_find(&p, &e);
	if (r == 0)
		r = images_import(&p, &ask, id, &e);
	if (r < 0)
		return report_err(&e, r == -EINTR ? 130 : CLI_FAIL);
	if (a.given & OPT_JSON) {
		AUTO_JS o = js_object();

		if (js_set_str(o, "id", id) || box_print(o, &e) < 0)
			return report_err(&e, CLI_FAIL);
		return report_flush();
	}
	puts(id);
	return report_flush();
}

int image_verb_load(int argc, char **argv)
{
	const struct images_ask ask = {.pull = IMAGE_PULL_ALWAYS, .name_it = true, .again = true};

	return import_verb(argc, argv, ask, "PATH",
		"Make a root image of an OCI layout (a directory) or of an archive (docker save). "
		"Nothing of it is extracted on this host: a jailed process turns its layers into "
		"one "
		"file system.");
}

static int image_pull_verb(int argc, char **argv)
{
	const struct images_ask ask = {.pull = IMAGE_PULL_ALWAYS, .name_it = true};

	return import_verb(argc, argv, ask, "REFERENCE",
		"Make a root image of one that skopeo fetches: 'docker.io/library/debian:12', "
		"'host/team/name@sha256:...', "
		"'docker-daemon:name:tag'. Credentials are those of `skopeo login` or `docker "
		"login`.");
}

int verb_image(int argc, char **argv)
{
	static const struct verb subs[] = {
		{"ls", image_verb_ls, "list root images"},
		{"build", image_build_verb, "make the default one"},
		{"load", image_verb_load, "make one of an OCI layout or an archive"},
		{"pull", image_pull_verb, "make one of an image in a registry"},
		{"save", image_verb_save, "write one into an archive"},
		{"rm", image_verb_rm, "remove some"},
	};

	return verb_sub(subs, ARRAY_LEN(subs), argc, argv);
}
