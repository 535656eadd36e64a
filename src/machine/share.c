#include "machine/share.h"
#include "machine/touched.h"
#include "virtio/vhost_user.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <pthread.h>
#include <semaphore.h>
#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#define STACK_BYTES (1u << 20) /* reserved; what is not touched costs nothing */
#define OTHER_FDS   1600u /* streams, and everything else that is no file of the guest's */
#define LEAST_FDS   64u

struct share {
	struct loop *main_loop, *loop;
	struct virtio_dev *dev;
	struct vhost_user *conn;
	struct touched_log *touched;
	int proc_fd, stop_fd, told_fd;
	struct loop_fd *stop_src, *told_src;
	pthread_t thread;
	bool runs;
	sem_t began; /* it made the calls that belong to a thread's start */
	bool stop; /* on the share's thread only */
	/* copies for the main thread */
	atomic_ullong faults;
	atomic_uint broken_now; /* virtio_dev_broken() */
	/* said with told_fd */
	atomic_bool conn_bad;
	atomic_uint queue;
	_Atomic(const char *) queue_why; /* NULL: no queue broke */
	share_broken_fn broken;
	void *ctx;
};

/* open_own_proc() - /proc/self/fd of a /proc that shows our own pid namespace only, mounted nowhere.
 * Where a container hides parts of /proc the kernel refuses a new one: then the one that is there.
 */
static int open_own_proc(void)
{
	AUTO_FD fs = (int)syscall(SYS_fsopen, "proc", FSOPEN_CLOEXEC);
	AUTO_FD root = -1;
	int fd = -1;

	if (fs >= 0 && syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "subset", "pid", 0) == 0 &&
		syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0)
		root = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC,
			MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
	if (root >= 0)
		fd = openat(root, "self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		fd = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* fds_for_files() - the plan's number, or what the limit of this user leaves */
static uint32_t fds_for_files(uint32_t wanted)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_max < (rlim_t)wanted + OTHER_FDS)
		wanted = l.rlim_max > OTHER_FDS + LEAST_FDS ? (uint32_t)l.rlim_max - OTHER_FDS
							    : LEAST_FDS;
	return wanted < LEAST_FDS ? LEAST_FDS : wanted;
}

static_assert(FS_MASKS_MAX == MACHINE_MASKS_MAX, "each has a place");
static_assert(FS_TAIL_MAX == MACHINE_TAIL_MAX, "copied whole");

