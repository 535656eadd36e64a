#include "image/build.h"
#include "image/internal.h"
#include "base/clock.h"
#include "base/io.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define PROGRESS_FD    3
#define PROGRESS_MAX   65536 /* bytes of progress lines that are waiting for a newline */
#define BUILD_GRACE_MS 10000 /* for the script to take its mounts down */
#define BUILD_LIMIT_MS (60 * 60 * 1000)
#define BUILD_TAIL     4096
#define BUILD_WORK     ".build"
#define FOLLOW_CHUNK   4096

struct build {
	const struct image_build *ask;
	const struct image_store *store;
	char script[PATH_MAX], work[PATH_MAX], cache[PATH_MAX], log[PATH_MAX];
	char id[IMAGE_ID_LEN + 1]; /* what the script said at its end */
	bool exists;
	pid_t pid;
};

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *where)
{
	(void)st;
	(void)type;
	(void)where;
	return remove(path) < 0 && errno != ENOENT ? -1 : 0;
}

/* remove_tree() - the script's own directory; links are not followed, mounts not entered */
void image_remove_tree(const char *dir)
{
	(void)nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

/* A build or removal that was killed leaves a directory with a dot; we hold the lock, so it is dead. */
void image_remove_leftovers(const struct image_store *s, const char *keep)
{
	char path[PATH_MAX];
	struct dirent *d;
	DIR *dir = opendir(s->dir);

	while (dir && (d = readdir(dir)))
		if ((strncmp(d->d_name, BUILD_WORK, strlen(BUILD_WORK)) == 0 ||
			    strncmp(d->d_name, IMPORT_WORK, strlen(IMPORT_WORK)) == 0 ||
			    strncmp(d->d_name, IMPORT_FETCH, strlen(IMPORT_FETCH)) == 0 ||
			    strncmp(d->d_name, ".gone-", 6) == 0) &&
			(!keep || strcmp(d->d_name, keep) != 0) &&
			paths_join(path, s->dir, d->d_name) == 0)
			image_remove_tree(path);
	if (dir)
		(void)closedir(dir);
}

bool image_stop_wanted(const bool *interrupted)
{
	return interrupted && *(const volatile bool *)interrupted;
}

static int find_script(struct build *b, struct err *e)
{
	const struct paths *p = b->ask->paths;
	int r;

	if (paths_join(b->script, p->libexec, "image-build") == 0 && access(b->script, X_OK) == 0)
		return 0;
	if (paths_join(b->script, p->data, "scripts/image-build") == 0 &&
		access(b->script, X_OK) == 0)
		return 0;
	r = err_set(e, ERR_UNAVAILABLE, -ENOENT, "the program image-build is missing in '%s'",
		p->libexec);
	err_hint(e, "the installation is incomplete: install sbx again");
	return r;
}

/* one_line() - "PROGRESS n text", "EXISTS id", "DONE id"; anything else is a fault of the script */
static int one_line(struct build *b, char *line)
{
	unsigned percent;
	int at = 0;

	if (sscanf(line, "PROGRESS %3u %n", &percent, &at) == 1 && at > 0) {
		if (b->ask->progress)
			b->ask->progress(b->ask->ctx, percent > 100 ? 100 : percent, line + at);
		return 0;
	}
	b->exists = strncmp(line, "EXISTS ", 7) == 0;
	if ((!b->exists && strncmp(line, "DONE ", 5) != 0) || !image_id_ok(strchr(line, ' ') + 1))
		return -EBADMSG;
	memcpy(b->id, strchr(line, ' ') + 1, IMAGE_ID_LEN + 1);
	return 0;
}

static int on_line(void *ctx, char *line, size_t len)
{
	(void)len;
	return one_line(ctx, line);
}

static int take_lines(struct buf *in, image_line_fn line, void *ctx)
{
	char *end;
	int r = 0;

	while (r == 0 && in->len && (end = memchr(in->data, '\n', in->len))) {
		size_t len = (size_t)(end - in->data);

		*end = '\0';
		r = line(ctx, in->data, len);
		buf_eat(in, len + 1);
	}
	return r;
}

int image_follow(int fd, const bool *interrupted, size_t max, image_line_fn line, void *ctx)
{
	int64_t deadline = clock_ms() + BUILD_LIMIT_MS;
	AUTO(buf) in;

	buf_init(&in, max);
	for (;;) {
		/* short waits: a signal between the look and the wait would else be slept over */
		int64_t step = clock_ms() + 200;
		char *room;
		ssize_t n;
		int r;

		if (image_stop_wanted(interrupted))
			return -EINTR;
		if (step > deadline)
			return -ETIMEDOUT;
		r = io_wait(fd, POLLIN, step);
		if (r == -ETIMEDOUT)
			continue;
		if (r == 0)
			r = buf_room(&in, FOLLOW_CHUNK, &room);
		if (r < 0)
			return r;
		n = read(fd, room, FOLLOW_CHUNK);
		if (n <= 0)
			return n < 0 ? -errno : 0;
		buf_grew(&in, (size_t)n);
		r = take_lines(&in, line, ctx);
		if (r < 0)
			return r;
	}
}

/* run_script() - in the child: a process group of its own, so that all of it can be ended */
static NORETURN void run_script(const struct build *b, int log, int progress)
{
	char store[PATH_MAX];
	int null = open("/dev/null", O_RDONLY);

	(void)setpgid(0, 0);
	(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (null < 0 || dup2(null, 0) < 0 || dup2(log, 1) < 0 || dup2(log, 2) < 0 ||
		dup2(progress, PROGRESS_FD) < 0)
		_exit(125);
	if (progress == PROGRESS_FD && io_set_cloexec(PROGRESS_FD, false) < 0)
		_exit(125);
	(void)snprintf(store, sizeof(store), "%s", b->ask->force ? "" : b->store->dir);
	(void)execl(b->script, "image-build", b->work, b->cache, store, (char *)NULL);
	_exit(127);
}

/* reap() - the script's status; when it is to be stopped: asked first, killed after a while */
static int reap(const struct build *b, bool stop)
{
	int64_t deadline = clock_ms() + BUILD_GRACE_MS;
	int status;

	if (stop)
		(void)kill(-b->pid, SIGTERM);
	for (;;) {
		pid_t got = waitpid(b->pid, &status, stop ? WNOHANG : 0);

		if (got == b->pid)
			break;
		if (got < 0 && errno != EINTR)
			return -errno;
		if (got == 0 && clock_ms() >= deadline)
			(void)kill(-b->pid, SIGKILL);
		if (got == 0)
			(void)usleep(20000);
	}
	(void)kill(-b->pid, SIGKILL); /* what is left of the group */
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EIO;
}

/* tell_failure() - the script's own last words: its "image-build: ..." line, else the last line */
static int tell_failure(const struct build *b, int r, struct err *e)
{
	char tail[BUILD_TAIL + 1], *line, *own = NULL, *last = NULL, *save = NULL;
	AUTO_FD fd = open(b->log, O_RDONLY | O_CLOEXEC);
	off_t end = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);
	ssize_t n =
		end < 0 ? -1 : pread(fd, tail, BUILD_TAIL, end > BUILD_TAIL ? end - BUILD_TAIL : 0);

	tail[n > 0 ? n : 0] = '\0';
	for (line = strtok_r(tail, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		last = line;
		if (strncmp(line, "image-build: ", 13) == 0)
			own = line + 13;
	}
	r = err_set(e, ERR_UNAVAILABLE, r, "%s",
		own    ? own
		: last ? last
		       : "the script failed without a word");
	err_hint(e, "its whole output is in %s", b->log);
	return r;
}

static int spawn_and_follow(struct build *b, struct err *e)
{
	int p[2], r, ended;
	AUTO_FD log = open(b->log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (log < 0)
		return err_sys(e, -errno, "write '%s'", b->log);
	if (pipe2(p, O_CLOEXEC) < 0)
		return err_sys(e, -errno, "build the image");
	AUTO_FD from = p[0];
	AUTO_FD to = p[1];
	b->pid = fork();
	if (b->pid < 0)
		return err_sys(e, -errno, "start '%s'", b->script);
	if (b->pid == 0)
		run_script(b, log, to);
	(void)setpgid(b->pid, b->pid); /* both sides set it: whoever comes first */
	own_close_fd(&to);
	r = image_follow(from, b->ask->interrupted, PROGRESS_MAX, on_line, b);
	ended = reap(b, r < 0);
	if (r == -EINTR)
		return err_set(e, ERR_TIMEOUT, r, "interrupted; nothing is left of it");
	if (r == -ETIMEDOUT)
		return err_set(e, ERR_TIMEOUT, r, "not done within an hour");
	if (r < 0 || ended < 0 || b->id[0] == '\0')
		return tell_failure(b, r < 0 ? r : -EIO, e);
	return 0;
}

int image_lock_store(const struct image_store *store, const bool *interrupted,
	image_progress_fn progress, void *ctx, struct err *e)
{
	char path[PATH_MAX];
	AUTO_FD fd = -1;

	if (paths_join(path, store->dir, ".lock") < 0)
		return err_sys(e, -ENAMETOOLONG, "lock the image store");
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_sys(e, -errno, "lock the image store");
	for (bool told = false; flock(fd, LOCK_EX | LOCK_NB) < 0; told = true) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return err_sys(e, -errno, "lock the image store");
		if (image_stop_wanted(interrupted))
			return err_set(e, ERR_TIMEOUT, -EINTR, "interrupted");
		if (!told && progress)
			progress(ctx, 0, "waiting for another build");
		(void)usleep(200000);
	}
	return TAKE_FD(fd);
}

static int build_locked(struct build *b, struct image *ret_image, struct err *e)
{
	const char *name = b->ask->name ? b->ask->name : IMAGE_DEFAULT;
	char dir[PATH_MAX];
	int r;

	image_remove_leftovers(b->store, NULL);
	if (mkdir(b->work, 0755) < 0)
		return err_sys(e, -errno, "make '%s'", b->work);
	r = spawn_and_follow(b, e);
	if (r == 0 && b->exists)
		r = paths_join(dir, b->store->dir, b->id) < 0 ? -ENAMETOOLONG
							      : image_load(dir, ret_image, e);
	else if (r == 0)
		r = image_store_publish(b->store, b->work, ret_image, e);
	if (r == 0 && strcmp(ret_image->id, b->id) != 0)
		r = err_set(
			e, ERR_INTERNAL, -EBADMSG, "the script built another image than it said");
	image_remove_tree(b->work);
	if (r == 0)
		r = image_store_name(b->store, name, b->id, e);
	return r < 0 ? r : image_store_lookup(b->store, b->id, ret_image, e);
}

int image_build(
	const struct image_build *ask, struct image *ret_image, bool *ret_built, struct err *e)
{
	struct image_store store;
	struct build b = {.ask = ask, .store = &store};
	int r;

	if (ask->name && !image_name_ok(ask->name))
		return err_set(
			e, ERR_INVALID, -EINVAL, "'%s' is not a name for an image", ask->name);
	r = image_store_open(ask->paths->cache, &store, e);
	if (r == 0)
		r = find_script(&b, e);
	if (r < 0)
		return r;
	if (snprintf(b.work, sizeof(b.work), "%s/" BUILD_WORK, store.dir) >= (int)sizeof(b.work) ||
		paths_join(b.cache, ask->paths->cache, "build") < 0 ||
		paths_join(b.log, store.dir, "build.log") < 0)
		return err_sys(e, -ENAMETOOLONG, "build the image");
	r = paths_mkdir(b.cache, e);
	if (r < 0)
		return r;
	AUTO_FD lock = image_lock_store(&store, ask->interrupted, ask->progress, ask->ctx, e);
	if (lock < 0)
		return TAKE_FD(lock);
	r = build_locked(&b, ret_image, e);
	if (r == 0 && ret_built)
		*ret_built = !b.exists;
	return r;
}
