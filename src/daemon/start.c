#include "daemon/agent.h"
#include "daemon/boot.h"
#include "daemon/files.h"
#include "daemon/ports.h"
#include "daemon/kit_add.h"
#include "daemon/provision.h"
#include "daemon/proc.h"
#include "daemon/watch.h"
#include "base/clock.h"
#include "base/escape.h"
#include "base/io.h"
#include "base/log.h"
#include "daemon/child.h"
#include "image/initrd.h"
#include "machine/spawn.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>

/* A start: status "starting" → open everything → spawn → link → boot stream →
 * what a first start has to do (provision.c) → "running" → startup commands. Whatever fails ends the machine (if there is one), and the watcher settles the status
 * with the reason; only then the caller is told.
 */

#define CONNECT_MS	   10000
#define WORDS_MS	   500
#define AGAIN_MS	   15000 /* what a second try must have left */
#define BOOT_TRIES	   5 /* boot streams of one guest */
#define MACHINE_OPEN_FILES 65536

/* Whoever waits for a start waits longer than it can take, with the ends before and after it. What a
 * first start has to do beside (provision.h) is told to those who wait: see start_wait_turn(), sandbox_begin().
 */
static_assert(SANDBOX_BUSY_MS > SANDBOX_START_MS + 2 * (WATCH_GIVE_UP_MS + 2000),
	"a start may outlast those who wait for it");

struct starting {
	struct sandbox *s;
	sandbox_step_fn step;
	void *ctx;
	int64_t deadline;
	bool booting, came_up; /* the guest was started; its agent was heard of */
	int dir, log;
	struct machine_plan m; /* with descriptors that are ours to close */
	int provided; /* of provision(): negative when that is what failed */
};

/* tell() - whoever asked for the start, and those who wait for it */
static void tell(void *ctx, const char *text)
{
	struct starting *st = ctx;
	struct sandbox *s = st->s;

	(void)pthread_mutex_lock(&s->lock);
	(void)snprintf(s->progress, sizeof(s->progress), "%s", text);
	s->progress_seq++;
	(void)pthread_cond_broadcast(&s->changed);
	(void)pthread_mutex_unlock(&s->lock);
	if (st->step)
		st->step(st->ctx, text);
}

static void starting_init(struct starting *st)
{
	st->dir = st->log = -1;
	st->m.dir_fd = st->m.lock_fd = st->m.kernel_fd = st->m.initrd_fd = -1;
	st->m.root_fd = st->m.scratch_fd = st->m.console_fd = -1;
}

static void starting_fini(struct starting *st)
{
	own_close_fd(&st->log);
	own_close_fd(&st->dir);
	own_close_fd(&st->m.lock_fd);
	own_close_fd(&st->m.kernel_fd);
	own_close_fd(&st->m.initrd_fd);
	own_close_fd(&st->m.root_fd);
	own_close_fd(&st->m.scratch_fd);
	own_close_fd(&st->m.console_fd);
	for (size_t i = 0; i < st->m.n_exports; i++)
		own_close_fd(&st->m.exports[i].fd);
}

static int open_in(struct starting *st, const char *name, int flags, struct err *e)
{
	int fd = openat(st->dir, name, flags | O_CLOEXEC | O_NOFOLLOW, 0600);

	return fd < 0 ? err_sys(e, -errno, "open '%s'", name) : fd;
}

static int open_own_files(struct starting *st, struct err *e)
{
	struct stat sb;
	int r;

	st->dir = sandbox_dir(st->s, e);
	if (st->dir < 0)
		return st->dir;
	st->m.dir_fd = st->dir;
	st->m.lock_fd = open_in(st, FILE_LOCK, O_RDONLY | O_CREAT, e);
	if (st->m.lock_fd < 0)
		return st->m.lock_fd;
	if (flock(st->m.lock_fd, LOCK_EX | LOCK_NB) < 0)
		return err_set(e, ERR_CONFLICT, -EBUSY,
			"processes of an earlier run of this sandbox are still alive");
	(void)unlinkat(st->dir, MACHINE_EXIT_FILE, 0);
	(void)unlinkat(st->dir, LINK_SOCKET, 0);
	r = provision_begin(st->s, st->dir, e);
	if (r < 0)
		return r;
	st->m.scratch_fd = open_in(st, FILE_SCRATCH, O_RDWR, e);
	if (st->m.scratch_fd < 0)
		return st->m.scratch_fd;
	if (fstat(st->m.scratch_fd, &sb) < 0 || (uint64_t)sb.st_size != st->s->plan->disk_bytes)
		return err_set(e, ERR_INTERNAL, -EBADMSG, "the scratch disk has a wrong size");
	st->m.console_fd = open_in(st, FILE_CONSOLE, O_RDWR | O_CREAT | O_TRUNC, e);
	return st->m.console_fd < 0 ? st->m.console_fd : 0;
}