/* open_touched() - while there is a directory: what the guest changes of the host's concern */
static int open_touched(struct share *s, int dir)
{
	AUTO_FD fd =
		openat(dir, MACHINE_TOUCHED_FILE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	int r;

	if (fd < 0)
		return -errno;
	r = touched_log_open(fd, &s->touched);
	if (r == 0)
		(void)TAKE_FD(fd);
	return r;
}

static int make_server(struct share *s, const struct machine_plan *p)
{
	struct fs_config c = {.n_exports = p->n_exports,
		.guest_uid = p->guest_uid,
		.guest_gid = p->guest_gid,
		.proc_fd = s->proc_fd,
		.max_fds = fds_for_files(p->max_open_files),
		.changed = touched_log_changed,
		.moved = touched_log_moved,
		.changed_ctx = s->touched};

	for (size_t i = 0; i < p->n_exports; i++) {
		c.exports[i] = (struct fs_export){.fd = p->exports[i].fd,
			.read_only = p->exports[i].read_only,
			.is_file = p->exports[i].is_file};
		memcpy(c.exports[i].tail, p->exports[i].tail, sizeof(c.exports[i].tail));
	}
	for (; c.n_masks < p->n_masks; c.n_masks++)
		c.masks[c.n_masks] = p->masks[c.n_masks];
	return fs_dev_new(&c, s->loop, &s->dev);
}

/* ---- on the share's thread ---- */

static void on_closed(void *ctx, enum vu_result why)
{
	struct share *s = ctx;

	vhost_user_free(s->conn);
	s->conn = NULL;
	if (why == VU_CLOSED)
		return;
	atomic_store(&s->conn_bad, true);
	(void)eventfd_write(s->told_fd, 1);
}

static void on_queue_broken(void *ctx, unsigned index, const char *why)
{
	struct share *s = ctx;

	atomic_store(&s->queue, index);
	atomic_store(&s->broken_now, virtio_dev_broken(s->dev));
	atomic_store(&s->queue_why, why);
	(void)eventfd_write(s->told_fd, 1);
}

static void on_stop(void *ctx, uint32_t events)
{
	struct share *s = ctx;

	(void)events;
	s->stop = true;
}

static void *run(void *ctx)
{
	struct share *s = ctx;

	(void)sem_post(&s->began);
	while (!s->stop) {
		struct fs_stats st;

		if (loop_once(s->loop, -1) < 0) {
			atomic_store(&s->conn_bad, true);
			(void)eventfd_write(s->told_fd, 1);
			break;
		}
		fs_dev_stats(s->dev, &st);
		atomic_store_explicit(
			&s->faults, st.faults + virtio_dev_faults(s->dev), memory_order_relaxed);
		atomic_store(&s->broken_now, virtio_dev_broken(s->dev));
	}
	return NULL;
}

/* ---- on the main thread ---- */

static void on_told(void *ctx, uint32_t events)
{
	struct share *s = ctx;
	const char *why;
	eventfd_t n;

	(void)events;
	if (eventfd_read(s->told_fd, &n) < 0)
		return;
	why = atomic_exchange(&s->queue_why, NULL);
	if (why)
		s->broken(s->ctx, atomic_load(&s->queue), why);
	if (atomic_exchange(&s->conn_bad, false))
		s->broken(s->ctx, 0, NULL);
}

static int build(struct share *s, const struct machine_plan *p, int *ret_fd)
{
	const struct vhost_user_events conn = {
		.closed = on_closed, .ctx = s, .broken = on_queue_broken};
	int pair[2], r;

	s->loop = loop_new();
	if (!s->loop)
		return -errno;
	s->proc_fd = open_own_proc();
	if (s->proc_fd < 0)
		return s->proc_fd;
	s->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	s->told_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->stop_fd < 0 || s->told_fd < 0)
		return -errno;
	r = loop_add_fd(s->loop, s->stop_fd, EPOLLIN, on_stop, s, &s->stop_src);
	if (r == 0)
		r = loop_add_fd(s->main_loop, s->told_fd, EPOLLIN, on_told, s, &s->told_src);
	if (r == 0)
		r = open_touched(s, p->dir_fd);
	if (r == 0)
		r = make_server(s, p);
	if (r < 0)
		return r;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	AUTO_FD theirs = pair[1];
	s->conn = vhost_user_new(s->loop, pair[0], s->dev, &conn);
	if (!s->conn)
		return -errno;
	*ret_fd = TAKE_FD(theirs);
	return 0;
}

int share_open(const struct machine_plan *p, struct loop *main_loop, share_broken_fn broken,
	void *ctx, struct share **ret_share, int *ret_fd, struct err *e)
{
	struct share *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return err_sys(e, -ENOMEM, "make the file server");
	*s = (struct share){.main_loop = main_loop,
		.proc_fd = -1,
		.stop_fd = -1,
		.told_fd = -1,
		.broken = broken,
		.ctx = ctx};
	r = build(s, p, ret_fd);
	if (r < 0) {
		share_free(s);
		return err_sys(e, r, "make the file server");
	}
	*ret_share = s;
	return 0;
}

int share_start(struct share *s, struct err *e)
{
	pthread_attr_t attr;
	int r = sem_init(&s->began, 0, 0) < 0 ? errno : pthread_attr_init(&attr);

	if (r == 0)
		r = pthread_attr_setstacksize(&attr, STACK_BYTES);
	if (r == 0)
		r = pthread_create(&s->thread, &attr, run, s);
	(void)pthread_attr_destroy(&attr);
	if (r != 0)
		return err_sys(e, -r, "start the file server's thread");
	s->runs = true;
	/* The seccomp list that comes next has no room for what a thread does first. */
	while (sem_wait(&s->began) < 0 && errno == EINTR)
		;
	return 0;
}

uint64_t share_faults(const struct share *s)
{
	return s ? atomic_load_explicit(&s->faults, memory_order_relaxed) : 0;
}

unsigned share_broken(const struct share *s)
{
	return s ? atomic_load(&s->broken_now) : 0;
}

void share_free(struct share *s)
{
	if (!s)
		return;
	if (s->runs) {
		(void)eventfd_write(s->stop_fd, 1);
		(void)pthread_join(s->thread, NULL);
	}
	vhost_user_free(s->conn);
	fs_dev_free(s->dev);
	touched_log_free(s->touched);
	loop_del_fd(s->stop_src);
	loop_del_fd(s->told_src);
	loop_free(s->loop);
	own_close_fd(&s->proc_fd);
	own_close_fd(&s->stop_fd);
	own_close_fd(&s->told_fd);
	free(s);
}
