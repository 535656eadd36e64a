#include "guest/forward.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "guest/net.h"
#include "guest/reap.h"
#include "guest/rules.h"
#include "guest/sys.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#define BACKLOG	     1024
#define ORIGINAL_DST 80 /* SO_ORIGINAL_DST, IP6T_SO_ORIGINAL_DST */
#define AGAIN_MS     200 /* from its end to the next forwarder */
#define ADDRESSES_MS 50 /* several addresses come at once */
#define OOM_SCORE    "-900"
#define SOCKETS_START                                                                              \
	{                                                                                          \
		-1, -1, -1, -1, -1, -1, -1                                                         \
	}

struct forwarder {
	struct loop *loop;
	struct tcp_forward *tcp;
	struct dns_forward *dns;
	struct dial_forward *dial;
	int news; /* of addresses */
	struct loop_timer *settle;
};

/* Open for as long as PID 1 lives: a new forwarder finds what came in the meantime. */
static int sockets[FORWARD_SOCKETS] = SOCKETS_START;
static int dial_out = -1; /* the other end of FORWARD_DIAL */

/* Where services listen: mostly there, seldom on the guest's own address alone. */
static const char *const inside[] = {"127.0.0.1", "::1", NET_ADDRESS4, NET_ADDRESS6};

/* ---- the outside ---- */

static int dial_host(void *ctx, uint32_t port)
{
	const struct sockaddr_vm addr = {
		.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_HOST, .svm_port = port};
	AUTO_FD fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	(void)ctx;
	if (fd < 0 || (connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0 &&
			      errno != EINPROGRESS))
		return -errno;
	return TAKE_FD(fd);
}

static bool is_proxy(const struct forward_dest *d)
{
	uint8_t gateway[16] = {0};

	if (d->port != NET_PROXY_PORT)
		return false;
	if (d->family == 4)
		return inet_pton(AF_INET, NET_GATEWAY4, gateway) == 1 &&
		       memcmp(d->addr, gateway, 4) == 0;
	return inet_pton(AF_INET6, NET_GATEWAY6, gateway) == 1 && memcmp(d->addr, gateway, 16) == 0;
}

static int find_origin(void *ctx, int fd, struct forward_dest *ret)
{
	struct sockaddr_storage own = {0}, dst = {0};
	socklen_t own_len = sizeof(own), len = sizeof(dst);
	bool v4;

	(void)ctx;
	if (getsockname(fd, (struct sockaddr *)&own, &own_len) < 0)
		return -errno;
	v4 = own.ss_family == AF_INET;
	if (getsockopt(fd, v4 ? IPPROTO_IP : IPPROTO_IPV6, ORIGINAL_DST, &dst, &len) < 0)
		return -errno;
	if (v4) {
		const struct sockaddr_in *in = (const void *)&dst;

		*ret = (struct forward_dest){.family = 4, .port = ntohs(in->sin_port)};
		memcpy(ret->addr, &in->sin_addr, 4);
	} else {
		const struct sockaddr_in6 *in = (const void *)&dst;

		*ret = (struct forward_dest){.family = 6, .port = ntohs(in->sin6_port)};
		memcpy(ret->addr, &in->sin6_addr, 16);
	}
	if (ret->port == 0 || ret->port == RULES_TCP_PORT) /* it came here by itself */
		return -ELOOP;
	ret->proxy = is_proxy(ret);
	return 0;
}

static const struct forward_ops guest_ops = {.dial = dial_host, .origin = find_origin};

/* ---- the process ---- */

static void on_settled(void *ctx)
{
	struct forwarder *f = ctx;
	int r;

	f->settle = NULL;
	r = net_rules();
	if (r < 0)
		log_warn("rules for the guest's own networks: %s", strerror(-r));
}

/* on_news() - a bridge came or went: its network is inside */
static void on_news(void *ctx, uint32_t events)
{
	struct forwarder *f = ctx;

	(void)events;
	net_watched(f->news);
	if (!f->settle)
		(void)!loop_add_timer(
			f->loop, clock_ms() + ADDRESSES_MS, on_settled, f, &f->settle);
}

/* close_others() - what PID 1 has open is not for this process */
static void close_others(void)
{
	unsigned from = 3;

	for (;;) {
		unsigned next = UINT32_MAX;

		for (size_t i = 0; i < FORWARD_SOCKETS; i++)
			if ((unsigned)sockets[i] >= from && (unsigned)sockets[i] < next)
				next = (unsigned)sockets[i];
		if (next == UINT32_MAX)
			break;
		if (next > from)
			(void)syscall(SYS_close_range, from, next - 1, 0);
		from = next + 1;
	}
	(void)syscall(SYS_close_range, from, UINT32_MAX, 0);
}

