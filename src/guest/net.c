#include "guest/net.h"
#include "base/clock.h"
#include "base/io.h"
#include "guest/rules.h"
#include "guest/sys.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define TALK_MS	 5000
#define BEGUN_MS 60000 /* on a host that is overloaded */
#define MTU	 65535 /* nothing of it is ever sent: fewer, larger pieces */

static struct nl batch;

static int make_device(void)
{
	const struct ifinfomsg link = {
		.ifi_family = AF_UNSPEC, .ifi_flags = IFF_UP, .ifi_change = IFF_UP};
	size_t nest;
	int r;

	/* Asking for its index first would have the kernel run modprobe: half a second. */
	nl_init(&batch);
	nl_begin(&batch, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK, &link, sizeof(link));
	nl_put_str(&batch, IFLA_IFNAME, RULES_DEVICE);
	nl_put_u32(&batch, IFLA_MTU, MTU);
	nest = nl_nest(&batch, IFLA_LINKINFO);
	nl_put_str(&batch, IFLA_INFO_KIND, "dummy");
	nl_unnest(&batch, nest);
	nl_end(&batch);
	r = nl_talk(&batch, NETLINK_ROUTE, TALK_MS);
	return r == -EEXIST ? 0 : r;
}

/* An address as the kernel's messages have it. */
struct place {
	uint8_t family, len;
	uint8_t bytes[16];
};

static struct place place(int family, const char *text)
{
	struct place p = {.family = (uint8_t)family, .len = family == AF_INET ? 4 : 16};

	if (inet_pton(family, text, p.bytes) != 1)
		p.len = 0; /* refused by the kernel: cannot be, these are our own constants */
	return p;
}

static void put_address(const struct place *own, unsigned device)
{
	const struct ifaddrmsg m = {.ifa_family = own->family,
		.ifa_prefixlen = (uint8_t)(own->len * 8),
		.ifa_flags = own->family == AF_INET6 ? IFA_F_NODAD : 0,
		.ifa_index = device};

	nl_begin(&batch, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE | NLM_F_ACK, &m, sizeof(m));
	nl_put(&batch, IFA_LOCAL, own->bytes, own->len);
	nl_put(&batch, IFA_ADDRESS, own->bytes, own->len);
	nl_end(&batch);
}

/* put_route() - everything by the gateway, which is simply there ("onlink"): programs that look for
 * a default route expect one with an address
 */
static void put_route(const struct place *gateway, const struct place *own, unsigned device)
{
	const struct rtmsg m = {.rtm_family = gateway->family,
		.rtm_table = RT_TABLE_MAIN,
		.rtm_protocol = RTPROT_BOOT,
		.rtm_scope = RT_SCOPE_UNIVERSE,
		.rtm_type = RTN_UNICAST,
		.rtm_flags = RTNH_F_ONLINK};

	nl_begin(&batch, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE | NLM_F_ACK, &m, sizeof(m));
	nl_put_u32(&batch, RTA_OIF, device);
	nl_put(&batch, RTA_GATEWAY, gateway->bytes, gateway->len);
	nl_put(&batch, RTA_PREFSRC, own->bytes, own->len);
	nl_end(&batch);
}

static int make_routes(void)
{
	static const struct {
		int family;
		const char *own, *gateway;
	} sides[] = {{AF_INET, NET_ADDRESS4, NET_GATEWAY4}, {AF_INET6, NET_ADDRESS6, NET_GATEWAY6}};
	unsigned device = if_nametoindex(RULES_DEVICE);

	if (device == 0)
		return -errno;
	nl_init(&batch);
	for (size_t i = 0; i < ARRAY_LEN(sides); i++) {
		const struct place own = place(sides[i].family, sides[i].own);
		const struct place gateway = place(sides[i].family, sides[i].gateway);

		put_address(&own, device);
		put_route(&gateway, &own, device);
	}
	return nl_talk(&batch, NETLINK_ROUTE, TALK_MS);
}

static uint8_t count_bits(const uint8_t *mask, size_t len)
{
	uint8_t bits = 0;

	while (bits < len * 8 && mask[bits / 8] >> (7 - bits % 8) & 1)
		bits++;
	return bits;
}

