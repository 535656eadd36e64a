#include "daemon/sandbox.h"
#include "daemon/files.h"
#include "daemon/ports.h"
#include "daemon/proc.h"
#include "daemon/provision.h"
#include "daemon/watch.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "machine/spawn.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>

/* At the daemon's start, before anybody can ask: rows and directories are brought together, then
 * each sandbox is held against the kernel's word (is its lock held?) and its machine's (the link).
 *
 *   row, directory            → listed
 *   directory with a plan     → its row was lost: a row is made again
 *   directory without a plan  → half made or half removed: swept
 *   row without directory     → listed; a start says what is missing, rm removes the row
 */

#define ADOPT_MS    1500 /* for all machines together to say HELLO */
#define CONNECT_MS  500
#define LEFTOVER_MS 1000

static int add_box(struct daemon *d, struct plan *plan, const struct store_sandbox *row)
{
	struct sandbox *s = sandbox_new(d, plan, row);
	struct err e = {0};
	int r;

	if (!s) {
		plan_free(plan);
		return -ENOMEM;
	}
	if (s->status == STATUS_COUNT)
		s->status = STATUS_CRASHED;
	r = sandbox_list_add(s, &e);
	if (r < 0)
		log_err("recovery: %s", e.msg);
	sandbox_put(s);
	return r;
}

static int load_row(void *ctx, const struct store_sandbox *row)
{
	struct daemon *d = ctx;
	struct plan *plan;
	struct err e = {0};

	if (plan_load(row->plan, strlen(row->plan), &plan, &e) < 0) {
		/* Neither shown nor swept: its row and directory stay as they are. */
		log_err("recovery: the plan of sandbox '%s' (%s) cannot be read: %s", row->name,
			row->id, e.msg);
		return 0;
	}
	return add_box(d, plan, row);
}

static bool is_id(const char *s)
{
	return strlen(s) == STORE_ID_LEN && strspn(s, "0123456789abcdef") == STORE_ID_LEN;
}

static bool lock_held_in(int dir)
{
	AUTO_FD fd = openat(dir, FILE_LOCK, O_RDWR | O_CLOEXEC | O_NOFOLLOW);

	return fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK;
}

struct known {
	const char *id;
	bool found;
};

static int look_for(void *ctx, const struct store_sandbox *row)
{
	struct known *k = ctx;

	k->found |= strcmp(row->id, k->id) == 0;
	return 0;
}