/* @again: another forwarder has ended, and may have missed news */
static int serve(struct forwarder *f, bool again)
{
	int r = 0;

	f->loop = loop_new();
	f->tcp = f->loop ? tcp_forward_new(f->loop, &guest_ops) : NULL;
	f->dns = f->tcp ? dns_forward_new(f->loop, &guest_ops) : NULL;
	f->dial = f->dns ? dial_forward_new(f->loop, inside, ARRAY_LEN(inside)) : NULL;
	if (!f->dial)
		return -ENOMEM;
	for (int i = FORWARD_TCP4; i <= FORWARD_TCP6 && r == 0; i++)
		r = tcp_forward_listen(f->tcp, sockets[i]);
	for (int i = FORWARD_DNS4; i <= FORWARD_DNS6 && r == 0; i++)
		r = dns_forward_udp(f->dns, sockets[i]);
	for (int i = FORWARD_DNS_TCP4; i <= FORWARD_DNS_TCP6 && r == 0; i++)
		r = dns_forward_tcp(f->dns, sockets[i]);
	if (r == 0)
		r = dial_forward_listen(f->dial, sockets[FORWARD_DIAL]);
	if (r < 0)
		return r;
	f->news = net_watch();
	if (f->news < 0 || loop_add_fd(f->loop, f->news, EPOLLIN, on_news, f, NULL) < 0 ||
		(again && net_rules() < 0))
		log_warn("networks that are made later inside are taken for outside");
	return loop_run(f->loop);
}

static NORETURN void run_forwarder(bool again)
{
	static struct forwarder f;
	int fd;

	close_others();
	(void)prctl(PR_SET_NAME, "sbx-forward");
	fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (fd >= 0) {
		sys_try((int)write(fd, OOM_SCORE, strlen(OOM_SCORE)));
		close(fd);
	}
	log_warn("forwarder: %s", strerror(-serve(&f, again)));
	_exit(1);
}

static void on_gone(void *ctx, int status);

static void start(struct guest *g, bool again)
{
	pid_t pid = fork();

	if (pid == 0)
		run_forwarder(again);
	if (pid < 0 || reaper_watch(g->reaper, pid, on_gone, g) < 0)
		on_gone(g, 0);
}

static void start_again(void *ctx)
{
	start(ctx, true);
}

/* on_gone() - by a timer of the loop, so that none is started while the machine powers off */
static void on_gone(void *ctx, int status)
{
	struct guest *g = ctx;

	(void)status;
	if (loop_add_timer(g->loop, clock_ms() + AGAIN_MS, start_again, g, NULL) < 0)
		log_warn("no forwarder: no network");
}

/* ---- PID 1 ---- */

static int open_socket(int family, int type, uint16_t port)
{
	const struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
	const struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	bool is4 = family == AF_INET;
	const void *addr = is4 ? (const void *)&v4 : (const void *)&v6;
	AUTO_FD fd = socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int one = 1, r;

	if (fd < 0)
		return -errno;
	r = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (r == 0 && !is4)
		r = setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	if (r == 0 && type == SOCK_DGRAM)
		r = setsockopt(fd, is4 ? IPPROTO_IP : IPPROTO_IPV6,
			is4 ? IP_PKTINFO : IPV6_RECVPKTINFO, &one, sizeof(one));
	if (r == 0 && type == SOCK_STREAM) /* accepted sockets inherit it */
		r = setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (r == 0)
		r = bind(fd, addr, is4 ? sizeof(v4) : sizeof(v6));
	if (r == 0 && type == SOCK_STREAM)
		r = listen(fd, BACKLOG);
	return r < 0 ? -errno : TAKE_FD(fd);
}

static int open_dial(struct err *e)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return err_sys(e, -errno, "make a way for connections of the host");
	sockets[FORWARD_DIAL] = pair[0];
	dial_out = pair[1];
	return 0;
}

static int open_sockets(struct err *e)
{
	static const struct {
		int family, type;
		uint16_t port;
	} wanted[FORWARD_DIAL] = {
		[FORWARD_TCP4] = {AF_INET, SOCK_STREAM, RULES_TCP_PORT},
		[FORWARD_TCP6] = {AF_INET6, SOCK_STREAM, RULES_TCP_PORT},
		[FORWARD_DNS4] = {AF_INET, SOCK_DGRAM, RULES_DNS_PORT},
		[FORWARD_DNS6] = {AF_INET6, SOCK_DGRAM, RULES_DNS_PORT},
		[FORWARD_DNS_TCP4] = {AF_INET, SOCK_STREAM, RULES_DNS_PORT},
		[FORWARD_DNS_TCP6] = {AF_INET6, SOCK_STREAM, RULES_DNS_PORT},
	};

	for (size_t i = 0; i < FORWARD_DIAL; i++) {
		sockets[i] = open_socket(wanted[i].family, wanted[i].type, wanted[i].port);
		if (sockets[i] < 0)
			return err_sys(e, sockets[i], "listen for redirected connections");
	}
	return open_dial(e);
}

int forward_dial(uint16_t port, int stream)
{
	return io_send_fd(dial_out, &port, sizeof(port), stream, clock_ms());
}

int forward_start(struct guest *g, struct err *e)
{
	int r;

	if (sockets[0] >= 0)
		return 0; /* it runs: the boot stream broke and is begun anew */
	r = net_wait(e);
	if (r == 0)
		r = open_sockets(e);
	if (r < 0) {
		for (size_t i = 0; i < FORWARD_SOCKETS; i++)
			own_close_fd(&sockets[i]);
		own_close_fd(&dial_out);
		return r;
	}
	start(g, false);
	return 0;
}
