#include "guest/netlink.h"
#include "base/clock.h"
#include "base/io.h"
#include <errno.h>
#include <linux/netlink.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#define HEAD sizeof(struct nlattr)

void nl_init(struct nl *n)
{
	n->len = n->msg = 0;
	n->asked = 0;
	n->bad = false;
}

/* room() - @len bytes at the end, rounded up with zeros; NULL: there are none */
static uint8_t *room(struct nl *n, size_t len)
{
	size_t whole = NLMSG_ALIGN(len);
	uint8_t *at = n->p + n->len;

	if (n->bad || whole < len || whole > sizeof(n->p) - n->len) {
		n->bad = true;
		return NULL;
	}
	memset(at, 0, whole);
	n->len += whole;
	return at;
}

void nl_begin(struct nl *n, uint16_t type, uint16_t flags, const void *header, size_t len)
{
	struct nlmsghdr h = {.nlmsg_type = type, .nlmsg_flags = flags | NLM_F_REQUEST};
	uint8_t *at;

	n->msg = n->len;
	n->asked += (flags & NLM_F_ACK) != 0;
	h.nlmsg_seq = n->asked;
	at = room(n, sizeof(h));
	if (at)
		memcpy(at, &h, sizeof(h));
	at = room(n, len);
	if (at)
		memcpy(at, header, len);
}

void nl_end(struct nl *n)
{
	uint32_t len = (uint32_t)(n->len - n->msg);

	if (!n->bad)
		memcpy(n->p + n->msg, &len, sizeof(len));
}

void nl_put(struct nl *n, uint16_t type, const void *p, size_t len)
{
	struct nlattr a = {.nla_type = type, .nla_len = (uint16_t)(HEAD + len)};
	uint8_t *at = room(n, HEAD + len);

	if (!at || len > UINT16_MAX - HEAD) {
		n->bad = true;
		return;
	}
	memcpy(at, &a, sizeof(a));
	if (len)
		memcpy(at + HEAD, p, len);
}

void nl_put_str(struct nl *n, uint16_t type, const char *s)
{
	nl_put(n, type, s, strlen(s) + 1);
}

void nl_put_u32(struct nl *n, uint16_t type, uint32_t v)
{
	nl_put(n, type, &v, sizeof(v));
}

void nl_put_be32(struct nl *n, uint16_t type, uint32_t v)
{
	const uint8_t be[4] = {
		(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};

	nl_put(n, type, be, sizeof(be));
}

size_t nl_nest(struct nl *n, uint16_t type)
{
	size_t nest = n->len;

	nl_put(n, type | NLA_F_NESTED, NULL, 0);
	return nest;
}

void nl_unnest(struct nl *n, size_t nest)
{
	size_t len = n->len - nest;
	uint16_t small = (uint16_t)len;

	if (n->bad || len > UINT16_MAX)
		n->bad = true;
	else
		memcpy(n->p + nest, &small, sizeof(small));
}

/* judge() - the answers in one datagram: how many, and the first refusal */
static int judge(const uint8_t *p, size_t len, unsigned *answered)
{
	int first = 0;

	for (size_t at = 0; len - at >= sizeof(struct nlmsghdr);) {
		struct nlmsghdr h;
		int32_t error;

		memcpy(&h, p + at, sizeof(h));
		if (h.nlmsg_len < sizeof(h) || h.nlmsg_len > len - at)
			return -EBADMSG;
		if (h.nlmsg_type == NLMSG_ERROR && h.nlmsg_len >= sizeof(h) + sizeof(error)) {
			memcpy(&error, p + at + sizeof(h), sizeof(error));
			if (first == 0 && error < 0)
				first = error;
			(*answered)++;
		}
		if (NLMSG_ALIGN(h.nlmsg_len) >= len - at)
			break;
		at += NLMSG_ALIGN(h.nlmsg_len);
	}
	return first;
}

int nl_talk(const struct nl *n, int protocol, int timeout_ms)
{
	AUTO_FD fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
	const struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	_Alignas(8) static uint8_t answer[16384];
	int64_t deadline = clock_ms() + timeout_ms;
	unsigned answered = 0;

	if (n->bad)
		return -EMSGSIZE;
	if (fd < 0 ||
		sendto(fd, n->p, n->len, 0, (const struct sockaddr *)&kernel, sizeof(kernel)) < 0)
		return -errno;
	while (answered < n->asked) {
		ssize_t got;
		int r = io_wait(fd, POLLIN, deadline);

		if (r < 0)
			return r;
		got = recv(fd, answer, sizeof(answer), 0);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		r = judge(answer, (size_t)got, &answered);
		if (r < 0)
			return r;
	}
	return 0;
}