/* prefix_of() - false when the address is none of a network of the guest's */
static bool prefix_of(const struct ifaddrs *a, struct rules_prefix *ret)
{
	if (!a->ifa_addr || !a->ifa_netmask)
		return false;
	*ret = (struct rules_prefix){0};
	if (a->ifa_addr->sa_family == AF_INET) {
		const struct sockaddr_in *addr = (const void *)a->ifa_addr;
		const struct sockaddr_in *mask = (const void *)a->ifa_netmask;

		ret->family = 4;
		memcpy(ret->addr, &addr->sin_addr, 4);
		ret->bits = count_bits((const void *)&mask->sin_addr, 4);
		return true;
	}
	if (a->ifa_addr->sa_family == AF_INET6) {
		const struct sockaddr_in6 *addr = (const void *)a->ifa_addr;
		const struct sockaddr_in6 *mask = (const void *)a->ifa_netmask;

		ret->family = 6;
		memcpy(ret->addr, &addr->sin6_addr, 16);
		ret->bits = count_bits((const void *)&mask->sin6_addr, 16);
		return !IN6_IS_ADDR_LINKLOCAL(&addr->sin6_addr);
	}
	return false;
}

int net_rules(void)
{
	struct rules_prefix own[RULES_PREFIX_MAX];
	struct ifaddrs *all = NULL;
	size_t n = 0;

	if (getifaddrs(&all) < 0)
		return -errno;
	for (const struct ifaddrs *a = all; a && n < ARRAY_LEN(own); a = a->ifa_next)
		if (!(a->ifa_flags & IFF_LOOPBACK))
			n += prefix_of(a, &own[n]);
	freeifaddrs(all);
	rules_build(&batch, own, n);
	return nl_talk(&batch, NETLINK_NETFILTER, TALK_MS);
}

int net_up(struct err *e)
{
	int r = make_device();

	if (r < 0)
		return err_sys(e, r, "make the network interface '%s'", RULES_DEVICE);
	r = make_routes();
	if (r < 0)
		return err_sys(e, r, "give the network interface its addresses and routes");
	r = net_rules();
	return r < 0 ? err_sys(e, r, "redirect connections to the forwarder") : 0;
}

static struct {
	pid_t pid; /* 0: none */
	int words; /* what went wrong, when something did */
} child = {.words = -1};

void net_begin(void (*load)(void))
{
	struct err e = {0};
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return;
	child.pid = fork();
	if (child.pid == 0) {
		load();
		if (net_up(&e) < 0)
			sys_try((int)write(fds[1], e.msg, strlen(e.msg)));
		_exit(0);
	}
	close(fds[1]);
	child.words = fds[0];
}

int net_wait(struct err *e)
{
	int64_t deadline = clock_ms() + BEGUN_MS;
	AUTO_FD fd = TAKE_FD(child.words);
	AUTO(buf) words = {0};
	int r;

	if (child.pid <= 0)
		return net_up(e);
	buf_init(&words, ERR_MSG_MAX);
	r = io_wait(fd, POLLIN, deadline);
	if (r == 0)
		r = io_read_fd(fd, &words);
	if (r < 0)
		(void)kill(child.pid, SIGKILL);
	while (waitpid(child.pid, NULL, 0) < 0 && errno == EINTR)
		;
	child.pid = 0;
	if (r < 0)
		return err_sys(e, r, "make the network");
	return words.len ? err_set(e, ERR_INTERNAL, -EIO, "%s", buf_str(&words)) : 0;
}

int net_watch(void)
{
	const struct sockaddr_nl news = {
		.nl_family = AF_NETLINK, .nl_groups = RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR};
	AUTO_FD fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);

	if (fd < 0 || bind(fd, (const struct sockaddr *)&news, sizeof(news)) < 0)
		return -errno;
	return TAKE_FD(fd);
}

void net_watched(int fd)
{
	uint8_t drop[8192];

	/* Too many at once (ENOBUFS) are news, too. */
	while (recv(fd, drop, sizeof(drop), 0) > 0 || errno == ENOBUFS)
		;
}