static int open_image(struct starting *st, struct err *e)
{
	const struct daemon *d = st->s->d;
	const struct plan *p = st->s->plan;
	AUTO_FREE struct image *img = malloc(sizeof(*img));
	struct image_store store;
	char agent[PATH_MAX];
	int r = img ? 0 : err_sys(e, -ENOMEM, "open the image");

	if (r == 0)
		r = image_store_open(d->paths.cache, &store, e);
	if (r == 0)
		r = image_store_lookup(&store, p->image_id, img, e);
	if (r < 0)
		return r;
	if (strcmp(img->root_digest, p->root_digest) != 0 ||
		strcmp(img->kernel_digest, p->kernel_digest) != 0)
		return err_set(e, ERR_CONFLICT, -ESTALE,
			"image '%s' is not the one that the sandbox was made with", img->id);
	st->m.root_fd = image_open_root(img, e);
	if (st->m.root_fd < 0)
		return st->m.root_fd;
	st->m.kernel_fd = image_open_kernel(img, e);
	if (st->m.kernel_fd < 0)
		return st->m.kernel_fd;
	r = paths_join(agent, d->paths.libexec, "sbx-guest");
	if (r < 0)
		return err_sys(e, r, "find sbx-guest");
	st->m.initrd_fd = image_initrd(&store, img, agent, NULL, e);
	return st->m.initrd_fd < 0 ? st->m.initrd_fd : 0;
}

static int open_workspaces(struct starting *st, struct err *e)
{
	const struct plan *p = st->s->plan;

	for (size_t i = 0; i < p->n_workspaces; i++) {
		int fd = plan_workspace_open(&p->workspaces[i], e);

		if (fd < 0)
			return fd;
		st->m.exports[st->m.n_exports++] = (struct machine_export){
			.fd = fd,
			.read_only = p->workspaces[i].read_only,
			.is_file = p->workspaces[i].is_file,
		};
		machine_tail(p->workspaces[i].host, st->m.exports[i].tail);
	}
	return 0;
}

