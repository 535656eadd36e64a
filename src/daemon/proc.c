#include "daemon/proc.h"
#include "base/io.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>

uint64_t proc_start_time(pid_t pid)
{
	char path[40], *s;
	AUTO(buf) b = {0};

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	buf_init(&b, 4096);
	if (io_read_file(AT_FDCWD, path, &b) < 0 || b.len == 0)
		return 0;
	s = strrchr(b.data, ')'); /* the name before it may hold anything */
	if (!s || s[1] != ' ' || s[2] == 'Z' || s[2] == 'X')
		return 0;
	for (int field = 3; s && field <= 22; field++)
		s = strchr(s + 1, ' ');
	return s ? strtoull(s + 1, NULL, 10) : 0;
}

int proc_open(pid_t pid, uint64_t start)
{
	AUTO_FD fd = -1;

	if (pid <= 0 || start == 0)
		return -ESRCH;
	fd = pidfd_open(pid, 0);
	if (fd < 0)
		return -errno;
	/* After the pidfd is open the number cannot be given away under us. */
	return proc_start_time(pid) == start ? TAKE_FD(fd) : -ESRCH;
}

int proc_of_peer(int link, pid_t *ret_pid)
{
	struct pollfd p = {.fd = link};
	struct ucred c = {0};
	socklen_t len = sizeof(c);
	AUTO_FD fd = -1;

	if (getsockopt(link, SOL_SOCKET, SO_PEERCRED, &c, &len) < 0 || c.pid <= 0)
		return -ESRCH;
	fd = pidfd_open(c.pid, 0);
	if (fd < 0)
		return -errno;
	/* The other end is still open, so it lived when the pidfd was made: the number is its own. */
	if (poll(&p, 1, 0) != 0)
		return -ESRCH;
	*ret_pid = c.pid;
	return TAKE_FD(fd);
}