/* rebuild() - a row for a directory that has a whole plan but no row */
static int rebuild(struct daemon *d, const char *id, int dir)
{
	struct store_sandbox row = {0};
	AUTO(buf) text = {0};
	struct plan *plan;
	struct err e = {0};
	struct stat st;
	int r;

	buf_init(&text, PLAN_TEXT_MAX);
	r = io_read_file(dir, FILE_PLAN, &text);
	if (r < 0 || fstatat(dir, FILE_PLAN, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -ENOENT;
	r = plan_load(buf_str(&text), text.len, &plan, &e);
	if (r < 0) {
		log_err("recovery: the plan in '" DAEMON_BOXES "/%s' cannot be read: %s", id,
			e.msg);
		return 0; /* kept for a person to look at */
	}
	(void)snprintf(row.id, sizeof(row.id), "%s", id);
	(void)snprintf(row.name, sizeof(row.name), "%s", plan->name);
	(void)snprintf(row.status, sizeof(row.status), "%s",
		status_name(lock_held_in(dir) ? STATUS_RUNNING : STATUS_STOPPED));
	(void)snprintf(row.reason, sizeof(row.reason), "its record was lost and made again");
	memcpy(row.plan_hash, plan->hash, sizeof(row.plan_hash));
	memcpy(row.boot_id, d->boot_id, sizeof(row.boot_id));
	row.plan = text.data;
	row.created_ms = (int64_t)st.st_mtim.tv_sec * 1000;
	row.provisioned = faccessat(dir, FILE_CONSOLE, F_OK, AT_SYMLINK_NOFOLLOW) == 0 &&
			  !provision_pending(dir);
	r = store_add(d->store, &row, &e);
	if (r == -EEXIST) {
		(void)snprintf(row.name, sizeof(row.name), "recovered-%s", id);
		r = store_add(d->store, &row, &e);
	}
	if (r < 0) {
		log_err("recovery: %s", e.msg);
		plan_free(plan);
		return 0;
	}
	log_warn("recovery: sandbox '%s' (%s) is back from its directory", row.name, id);
	return add_box(d, plan, &row);
}

static int one_directory(struct daemon *d, const char *id, struct err *e)
{
	struct known k = {.id = id};
	AUTO_BOX listed = sandbox_find(d, id, NULL);
	AUTO_FD dir = -1;
	int r;

	if (listed)
		return 0;
	r = store_each(d->store, look_for, &k, e); /* a row whose plan could not be read */
	if (r < 0 || k.found)
		return r;
	dir = openat(d->boxes_fd, id, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (dir >= 0 && rebuild(d, id, dir) != -ENOENT)
		return 0;
	if (dir >= 0)
		egress_sweep(dir);
	r = sandbox_sweep(d, id);
	log_warn("recovery: the remains of sandbox %s %s", id,
		r < 0 ? "could not be removed" : "are removed");
	machine_forget(id);
	return 0;
}

static int all_directories(struct daemon *d, struct err *e)
{
	int r = 0, fd = openat(d->state_fd, DAEMON_BOXES, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *de;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (!dir) {
		own_close_fd(&fd);
		return err_sys(e, -errno, "list the sandboxes");
	}
	while (r == 0 && (de = readdir(dir)))
		if (is_id(de->d_name))
			r = one_directory(d, de->d_name, e);
	closedir(dir);
	return r;
}

/* ---- one sandbox ---- */

static bool lock_held(struct sandbox *s)
{
	AUTO_FD dir = sandbox_dir(s, NULL);

	return dir >= 0 && lock_held_in(dir);
}

/* adopt() - connect to its machine; -1 when nobody listens */
static int adopt(struct sandbox *s)
{
	int64_t deadline = clock_ms() + CONNECT_MS;
	AUTO_FD dir = sandbox_dir(s, NULL);
	AUTO_FD link = -1;
	struct err e = {0};

	while (dir >= 0 && (link = link_connect(dir, LINK_SOCKET)) < 0) {
		/* A machine that was spawned a moment ago has not bound its socket yet. */
		if (s->status != STATUS_STARTING || clock_ms() >= deadline || !lock_held(s))
			break;
		(void)usleep(5000);
	}
	if (link < 0 || !link_peer_is_us(link))
		return -1;
	s->pidfd = proc_of_peer(link, &s->pid);
	return watch_add(s, TAKE_FD(link), &e);
}

/* is_over() - no process of it lives: what was its end? */
static void is_over(struct sandbox *s)
{
	if (strcmp(s->row.boot_id, s->d->boot_id) != 0) {
		machine_forget(s->id);
		sandbox_settle(s, STATUS_STOPPED, "the host was restarted");
		return;
	}
	/* The watcher reads the exit file and settles. */
	(void)pthread_mutex_lock(&s->lock);
	s->asked_to_end = s->status == STATUS_STOPPING;
	(void)pthread_mutex_unlock(&s->lock);
	watch_over(s);
}

static void had_machine(struct sandbox *s)
{
	static const char broken[] = "the daemon ended while the sandbox started";

	if (!lock_held(s)) {
		if (s->status == STATUS_STARTING)
			watch_end(s, broken);
		else
			is_over(s);
		return;
	}
	if (adopt(s) < 0) {
		s->pidfd = proc_open((pid_t)s->row.machine_pid, s->row.machine_start);
		watch_end(s,
			s->status == STATUS_STOPPING ? NULL : "its machine did not open its link");
		return;
	}
	if (s->status == STATUS_STARTING)
		watch_end(s, broken);
	else if (s->status == STATUS_STOPPING)
		watch_end(s, NULL);
	else
		egress_adopt(s);
}

/* leftover() - the row says that nothing runs, the kernel says that something does */
static void leftover(struct sandbox *s)
{
	struct link_msg kill = {.op = LINK_KILL};
	AUTO_FD dir = sandbox_dir(s, NULL);
	AUTO_FD link = dir < 0 ? -1 : link_connect(dir, LINK_SOCKET);
	AUTO_FD pidfd = -1;
	pid_t pid;

	if (link >= 0 && link_peer_is_us(link)) {
		(void)!link_send(link, &kill, -1, 0);
		pidfd = proc_of_peer(link, &pid);
	} else
		pidfd = proc_open((pid_t)s->row.machine_pid, s->row.machine_start);
	if (pidfd >= 0) {
		struct pollfd p = {.fd = pidfd, .events = POLLIN};

		(void)pidfd_send_signal(pidfd, SIGKILL, NULL, 0);
		(void)poll(&p, 1, LEFTOVER_MS); /* its cgroup can go only after it */
	}
	log_warn("recovery: sandbox '%s' is %s but had processes: %s", s->name,
		status_name(s->status), pidfd >= 0 ? "ended" : "they cannot be found");
}

static void one_box(struct sandbox *s)
{
	struct err e = {0};

	switch (s->status) {
	case STATUS_CREATING:
	case STATUS_REMOVING:
		log_info("recovery: sandbox '%s' was %s: removed", s->name, status_name(s->status));
		if (lock_held(s))
			leftover(s);
		egress_stop(s);
		if (s->status == STATUS_CREATING)
			s->status = STATUS_REMOVING;
		if (sandbox_remove(s, false, &e) < 0)
			log_err("recovery: %s", e.msg);
		return;
	case STATUS_STOPPED:
	case STATUS_CRASHED:
		if (lock_held(s))
			leftover(s);
		egress_stop(s);
		return;
	case STATUS_STARTING:
	case STATUS_RUNNING:
	case STATUS_PAUSED:
	case STATUS_STOPPING:
		had_machine(s);
		return;
	case STATUS_COUNT:
		return;
	}
}

/* wait_hello() - what do the adopted ones say? Who says nothing is shown as unresponsive. */
static void wait_hello(struct sandbox *s, int64_t deadline)
{
	enum link_state m;

	(void)pthread_mutex_lock(&s->lock);
	if (s->status != STATUS_RUNNING && s->status != STATUS_PAUSED) {
		(void)pthread_mutex_unlock(&s->lock);
		return;
	}
	while (s->machine == 0 && s->link_fd >= 0 && sandbox_wait(s, deadline) == 0)
		;
	m = s->machine;
	s->silent = m == 0 && s->link_fd >= 0;
	(void)pthread_mutex_unlock(&s->lock);
	if (m == LINK_PAUSED && sandbox_status(s) == STATUS_RUNNING)
		sandbox_settle(s, STATUS_PAUSED, "");
	else if (m == LINK_RUNNING && sandbox_status(s) == STATUS_PAUSED)
		sandbox_settle(s, STATUS_RUNNING, "");
	if (m != 0)
		log_info("recovery: sandbox '%s' runs and is adopted", s->name);
}

int recover(struct daemon *d, struct err *e)
{
	struct sandbox **all;
	int64_t deadline;
	size_t n;
	int r;

	if (d->report.quarantine[0])
		log_err("the state database was damaged (%s); it is now '%s'", d->report.why,
			d->report.quarantine);
	r = store_each(d->store, load_row, d, e);
	if (r == 0)
		r = all_directories(d, e);
	if (r == 0 && sandbox_all(d, &all, &n) < 0)
		r = err_sys(e, -ENOMEM, "list the sandboxes");
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++)
		one_box(all[i]);
	deadline = clock_ms() + ADOPT_MS;
	for (size_t i = 0; i < n; i++) {
		wait_hello(all[i], deadline);
		if (all[i]->link_fd >= 0)
			ports_open(all[i]);
		if (status_has_machine(sandbox_status(all[i])) && all[i]->ending_since)
			(void)!watch_settled(all[i], deadline);
		sandbox_put(all[i]);
	}
	free(all);
	return 0;
}
