#include "daemon/daemon.h"
#include "daemon/keyring.h"
#include "daemon/policy.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/un.h>

static int open_dir(int at, const char *path, struct err *e)
{
	int fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	return fd < 0 ? err_sys(e, -errno, "open '%s'", path) : fd;
}

/* open_private() - a directory of ours that nobody else can enter; open first, then judge */
static int open_private(const char *path, struct err *e)
{
	AUTO_FD fd = -1;
	struct stat st;
	int r = paths_mkdir(path, e);

	if (r < 0)
		return r;
	fd = open_dir(AT_FDCWD, path, e);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return err_sys(e, -errno, "look at '%s'", path);
	if (st.st_uid != geteuid())
		return err_set(e, ERR_DENIED, -EPERM, "'%s' belongs to another user", path);
	if ((st.st_mode & 077) && fchmod(fd, 0700) < 0)
		return err_sys(e, -errno, "close '%s' to other users", path);
	return TAKE_FD(fd);
}

/* take_lock() - one daemon per state directory. A record lock: unlike flock() it belongs to this
 * process alone, so a child that was just forked cannot keep it when we are killed, and the kernel
 * knows who holds it. It goes when any descriptor of the file is closed: nobody else opens it.
 */
static int take_lock(struct daemon *d, struct err *e)
{
	struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	d->lock_fd =
		openat(d->state_fd, PATHS_LOCK, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (d->lock_fd < 0)
		return err_sys(e, -errno, "open '" PATHS_LOCK "'");
	if (fcntl(d->lock_fd, F_SETLK, &l) == 0)
		return 0;
	if (errno != EAGAIN && errno != EACCES)
		return err_sys(e, -errno, "lock '" PATHS_LOCK "'");
	if (fcntl(d->lock_fd, F_GETLK, &l) < 0 || l.l_type == F_UNLCK)
		l.l_pid = 0; /* it has just ended */
	return err_set(e, ERR_CONFLICT, -EBUSY, "another sbxd (pid %d) serves '%s' already",
		(int)l.l_pid, d->paths.state);
}

static int open_log(struct daemon *d)
{
	AUTO_FD fd = openat(d->state_fd, DAEMON_LOG,
		O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0 || dup2(fd, STDERR_FILENO) < 0)
		return -errno;
	return 0;
}

void daemon_log_check(struct daemon *d)
{
	struct stat st, log;

	if (fstat(STDERR_FILENO, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size < DAEMON_LOG_MAX)
		return;
	if (fstatat(d->state_fd, DAEMON_LOG, &log, AT_SYMLINK_NOFOLLOW) < 0 ||
		log.st_ino != st.st_ino || log.st_dev != st.st_dev)
		return; /* stderr is somebody else's file */
	if (renameat(d->state_fd, DAEMON_LOG, d->state_fd, DAEMON_LOG ".1") == 0)
		(void)open_log(d);
}

static void read_boot_id(char dst[37])
{
	AUTO(buf) b = {0};

	buf_init(&b, 64);
	if (io_read_file(AT_FDCWD, "/proc/sys/kernel/random/boot_id", &b) == 0)
		(void)snprintf(dst, 37, "%.36s", buf_str(&b));
}

/* keep_reserve() - room that is given up when the disk is full, so that the database can be opened */
static void keep_reserve(struct daemon *d)
{
	AUTO_FD fd = openat(
		d->state_fd, DAEMON_RESERVE, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd >= 0 && posix_fallocate(fd, 0, DAEMON_RESERVE_BYTES) != 0)
		log_warn("the disk of '%s' is full", d->paths.state);
}

static int open_store(struct daemon *d, struct err *e)
{
	struct err first = {0};
	struct statvfs v;
	int r = store_open(d->paths.state, &d->store, &d->report, &first);

	if (r < 0 && fstatvfs(d->state_fd, &v) == 0 &&
		(uint64_t)v.f_bavail * v.f_frsize < DAEMON_RESERVE_BYTES &&
		unlinkat(d->state_fd, DAEMON_RESERVE, 0) == 0)
		r = store_open(d->paths.state, &d->store, &d->report, &first);
	if (r < 0) {
		*e = first;
		return r;
	}
	keep_reserve(d);
	return 0;
}

/* open_records() - audit log and secrets. Without an audit log nothing may be decided, so its failure is
 * one of the daemon; secrets that cannot be opened are not touched, and nothing goes on without them.
 */
static int open_records(struct daemon *d, struct err *e)
{
	struct secret_keeper keeper;
	char path[PATH_MAX];
	int r = paths_join(path, d->paths.state, DAEMON_AUDIT);

	if (r == 0)
		r = audit_open(path, &d->audit, e);
	if (r < 0)
		return r;
	daemon_keyring(d, &keeper);
	r = paths_join(path, d->paths.state, DAEMON_SECRETS);
	return r < 0 ? r : secret_file_open(path, &keeper, &d->secrets, e);
}

int daemon_open(struct daemon *d, bool own_log, struct err *e)
{
	int r;

	*d = (struct daemon){.state_fd = -1,
		.boxes_fd = -1,
		.lock_fd = -1,
		.listen_fd = -1,
		.stop_fd = -1,
		.started_ms = clock_real_ms()};
	(void)pthread_mutex_init(&d->lock, NULL);
	r = paths_find(&d->paths, e);
	if (r < 0)
		return r;
	d->state_fd = open_private(d->paths.state, e);
	if (d->state_fd < 0)
		return d->state_fd;
	r = take_lock(d, e);
	if (r == 0)
		r = paths_mkdir(d->paths.cache, e);
	if (r < 0)
		return r;
	if (mkdirat(d->state_fd, DAEMON_BOXES, 0700) < 0 && errno != EEXIST)
		return err_sys(e, -errno, "make '%s/" DAEMON_BOXES "'", d->paths.state);
	d->boxes_fd = open_dir(d->state_fd, DAEMON_BOXES, e);
	if (d->boxes_fd < 0)
		return d->boxes_fd;
	if (own_log) {
		r = open_log(d);
		if (r < 0)
			return err_sys(e, r, "open '" DAEMON_LOG "'");
	}
	d->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (d->stop_fd < 0)
		return err_sys(e, -errno, "make an eventfd");
	read_boot_id(d->boot_id);
	plan_host_find(&d->host);
	r = open_store(d, e);
	if (r == 0)
		r = open_records(d, e);
	return r < 0 ? r : daemon_policy_open(d, e);
}

void daemon_close(struct daemon *d)
{
	/* Threads of clients may still run: what they use stays, the process ends anyway. */
	own_close_fd(&d->listen_fd);
	if (d->lock_fd >= 0 && d->state_fd >= 0)
		(void)unlinkat(d->state_fd, DAEMON_SOCKET, 0);
}

int daemon_listen(struct daemon *d, struct err *e)
{
	AUTO_FD s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un sa = {.sun_family = AF_UNIX};

	if (s < 0)
		return err_sys(e, -errno, "make the daemon's socket");
	/* Any length of path fits this way. What is stale may go: we hold the lock. */
	(void)snprintf(
		sa.sun_path, sizeof(sa.sun_path), "/proc/self/fd/%d/" DAEMON_SOCKET, d->state_fd);
	if (unlinkat(d->state_fd, DAEMON_SOCKET, 0) < 0 && errno != ENOENT)
		return err_sys(e, -errno, "remove a stale '" DAEMON_SOCKET "'");
	if (bind(s, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return err_sys(e, -errno, "bind '%s/" DAEMON_SOCKET "'", d->paths.state);
	if (fchmodat(d->state_fd, DAEMON_SOCKET, 0600, 0) < 0 || listen(s, DAEMON_CONNS) < 0)
		return err_sys(e, -errno, "listen on '%s/" DAEMON_SOCKET "'", d->paths.state);
	d->listen_fd = TAKE_FD(s);
	return 0;
}
