#include "link/link.h"
#include "base/io.h"
#include "base/wire.h"
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define MAGIC	0x4c584253u /* "SBXL" */
#define VERSION 1

bool link_op_takes_fd(enum link_op op)
{
	return op == LINK_OPEN || op == LINK_STREAM || op == LINK_EGRESS;
}

void link_encode(uint8_t dst[LINK_BYTES], const struct link_msg *m)
{
	struct wire_w w = wire_writer(dst, LINK_BYTES);

	memset(dst, 0, LINK_BYTES);
	wire_put_u32(&w, MAGIC);
	wire_put_u16(&w, VERSION);
	wire_put_u16(&w, (uint16_t)m->op);
	wire_put_u32(&w, m->seq);
	wire_put_u32(&w, m->port);
	wire_put_u32(&w, (uint32_t)m->result);
	wire_put_u32(&w, (uint32_t)m->state);
	for (unsigned i = 0; i < 5; i++)
		wire_put_u64(&w, m->n[i]);
	wire_put_bytes(&w, m->text, strnlen(m->text, LINK_TEXT - 1));
	assert(!w.bad);
}

enum link_result link_decode(const uint8_t *p, size_t len, bool has_fd, struct link_msg *ret_m)
{
	struct wire_r r = wire_reader(p, len);
	struct link_msg m = {0};
	const uint8_t *text;
	uint32_t magic;
	uint16_t version, op;
	uint32_t state;

	*ret_m = m;
	magic = wire_get_u32(&r);
	version = wire_get_u16(&r);
	op = wire_get_u16(&r);
	m.seq = wire_get_u32(&r);
	m.port = wire_get_u32(&r);
	m.result = (int32_t)wire_get_u32(&r);
	state = wire_get_u32(&r);
	for (unsigned i = 0; i < 5; i++)
		m.n[i] = wire_get_u64(&r);
	text = wire_get_bytes(&r, LINK_TEXT);
	if (!wire_done(&r) || len != LINK_BYTES || magic != MAGIC || version != VERSION)
		return LINK_MALFORMED;
	if (op < LINK_HELLO || op > LINK_EGRESS || m.result > 0 || m.result < -4095)
		return LINK_MALFORMED;
	m.op = (enum link_op)op;
	if (m.op == LINK_HELLO || m.op == LINK_STATE ? state < LINK_STARTING || state > LINK_CRASHED
						     : state != 0)
		return LINK_MALFORMED;
	m.state = (enum link_state)state;
	if (has_fd != link_op_takes_fd(m.op) || !memchr(text, 0, LINK_TEXT))
		return LINK_MALFORMED;
	memcpy(m.text, text, LINK_TEXT);
	*ret_m = m;
	return LINK_OK;
}

int link_send(int sock, const struct link_msg *m, int fd, int64_t deadline)
{
	uint8_t bytes[LINK_BYTES];

	link_encode(bytes, m);
	return io_send_fd(sock, bytes, sizeof(bytes), fd, deadline);
}

int link_recv(int sock, struct link_msg *ret_m, int *ret_fd, int64_t deadline)
{
	uint8_t bytes[LINK_BYTES + 1];
	AUTO_FD fd = -1;
	ssize_t n;
	int r;

	*ret_fd = -1;
	/* A blocking socket would wait in recvmsg() past the deadline: ask first. */
	r = io_wait(sock, POLLIN, deadline);
	if (r < 0)
		return r;
	n = io_recv_fd(sock, bytes, sizeof(bytes), &fd, deadline);
	if (n == 0 || n == -ECONNRESET)
		return 0;
	if (n < 0)
		return n == -EMSGSIZE ? -EBADMSG : (int)n;
	if (link_decode(bytes, (size_t)n, fd >= 0, ret_m) != LINK_OK)
		return -EBADMSG;
	*ret_fd = TAKE_FD(fd);
	return 1;
}

static int address(struct sockaddr_un *sa, int dirfd, const char *name)
{
	*sa = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (snprintf(sa->sun_path, sizeof(sa->sun_path), "/proc/self/fd/%d/%s", dirfd, name) >=
		(int)sizeof(sa->sun_path))
		return -ENAMETOOLONG;
	return 0;
}

int link_listen(int dirfd, const char *name)
{
	AUTO_FD s = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un sa;
	int r = address(&sa, dirfd, name);

	if (s < 0)
		return -errno;
	if (r < 0)
		return r;
	if (unlinkat(dirfd, name, 0) < 0 && errno != ENOENT)
		return -errno;
	if (bind(s, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return -errno;
	if (fchmodat(dirfd, name, 0600, 0) < 0 || listen(s, 4) < 0)
		return -errno;
	return TAKE_FD(s);
}

int link_connect(int dirfd, const char *name)
{
	AUTO_FD s = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un sa;
	int r = address(&sa, dirfd, name);

	if (s < 0)
		return -errno;
	if (r < 0)
		return r;
	if (connect(s, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return -errno;
	return TAKE_FD(s);
}

bool link_peer_is_us(int sock)
{
	struct ucred c = {0};
	socklen_t len = sizeof(c);

	if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &c, &len) < 0 || len != sizeof(c))
		return false;
	return c.uid == geteuid();
}

int link_pair(int ret_fds[2])
{
	int fds[2];
	int r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		return -errno;
	r = io_set_nonblock(fds[0], true);
	if (r < 0) {
		close(fds[0]);
		close(fds[1]);
		return r;
	}
	ret_fds[0] = fds[0];
	ret_fds[1] = fds[1];
	return 0;
}
