#include "image/fetch.h"
#include "base/clock.h"
#include "base/io.h"
#include "image/internal.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define FETCH_LIMIT_MS (60 * 60 * 1000)
#define STALL_MS       (5 * 60 * 1000)
#define LOOK_MS	       500
#define MANIFEST_MAX   (4U << 20)
#define TAIL	       2048
#define HEAD_ARGS      6

struct skopeo {
	const struct image_fetch *f;
	const char *args[6]; /* behind the options that every call has; up to a NULL */
	int out, said; /* memfds: its output, its words */
	int64_t shown_ms, moved_ms;
	uint64_t bytes;
};

static NORETURN void run_skopeo(const struct skopeo *s)
{
	char *argv[HEAD_ARGS + ARRAY_LEN(s->args) + 1] = {
		"skopeo", "--override-os", "linux", "--override-arch", "amd64"};
	int null = open("/dev/null", O_RDONLY);

	(void)setpgid(0, 0);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* it keeps nothing that we would not find */
	for (size_t i = 0; i < ARRAY_LEN(s->args) && s->args[i]; i++) {
		union {
			const char *in;
			char *out;
		} same = {s->args[i]};

		argv[HEAD_ARGS - 1 + i] = same.out;
	}
	/* What it unpacks of an archive lies with us, too, and is removed with it. */
	if (null < 0 || dup2(null, 0) < 0 || dup2(s->out, 1) < 0 || dup2(s->said, 2) < 0 ||
		setenv("TMPDIR", s->f->dir, 1) < 0)
		_exit(125);
	(void)execvp("skopeo", argv);
	_exit(errno == ENOENT ? 127 : 126);
}

static uint64_t counted; /* nftw() has no argument for it; one fetch at a time: the store's lock */

static int count_one(const char *path, const struct stat *st, int type, struct FTW *where)
{
	(void)path;
	(void)where;
	if (type == FTW_F)
		counted += (uint64_t)st->st_size;
	return 0;
}

/* look() - how much has come, for the display and to see that it goes on; false: nothing for too long */
static bool look(struct skopeo *s)
{
	int64_t now = clock_ms();
	char text[80];

	if (now < s->shown_ms + LOOK_MS)
		return true;
	s->shown_ms = now;
	counted = 0;
	(void)nftw(s->f->dir, count_one, 16, FTW_PHYS | FTW_MOUNT);
	if (counted != s->bytes)
		s->moved_ms = now;
	s->bytes = counted;
	(void)snprintf(text, sizeof(text), "%s: %llu MiB",
		s->f->what ? s->f->what : "fetching the image",
		(unsigned long long)(s->bytes >> 20));
	if (s->f->progress)
		s->f->progress(s->f->ctx, s->f->what ? 50 : 0, text);
	return now < s->moved_ms + STALL_MS;
}

/* wait_for() - its status; ended when it takes too long or is not wanted any more */
static int wait_for(struct skopeo *s, pid_t pid)
{
	int64_t deadline = clock_ms() + FETCH_LIMIT_MS;
	int status, why = 0;

	s->moved_ms = clock_ms();
	s->shown_ms = s->moved_ms;
	for (;;) {
		pid_t got = waitpid(pid, &status, WNOHANG);

		if (got == pid)
			break;
		if (got < 0 && errno != EINTR)
			return -errno;
		if (!why && image_stop_wanted(s->f->interrupted))
			why = -EINTR;
		if (!why && (clock_ms() > deadline || !look(s)))
			why = -ETIMEDOUT;
		if (why)
			(void)kill(-pid, SIGKILL);
		(void)poll(NULL, 0, 50);
	}
	(void)kill(-pid, SIGKILL);
	return why ? why : WIFEXITED(status) ? WEXITSTATUS(status) : -EIO;
}

/* tell() - skopeo's last line says what was wrong */
static int tell(const struct skopeo *s, struct err *e)
{
	char text[TAIL + 1], *line = text, *end;
	off_t size = lseek(s->said, 0, SEEK_END);
	ssize_t n = pread(s->said, text, TAIL, size > TAIL ? size - TAIL : 0);
	bool full;

	text[n > 0 ? n : 0] = '\0';
	full = strstr(text, "no space left on device") != NULL;
	while ((end = strchr(line, '\n')) && end[1])
		line = end + 1;
	if (end)
		*end = '\0';
	end = strstr(line, "msg=\"");
	return err_set(e, full ? ERR_LIMIT : ERR_UNAVAILABLE, full ? -ENOSPC : -EIO,
		"skopeo could not fetch '%.100s': %.300s", s->f->source,
		end	? end + strlen("msg=\"")
		: *line ? line
			: "it said nothing");
}

