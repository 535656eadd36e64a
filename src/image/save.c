/* An image of the store as an archive: its files as one layer, read by the jailed worker or, of an image that we built,
 * by sqfs2tar.
 */
#include "image/layout.h"
#include "image/internal.h"
#include "image/worker_spawn.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

static void say(const struct layout_save *s, unsigned percent, const char *text)
{
	if (s->progress)
		s->progress(s->ctx, percent, text);
}

static int export(
	const struct paths *p, int root, int layer, const struct layout_save *s, struct err *e)
{
	char program[PATH_MAX];
	const struct worker_job job = {.program = program,
		.layout_fd = layer,
		.image_fd = root,
		.export = true,
		.interrupted = s->interrupted};
	AUTO_JS result = NULL;

	if (paths_join(program, p->libexec, "sbx-image") < 0)
		return err_sys(e, -ENAMETOOLONG, "find sbx-image");
	return worker_do(&job, &result, e);
}

static int unsquash(const char *root, int layer, struct err *e)
{
	pid_t pid = fork();
	int status;

	if (pid < 0)
		return err_sys(e, -errno, "start sqfs2tar");
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (dup2(layer, 1) >= 0)
			(void)execlp("sqfs2tar", "sqfs2tar", "--", root, (char *)NULL);
		_exit(errno == ENOENT ? 127 : 126);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return err_sys(e, -errno, "wait for sqfs2tar");
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127) {
		(void)err_set(e, ERR_UNAVAILABLE, -ENOENT, "the program sqfs2tar is missing");
		err_hint(e, "install the package squashfs-tools-ng");
		return -ENOENT;
	}
	return err_set(e, ERR_UNAVAILABLE, -EIO, "sqfs2tar could not read the image");
}

int image_layer(const struct paths *p, const struct image *img, int layer,
	const struct layout_save *s, struct err *e)
{
	AUTO_FD root = image_open_root(img, e);

	if (root < 0)
		return TAKE_FD(root);
	return strcmp(img->format, "erofs") == 0 ? export(p, root, layer, s, e)
						 : unsquash(img->root, layer, e);
}

int image_save(
	const struct paths *p, const struct image *img, const struct layout_save *s, struct err *e)
{
	AUTO_JS meta = NULL;
	struct layout l = {0};
	int r = image_meta(img, &meta, e);

	if (r == 0)
		r = layout_new(p, &l, e);
	if (r == 0) {
		say(s, 10, "reading the image");
		r = image_layer(p, img, l.layer, s, e);
	}
	if (r == 0)
		r = layout_end(&l, js_get(meta, "run"), img->name[0] ? img->name : NULL, NULL, e);
	if (r == 0) {
		say(s, 50, "writing the archive");
		r = layout_archive(&l, s, e);
	}
	layout_fini(&l);
	return r;
}
