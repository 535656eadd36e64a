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

static bool interrupted;

static void on_interrupt(int sig)
{
	(void)sig;
	interrupted = true;
}

int images_build(const struct paths *p, const char *name, bool force, bool quiet, char ret_id[64],
	bool *ret_built, struct err *e)
{
	struct sigaction sa = {.sa_handler = on_interrupt}, old_int, old_term;
	struct image_progress progress;
	struct image_build b = {.paths = p,
		.name = name,
		.force = force,
		.interrupted = &interrupted,
		.progress = quiet ? NULL : image_progress_show,
		.ctx = &progress};
	struct image img;
	int r;

	interrupted = false;
	image_progress_init(&progress, STDERR_FILENO);
	(void)sigaction(SIGINT, &sa, &old_int);
	(void)sigaction(SIGTERM, &sa, &old_term);
	r = image_build(&b, &img, ret_built, e);
	(void)sigaction(SIGINT, &old_int, NULL);
	(void)sigaction(SIGTERM, &old_term, NULL);
	if (!quiet)
		image_progress_end(&progress);
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

int images_import(const struct paths *p, const char *source, const char *name, bool quiet,
	char ret_id[64], struct err *e)
{
	struct sigaction sa = {.sa_handler = on_interrupt}, old_int, old_term;
	char made_of[NAME_MAX_LEN + 1];
	struct image_progress progress;
	struct image_import m = {.paths = p,
		.source = source,
		.name = name ? name : made_of,
		.interrupted = &interrupted,
		.progress = quiet ? NULL : image_progress_show,
		.ctx = &progress};
	struct image img;
	int r = name ? 0 : import_name(source, made_of, e);

	if (r < 0)
		return r;
	r = images_need_default(p, quiet, e);
	if (r < 0)
		return r;
	interrupted = false;
	image_progress_init(&progress, STDERR_FILENO);
	(void)sigaction(SIGINT, &sa, &old_int);
	(void)sigaction(SIGTERM, &sa, &old_term);
	r = image_import(&m, &img, e);
	(void)sigaction(SIGINT, &old_int, NULL);
	(void)sigaction(SIGTERM, &old_term, NULL);
	if (!quiet)
		image_progress_end(&progress);
	if (r < 0)
		return err_wrap(e, r, "import '%.100s'", source);
	(void)snprintf(ret_id, 64, "%s", img.id);
	return 0;
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