static int outcome(const struct skopeo *s, int r, struct err *e)
{
	if (r == 127) {
		r = err_set(e, ERR_UNAVAILABLE, -ENOENT,
			"skopeo is missing: it fetches images from archives and registries");
		err_hint(e, "install the package skopeo");
		return r;
	}
	if (r == -EINTR)
		return err_set(e, ERR_TIMEOUT, r,
			"interrupted; what was loaded whole is kept for the next try");
	if (r == -ETIMEDOUT)
		return err_set(e, ERR_TIMEOUT, r,
			"not done within an hour, or five minutes without a byte");
	return r == 0 ? 0 : tell(s, e);
}

/* skopeo() - one call of it, to its end; its output (may be NULL) within @ret_out's maximum */
static int skopeo(struct skopeo *s, struct buf *ret_out, struct err *e)
{
	AUTO_FD out = memfd_create("skopeo", MFD_CLOEXEC);
	AUTO_FD said = memfd_create("skopeo", MFD_CLOEXEC);
	pid_t pid;
	int r;

	if (out < 0 || said < 0)
		return err_sys(e, -errno, "start skopeo");
	s->out = out;
	s->said = said;
	pid = fork();
	if (pid < 0)
		return err_sys(e, -errno, "start skopeo");
	if (pid == 0)
		run_skopeo(s);
	(void)setpgid(pid, pid);
	r = outcome(s, wait_for(s, pid), e);
	if (r < 0 || !ret_out)
		return r;
	r = lseek(out, 0, SEEK_SET) < 0 ? -errno : io_read_fd(out, ret_out);
	return r < 0 ? err_sys(e, r, "read what skopeo said") : 0;
}

int image_fetch_digest(const struct image_fetch *f, char ret_hex[DIGEST_HEX_LEN + 1], struct err *e)
{
	struct skopeo s = {.f = f, .args = {"inspect", "--raw", "--", f->source}};
	AUTO(buf) text;
	int r;

	buf_init(&text, MANIFEST_MAX);
	r = skopeo(&s, &text, e);
	if (r < 0)
		return r;
	return text.len && digest_of(text.data, text.len, ret_hex)
		       ? 0
		       : err_set(e, ERR_UNAVAILABLE, -EIO, "the registry sent an empty manifest");
}

int image_fetch_drop_pieces(const char *layout, struct err *e)
{
	char path[PATH_MAX], entry[PATH_MAX + 257];
	struct dirent *d;
	DIR *dir;

	if (paths_join(path, layout, "blobs/sha256") < 0)
		return err_sys(e, -ENAMETOOLONG, "fetch the image");
	dir = opendir(path);
	while (dir && (d = readdir(dir)))
		if (d->d_name[0] != '.' && strlen(d->d_name) != DIGEST_HEX_LEN)
			(void)unlinkat(dirfd(dir), d->d_name, 0);
	if (dir)
		(void)closedir(dir);
	dir = opendir(layout);
	while (dir && (d = readdir(dir)))
		if (d->d_name[0] != '.' && strcmp(d->d_name, "blobs") != 0 &&
			snprintf(entry, sizeof(entry), "%s/%s", layout, d->d_name) > 0)
			image_remove_tree(entry);
	if (dir)
		(void)closedir(dir);
	return 0;
}

int image_fetch(const struct image_fetch *f, struct err *e)
{
	char to[PATH_MAX + 32];
	struct skopeo s = {.f = f, .args = {"copy", "--quiet", "--", f->source, to}};

	if (snprintf(to, sizeof(to), "oci:%s/layout:image", f->dir) >= (int)sizeof(to))
		return err_sys(e, -ENAMETOOLONG, "fetch the image");
	return skopeo(&s, NULL, e);
}

int image_fetch_copy(const struct image_fetch *f, const char *layout, struct err *e)
{
	char from[PATH_MAX + 32];
	struct skopeo s = {.f = f, .args = {"copy", "--quiet", "--", from, f->source}};

	if (snprintf(from, sizeof(from), "oci:%s", layout) >= (int)sizeof(from))
		return err_sys(e, -ENAMETOOLONG, "write the image");
	return skopeo(&s, NULL, e);
}
