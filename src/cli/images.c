#include "cli/images.h"
#include "cli/report.h"
#include "base/name.h"
#include "image/build.h"
#include "image/import.h"
#include "image/store.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static bool interrupted;

static void on_interrupt(int sig)
{
	(void)sig;
	interrupted = true;
}

void images_display_begin(struct images_display *d, bool quiet, const bool **ret_interrupted,
	image_progress_fn *ret_progress, void **ret_ctx)
{
	struct sigaction sa = {.sa_handler = on_interrupt};

	interrupted = false;
	d->quiet = quiet;
	*ret_interrupted = &interrupted;
	*ret_progress = quiet ? NULL : image_progress_show;
	*ret_ctx = &d->progress;
	image_progress_init(&d->progress, STDERR_FILENO);
	(void)sigaction(SIGINT, &sa, &d->old_int);
	(void)sigaction(SIGTERM, &sa, &d->old_term);
}

void images_display_end(struct images_display *d)
{
	(void)sigaction(SIGINT, &d->old_int, NULL);
	(void)sigaction(SIGTERM, &d->old_term, NULL);
	if (!d->quiet)
		image_progress_end(&d->progress);
}

int images_build(const struct paths *p, const char *name, bool force, bool quiet, char ret_id[64],
	bool *ret_built, struct err *e)
{
	struct image_build b = {.paths = p, .name = name, .force = force};
	struct images_display show;
	struct image img;
	int r;

	images_display_begin(&show, quiet, &b.interrupted, &b.progress, &b.ctx);
	r = image_build(&b, &img, ret_built, e);
	images_display_end(&show);
	if (r < 0)
		return err_wrap(e, r, "build the root image");
	(void)snprintf(ret_id, 64, "%s", img.id);
	return 0;
}

/* import_name() - "host/team/tool:1.2@sha256:..." is called "tool-1.2" when nobody says how */
static int import_name(const char *source, char dst[NAME_MAX_LEN + 1], struct err *e)
{
	const char *slash = strrchr(source, '/'), *base = slash ? slash + 1 : source;
	size_t n = strcspn(base, "@");
	int r;

	if (!slash && strchr(base, ':') && strstr(source, "archive:"))
		base = strchr(base, ':') + 1;
	if (n > NAME_MAX_LEN)
		n = NAME_MAX_LEN;
	for (size_t i = 0; i < n; i++)
		dst[i] = base[i] == ':' || base[i] == '_' ? '-' : base[i];
	dst[n] = '\0';
	r = name_check(dst, e);
	if (r < 0)
		err_hint(e, "give it a name: --name NAME");
	return r;
}

/* absolute() - `load FILE` may name a file of this folder without "./" */
static int absolute(const char *source, char dst[PATH_MAX], struct err *e)
{
	struct stat st;

	if (source[0] == '/' || stat(source, &st) < 0)
		return snprintf(dst, PATH_MAX, "%s", source) < PATH_MAX
			       ? 0
			       : err_sys(e, -ENAMETOOLONG, "open '%.100s'", source);
	return realpath(source, dst) ? 0 : err_sys(e, -errno, "open '%.100s'", source);
}

static int import(struct image_import *m, bool quiet, struct image *ret_image, struct err *e)
{
	struct images_display show;
	int r;

	images_display_begin(&show, quiet, &m->interrupted, &m->progress, &m->ctx);
	r = image_import(m, ret_image, e);
	images_display_end(&show);
	return r < 0 ? err_wrap(e, r, "image '%.100s'", m->source) : 0;
}

int images_import(
	const struct paths *p, const struct images_ask *ask, char ret_id[64], struct err *e)
{
	char made_of[NAME_MAX_LEN + 1], source[PATH_MAX];
	struct image_import m = {.paths = p,
		.source = ask->source,
		.name = ask->name,
		.pull = ask->pull,
		.again = ask->again};
	struct image img;
	int r = 0;

	if (ask->name_it && !ask->name) {
		r = import_name(ask->source, made_of, e);
		m.name = made_of;
	}
	if (r == 0 && ask->name_it && !image_ref_is(ask->source)) {
		r = absolute(ask->source, source, e);
		m.source = source;
	}
	if (r == 0 && ask->pull != IMAGE_PULL_NEVER)
		r = images_need_default(p, ask->quiet, e);
	if (r == 0)
		r = import(&m, ask->quiet, &img, e);
	if (r == 0)
		(void)snprintf(ret_id, 64, "%s", img.id);
	return r;
}

int images_need_default(const struct paths *p, bool quiet, struct err *e)
{
	struct image_store store;
	struct image img;
	char id[64];
	int r = image_store_open(p->cache, &store, e);

	if (r < 0)
		return r;
	r = image_store_lookup(&store, IMAGE_DEFAULT, &img, e);
	if (r != -ENOENT)
		return r;
	*e = (struct err){0};
	if (!quiet)
		report_note("there is no root image yet: making it, once");
	return images_build(p, NULL, false, quiet, id, NULL, e);
}