/* open_machine_log() - stderr of machine and engine: a memfd that cannot grow, whatever they say */
static int open_machine_log(struct starting *st, struct err *e)
{
	st->log = memfd_create("sbx-machine-log", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (st->log < 0 || ftruncate(st->log, MACHINE_LOG_MAX) < 0 ||
		fcntl(st->log, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0)
		return err_sys(e, -errno, "make the machine's log");
	return 0;
}

static int fill_plan(struct starting *st, struct err *e)
{
	const struct plan *p = st->s->plan;
	struct machine_plan *m = &st->m;

	(void)snprintf(m->id, sizeof(m->id), "%s", st->s->id);
	m->engine = MACHINE_EMULATED;
	m->cpus = p->cpus;
	m->memory_bytes = p->memory_bytes;
	m->guest_uid = p->uid;
	m->guest_gid = p->gid;
	m->console_max_bytes = CONSOLE_MAX;
	m->max_open_files = MACHINE_OPEN_FILES;
	for (; m->n_masks < p->n_masks; m->n_masks++)
		(void)snprintf(m->masks[m->n_masks], MACHINE_MASK_MAX, "%s", p->masks[m->n_masks]);
	if (child_find("qemu-system-x86_64", m->qemu) < 0) {
		(void)err_set(e, ERR_UNAVAILABLE, -ENOENT,
			"the program qemu-system-x86_64 is not installed");
		err_hint(e, "apt-get install qemu-system-x86");
		return -ENOENT;
	}
	return 0;
}

static int open_all(struct starting *st, struct err *e)
{
	int r = open_own_files(st, e);

	if (r == 0)
		r = open_workspaces(st, e);
	if (r == 0)
		r = open_image(st, e);
	if (r == 0)
		r = open_machine_log(st, e);
	return r < 0 ? r : fill_plan(st, e);
}

static int spawn(struct starting *st, struct err *e)
{
	struct sandbox *s = st->s;
	char program[PATH_MAX], note[160] = "";
	AUTO_FD pidfd = -1;
	pid_t pid;
	int r = paths_join(program, s->d->paths.libexec, "sbx-machine");

	if (r < 0)
		return err_sys(e, r, "find sbx-machine");
	r = machine_spawn(&st->m, program, st->log, note, &pid, &pidfd, e);
	if (r < 0)
		return r;
	own_close_fd(&st->m.lock_fd); /* it is theirs now */
	(void)pthread_mutex_lock(&s->lock);
	s->pid = pid;
	s->pidfd = TAKE_FD(pidfd);
	s->child = true;
	s->log_fd = TAKE_FD(st->log);
	s->row.machine_pid = pid;
	s->row.machine_start = proc_start_time(pid);
	memcpy(s->row.boot_id, s->d->boot_id, sizeof(s->row.boot_id));
	memcpy(s->row.note, note, sizeof(s->row.note));
	(void)pthread_mutex_unlock(&s->lock);
	return sandbox_save(s, e);
}

/* gone_or_told() - with s->lock held: is there still a point in starting? */
static int gone_or_told(struct sandbox *s, struct err *e)
{
	const char *why = s->why;

	if (s->abort_start)
		return err_set(e, ERR_CONFLICT, -ECANCELED, "it was stopped while it started");
	if (s->status == STATUS_STARTING && s->ending_since == 0)
		return 0;
	if (s->status != STATUS_STARTING) /* settled already: the reason went into the row */
		why = strncmp(s->row.reason, START_FAILED, strlen(START_FAILED)) == 0
			      ? s->row.reason + strlen(START_FAILED)
			      : s->row.reason;
	return err_set(e, ERR_UNAVAILABLE, -ECONNRESET, "%s",
		why[0] ? ESC(why) : "the machine ended while it started");
}

/* has_ended() - the boot stream broke: when the machine ended, it says why a moment later, in @e.
 * False: the guest may begin anew, and is listened to.
 */
static bool has_ended(struct sandbox *s, struct err *e)
{
	int64_t deadline = clock_ms() + WORDS_MS;
	struct err told = {0};

	(void)pthread_mutex_lock(&s->lock);
	while (gone_or_told(s, &told) == 0 && s->boot_fd < 0 && sandbox_wait(s, deadline) == 0)
		;
	(void)pthread_mutex_unlock(&s->lock);
	if (told.code != ERR_NONE)
		*e = told;
	return told.code != ERR_NONE;
}

static int wanted(struct sandbox *s, struct err *e)
{
	int r;

	(void)pthread_mutex_lock(&s->lock);
	r = gone_or_told(s, e);
	(void)pthread_mutex_unlock(&s->lock);
	return r;
}

/* connect_link() - the machine binds its socket a moment after it was spawned */
static int connect_link(struct starting *st, struct err *e)
{
	int64_t deadline = clock_ms() + CONNECT_MS;
	int pause_ms = 2, fd;

	while ((fd = link_connect(st->dir, LINK_SOCKET)) < 0) {
		struct pollfd p = {.fd = st->s->pidfd, .events = POLLIN};
		int r = wanted(st->s, e);

		if (r < 0)
			return r;
		if (fd != -ENOENT && fd != -ECONNREFUSED && fd != -EAGAIN)
			return err_sys(e, fd, "connect to the machine");
		if (clock_ms() >= deadline)
			return err_set(e, ERR_TIMEOUT, -ETIMEDOUT,
				"the machine did not open its link within %d s", CONNECT_MS / 1000);
		if (poll(&p, 1, pause_ms) > 0)
			return err_set(e, ERR_INTERNAL, -EIO,
				"sbx-machine ended before it opened its link");
		if (pause_ms < 20)
			pause_ms *= 2;
	}
	if (!link_peer_is_us(fd)) {
		own_close_fd(&fd);
		return err_set(e, ERR_DENIED, -EPERM, "the machine's link belongs to another user");
	}
	(void)pthread_mutex_lock(&st->s->lock);
	st->s->want_boot = true;
	(void)pthread_mutex_unlock(&st->s->lock);
	return watch_add(st->s, fd, e);
}

/* wait_boot() - the guest's kernel runs and its agent has connected */
static int wait_boot(struct starting *st, struct err *e)
{
	struct sandbox *s = st->s;
	int r = 0, fd = -1;

	(void)pthread_mutex_lock(&s->lock);
	while (s->boot_fd < 0 && r == 0) {
		r = gone_or_told(s, e);
		if (r == 0 && sandbox_wait(s, st->deadline) < 0 && s->boot_fd < 0)
			r = err_set(e, ERR_TIMEOUT, -ETIMEDOUT,
				"the guest did not come up within %d s", SANDBOX_START_MS / 1000);
	}
	fd = s->boot_fd;
	s->boot_fd = -1; /* the next one may come at any moment, and is kept */
	(void)pthread_mutex_unlock(&s->lock);
	if (r < 0)
		own_close_fd(&fd);
	return r < 0 ? r : fd;
}

/* console_tail() - the last lines of the console, for the message of a failed start */
static void console_tail(int dir, char dst[240])
{
	AUTO_FD fd = openat(dir, FILE_CONSOLE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	char raw[161];
	struct stat st;
	ssize_t n;
	off_t at;

	dst[0] = '\0';
	if (fd < 0 || fstat(fd, &st) < 0 || st.st_size == 0)
		return;
	at = st.st_size > (off_t)sizeof(raw) - 1 ? st.st_size - (off_t)sizeof(raw) + 1 : 0;
	n = pread(fd, raw, sizeof(raw) - 1, at);
	if (n > 0)
		(void)escape_text(dst, 240, raw, (size_t)n);
}

/* boot_streams() - until READY. A stream that ends before is begun anew by the guest (agent.md). */
static int boot_streams(struct starting *st, struct err *e)
{
	for (unsigned tries = 1;; tries++) {
		struct err broken = {0};
		int fd = wait_boot(st, e), r;

		if (fd < 0)
			return fd;
		st->came_up = true;
		r = boot_guest(st->s, fd, st->deadline, tell, st, &broken);
		if (r >= 0)
			return r;
		if ((r != -ECONNRESET && r != -EPIPE) || has_ended(st->s, &broken) ||
			tries == BOOT_TRIES) {
			*e = broken;
			return r;
		}
		log_debug("sandbox %s: its boot stream ended early", st->s->name);
	}
}

static int boot(struct starting *st, struct err *e)
{
	int r = boot_streams(st, e);

	(void)pthread_mutex_lock(&st->s->lock);
	st->s->want_boot = false;
	own_close_fd(&st->s->boot_fd);
	(void)pthread_mutex_unlock(&st->s->lock);
	return r;
}

/* why_it_ended() - a command or a copy that was cut off says less than who cut it off */
static void why_it_ended(struct sandbox *s, struct err *e)
{
	if (e->num == -ECONNRESET || e->num == -ENOTCONN || e->num == -EPIPE)
		(void)has_ended(s, e);
}

static int run(struct starting *st, struct err *e)
{
	struct sandbox *s = st->s;
	int r;

	tell(st, "opening the way out");
	r = egress_start(s, st->dir, e); /* before anything inside can want it */
	if (r == 0)
		r = spawn(st, e);
	if (r == 0)
		r = connect_link(st, e);
	if (r < 0)
		return r;
	tell(st, "booting");
	st->booting = true;
	r = boot(st, e);
	if (r == 0)
		r = egress_connect(s, st->deadline, e);
	if (r == 0)
		r = st->provided = provision(s, st->dir, tell, st, e);
	if (r == 0)
		r = wanted(s, e);
	else
		why_it_ended(s, e);
	if (r == 0)
		ports_open(s);
	if (r == 0)
		r = sandbox_move(s, STATUS_RUNNING, "", e);
	if (r < 0)
		return r;
	provision_done(st->dir);
	startup_run(s);
	return 0;
}

/* fail() - end what runs, wait until it is gone, tell why with the console's last words */
static int fail(struct starting *st, int r, struct err *e)
{
	struct sandbox *s = st->s;
	char reason[256], tail[240] = "";
	bool spawned;

	if (st->dir >= 0)
		console_tail(st->dir, tail);
	(void)pthread_mutex_lock(&s->lock);
	spawned = s->pidfd >= 0;
	(void)pthread_mutex_unlock(&s->lock);
	(void)snprintf(reason, sizeof(reason), START_FAILED "%.230s", e->msg);
	if (spawned) {
		watch_end(s, reason);
		(void)!watch_settled(s, clock_ms() + WATCH_GIVE_UP_MS + 2000);
	} else {
		/* also when the watcher has settled it: the way out may have been opened after that */
		egress_stop(s);
		if (sandbox_status(s) == STATUS_STARTING)
			sandbox_settle(s, STATUS_STOPPED, reason);
	}
	if (tail[0] && spawned && !e->hint[0])
		err_hint(e, "sbx logs --console %s; its last words: %.150s", s->name,
			strlen(tail) > 150 ? tail + strlen(tail) - 150 : tail);
	return err_wrap(e, r, "start sandbox '%s'", s->name);
}

/* take_back_added() - kits that were added and could not be installed; not when somebody ended the start */
static void take_back_added(struct starting *st, struct err *e)
{
	bool ended;

	(void)pthread_mutex_lock(&st->s->lock);
	ended = st->s->asked_to_end || st->s->abort_start;
	(void)pthread_mutex_unlock(&st->s->lock);
	if (ended || !kit_added(st->dir))
		return;
	kit_added_failed(st->s, st->dir);
	err_hint(e, "the sandbox has its former kits again; sbx logs --setup %s", st->s->name);
}

/* start_owned() - @ret_hung: the guest's kernel was started and its agent never heard of */
static int start_owned(struct sandbox *s, sandbox_step_fn step, void *ctx, int64_t deadline,
	bool *ret_hung, struct err *e)
{
	struct starting *st = calloc(1, sizeof(*st));
	int r;

	if (!st)
		return err_sys(e, -ENOMEM, "start sandbox '%s'", s->name);
	*st = (struct starting){.s = s, .step = step, .ctx = ctx, .deadline = deadline};
	starting_init(st);
	(void)pthread_mutex_lock(&s->lock);
	s->abort_start = s->asked_to_end = s->killed = false;
	s->run++;
	s->startup_note[0] = '\0';
	s->why[0] = s->end_reason[0] = '\0';
	(void)pthread_mutex_unlock(&s->lock);
	r = sandbox_move(s, STATUS_STARTING, "", e);
	if (r == 0) {
		tell(st, "opening image and workspaces");
		r = open_all(st, e);
		if (r == 0)
			r = run(st, e);
		/* The lock first: whoever waits for the end would wait for us. */
		own_close_fd(&st->m.lock_fd);
		if (r < 0)
			r = fail(st, r, e);
		if (st->provided < 0)
			take_back_added(st, e);
	}
	*ret_hung = st->booting && !st->came_up && r != -ECANCELED;
	starting_fini(st);
	free(st);
	return r;
}

/* wait_for_last_end() - its status is told a moment before the watcher has forgotten the last machine */
static void wait_for_last_end(struct sandbox *s)
{
	int64_t deadline = clock_ms() + WATCH_GIVE_UP_MS + 2000;

	(void)pthread_mutex_lock(&s->lock);
	while (s->ending_since != 0 && sandbox_wait(s, deadline) == 0)
		;
	(void)pthread_mutex_unlock(&s->lock);
}

/* start_twice() - an emulated processor may fall silent in the first instructions of a kernel, once
 * in hundreds of starts. Nothing of the sandbox has run then, so that beginning anew loses nothing.
 */
static int start_twice(struct sandbox *s, sandbox_step_fn step, void *ctx, struct err *e)
{
	int64_t deadline = clock_ms() + SANDBOX_START_MS;
	struct err first = {0};
	bool hung = false;
	int r = start_owned(s, step, ctx, deadline, &hung, &first);

	if (r < 0 && hung && clock_left(deadline) >= AGAIN_MS) {
		log_warn("sandbox %s (%s): %s; once more", s->name, s->id, first.msg);
		wait_for_last_end(s);
		if (step)
			step(ctx, "the guest did not come up: once more");
		return start_owned(s, step, ctx, deadline, &hung, e);
	}
	if (r < 0 && e)
		*e = first;
	return r;
}

int sandbox_start(struct sandbox *s, sandbox_step_fn step, void *ctx, struct err *e)
{
	bool waited = false;
	enum status status;
	int r;

	do {
		waited |= start_wait_turn(s, step, ctx);
		r = sandbox_begin(s, "start", clock_ms() + SANDBOX_BUSY_MS, e);
	} while (r == -EINPROGRESS);

	if (r < 0)
		return r;
	wait_for_last_end(s);
	status = sandbox_status(s);
	if (status == STATUS_PAUSED) {
		r = err_set(e, ERR_CONFLICT, -EBUSY, "sandbox '%s' is paused", s->name);
		err_hint(e, "sbx resume %s", s->name);
	} else if (status != STATUS_RUNNING)
		r = waited ? start_did_not(s, e) : start_twice(s, step, ctx, e);
	sandbox_end(s);
	return r;
}
