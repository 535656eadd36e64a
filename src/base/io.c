#include "base/io.h"
#include "base/clock.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

int io_wait(int fd, short events, int64_t deadline)
{
	for (;;) {
		struct pollfd p = {.fd = fd, .events = events};
		int r = poll(&p, 1, deadline == IO_FOREVER ? -1 : clock_left(deadline));

		if (r > 0)
			return p.revents & POLLNVAL ? -EBADF : 0;
		if (r == 0)
			return -ETIMEDOUT;
		if (errno != EINTR)
			return -errno;
	}
}

int io_read_full(int fd, void *p, size_t len, int64_t deadline)
{
	size_t got = 0;

	while (got < len) {
		ssize_t n = read(fd, (char *)p + got, len - got);
		int r;

		if (n > 0) {
			got += (size_t)n;
			continue;
		}
		if (n == 0)
			return got ? -EPIPE : -ENODATA;
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return -errno;
		r = io_wait(fd, POLLIN, deadline);
		if (r < 0)
			return r;
	}
	return 0;
}

int io_write_full(int fd, const void *p, size_t len, int64_t deadline)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = write(fd, (const char *)p + done, len - done);
		int r;

		if (n >= 0) {
			done += (size_t)n;
			continue;
		}
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return -errno;
		r = io_wait(fd, POLLOUT, deadline);
		if (r < 0)
			return r;
	}
	return 0;
}

int io_read_fd(int fd, struct buf *out)
{
	for (;;) {
		size_t want = out->max - out->len;
		char *room, probe;
		ssize_t n;
		int r;

		if (want > 65536)
			want = 65536;
		if (want == 0) {
			n = read(fd, &probe, 1);
			return n == 0 ? 0 : n > 0 ? -EFBIG : -errno;
		}
		r = buf_room(out, want, &room);
		if (r < 0)
			return r;
		n = read(fd, room, want);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		buf_grew(out, (size_t)n);
		if (n == 0)
			return 0;
	}
}

int io_read_file(int dirfd, const char *path, struct buf *out)
{
	AUTO_FD fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

	return fd < 0 ? -errno : io_read_fd(fd, out);
}

int io_replace_file(int dirfd, const char *path, const void *p, size_t len, mode_t mode)
{
	const char *slash = strrchr(path, '/');
	char tmp[4096], dir[4096];
	int r;

	if (snprintf(tmp, sizeof(tmp), "%s.%d.tmp", path, (int)getpid()) >= (int)sizeof(tmp))
		return -ENAMETOOLONG;
	(void)snprintf(
		dir, sizeof(dir), "%.*s", slash ? (int)(slash - path + 1) : 1, slash ? path : ".");
	{
		AUTO_FD fd = openat(
			dirfd, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);

		if (fd < 0)
			return -errno;
		r = io_write_full(fd, p, len, IO_FOREVER);
		if (r == 0 && fsync(fd) < 0)
			r = -errno;
	}
	if (r == 0 && renameat(dirfd, tmp, dirfd, path) < 0)
		r = -errno;
	if (r < 0) {
		(void)unlinkat(dirfd, tmp, 0);
		return r;
	}
	AUTO_FD d = openat(dirfd, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return d < 0 || fsync(d) < 0 ? -errno : 0;
}

static int set_flag(int fd, int get, int set, int flag, bool on)
{
	int flags = fcntl(fd, get);

	if (flags < 0)
		return -errno;
	return fcntl(fd, set, on ? flags | flag : flags & ~flag) < 0 ? -errno : 0;
}

int io_set_nonblock(int fd, bool on)
{
	return set_flag(fd, F_GETFL, F_SETFL, O_NONBLOCK, on);
}

int io_set_cloexec(int fd, bool on)
{
	return set_flag(fd, F_GETFD, F_SETFD, FD_CLOEXEC, on);
}

int io_send_fd(int sock, const void *p, size_t len, int fd, int64_t deadline)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {0};
	struct iovec iov = {.iov_base = (void *)(uintptr_t)p, .iov_len = len};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};

	if (fd >= 0) {
		struct cmsghdr *c;

		m.msg_control = control.bytes;
		m.msg_controllen = sizeof(control.bytes);
		c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(int));
	}
	for (;;) {
		ssize_t n = sendmsg(sock, &m, MSG_NOSIGNAL);
		int r;

		if (n == (ssize_t)len)
			return 0;
		if (n >= 0) /* a stream socket took a part: the descriptor went with it */
			return io_write_full(sock, (const char *)p + n, len - (size_t)n, deadline);
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return -errno;
		r = io_wait(sock, POLLOUT, deadline);
		if (r < 0)
			return r;
	}
}

/* take_fds() - the one descriptor of a message; closes and refuses any others */
static int take_fds(struct msghdr *m, int *ret_fd)
{
	unsigned count = 0;
	int first = -1;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t at = CMSG_LEN(0); at + sizeof(int) <= c->cmsg_len; at += sizeof(int)) {
			int fd;

			memcpy(&fd, (char *)c + at, sizeof(int));
			if (count++ == 0)
				first = fd;
			else
				close(fd);
		}
	}
	if (count > 1 || (m->msg_flags & MSG_CTRUNC)) {
		if (first >= 0)
			close(first);
		return -EBADMSG;
	}
	*ret_fd = first;
	return 0;
}

ssize_t io_recv_fd(int sock, void *p, size_t cap, int *ret_fd, int64_t deadline)
{
	union {
		char bytes[CMSG_SPACE(4 * sizeof(int))];
		struct cmsghdr align;
	} control;

	*ret_fd = -1;
	for (;;) {
		struct iovec iov = {.iov_base = p, .iov_len = cap};
		struct msghdr m = {.msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = control.bytes,
			.msg_controllen = sizeof(control.bytes)};
		ssize_t n = recvmsg(sock, &m, MSG_CMSG_CLOEXEC);
		int r;

		if (n >= 0) {
			r = take_fds(&m, ret_fd);
			if (r == 0 && (m.msg_flags & MSG_TRUNC)) {
				own_close_fd(ret_fd);
				r = -EMSGSIZE;
			}
			return r < 0 ? r : n;
		}
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return -errno;
		r = io_wait(sock, POLLIN, deadline);
		if (r < 0)
			return r;
	}
}
