/* way_out.c - front and vault of one sandbox by themselves, with TCP ports in the place of a guest
 *
 * usage: way-out DIR FRONT VAULT PORT TO RULE...
 *   DIR    an empty directory, becomes the sandbox's        FRONT, VAULT  the programs
 *   PORT   each connection to 127.0.0.1:PORT is a stream of the guest
 *   TO     "proxy", or ADDRESS:PORT which the guest is said to have dialled
 *   RULE   allow:RESOURCE  deny:RESOURCE  bypass:RESOURCE
 *          host:NAME=ADDRESS  redirect:ADDRESS=PORT (is dialled on 127.0.0.1)  ca:FILE
 * Prints "ready" and then what is recorded, one line each. Ends with its standard input.
 */
#include "base/clock.h"
#include "base/io.h"
#include "egress/spawn.h"
#include "link/link.h"
#include "policy/policy.h"
#include "proto/dns.h"
#include "proto/egress_config.h"
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#define LIST 32

static struct {
	struct egress_host host[LIST];
	struct egress_redirect redirect[LIST];
	uint32_t n_hosts, n_redirects;
	struct buf ca;
	struct policy *policy;
	int streams, control[2];
	struct egress_stream to;
} w = {.streams = -1};

static void die(const char *what, const char *why)
{
	(void)fprintf(stderr, "%s: %s\n", what, why);
	exit(1);
}

static struct egress_addr address(const char *text)
{
	struct policy_address a;
	struct egress_addr to = {0};

	if (!policy_address_parse(text, strlen(text), &a))
		die(text, "no address");
	to.family = a.family;
	memcpy(to.bytes, a.byte, sizeof(to.bytes));
	return to;
}

static void add_rule(const char *text, enum policy_decision d, unsigned n)
{
	char id[16];
	const struct policy_rule r = {.id = id,
		.resource = text,
		.origin = "way-out",
		.source = POLICY_SOURCE_SANDBOX,
		.decision = d};
	struct err e = {0};

	(void)snprintf(id, sizeof(id), "r%u", n % 1000);
	if (policy_add(w.policy, &r, &e) < 0)
		die(text, e.msg);
}

static void take_rule(char *arg, unsigned n)
{
	char *value = strchr(arg, ':'), *more;
	struct err e = {0};

	if (!value)
		die(arg, "what?");
	*value++ = '\0';
	more = strchr(value, '=');
	if (strcmp(arg, "allow") == 0)
		add_rule(value, POLICY_ALLOW, n);
	else if (strcmp(arg, "deny") == 0)
		add_rule(value, POLICY_DENY, n);
	else if (strcmp(arg, "bypass") == 0 && policy_add_bypass(w.policy, value, &e) < 0)
		die(value, e.msg);
	else if (strcmp(arg, "ca") == 0 && io_read_file(AT_FDCWD, value, &w.ca) < 0)
		die(value, "cannot be read");
	if (more)
		*more++ = '\0';
	if (strcmp(arg, "host") == 0 && more && w.n_hosts < LIST)
		w.host[w.n_hosts++] = (struct egress_host){value, address(more)};
	if (strcmp(arg, "redirect") == 0 && more && w.n_redirects < LIST) {
		struct egress_redirect *r = &w.redirect[w.n_redirects++];

		r->from = address(value);
		r->to = address("127.0.0.1");
		r->from_port = (uint16_t)strtoul(more, &more, 10);
		r->to_port = *more == '=' ? (uint16_t)strtoul(more + 1, NULL, 10) : r->from_port;
	}
}

static int config_fd(bool vault)
{
	struct buf policy, config;
	struct egress_config c = {.generation = 1,
		.id = "way-out",
		.name = "way-out",
		.agent = "",
		.deny_hint = "sbx policy allow",
		.extra_ca = vault ? buf_str(&w.ca) : "",
		.authz_url = ""};
	int fd = memfd_create("config", MFD_CLOEXEC);

	buf_init(&policy, POLICY_BYTES_MAX);
	buf_init(&config, EGRESS_CONFIG_MAX);
	if (vault) {
		c.hosts = w.host;
		c.n_hosts = w.n_hosts;
		c.redirects = w.redirect;
		c.n_redirects = w.n_redirects;
	}
	if (policy_encode(w.policy, &policy) < 0)
		die("policy", "cannot be encoded");
	c.policy = (const uint8_t *)policy.data;
	c.policy_len = policy.len;
	if (egress_put_config(&config, &c) < 0 ||
		io_write_full(fd, config.data, config.len, IO_FOREVER) < 0 ||
		lseek(fd, 0, SEEK_SET) < 0)
		die("configuration", "cannot be made");
	buf_fini(&policy);
	buf_fini(&config);
	return fd;
}

static void send_op(int control, enum egress_op op, int fd)
{
	const struct egress_msg m = {.op = op, .seq = 1, .text = ""};
	struct buf b;

	buf_init(&b, EGRESS_CONTROL_MAX);
	if (egress_put_msg(&b, &m) < 0 ||
		io_send_fd(control, b.data, b.len, fd, clock_ms() + 5000) < 0)
		die("control", "cannot be sent");
	buf_fini(&b);
}

static int start(enum egress_who who, const char *program, int dir_fd)
{
	const char *name = who == EGRESS_FRONT ? EGRESS_FRONT_SOCKET : EGRESS_VAULT_SOCKET;
	struct err e = {0};
	int pidfd, control = -1;
	pid_t pid;

	if (egress_spawn(who, "way-out", program, dir_fd, STDERR_FILENO, &pid, &pidfd, &e) < 0)
		die(program, e.msg);
	(void)fprintf(stderr, "%s: %d\n", program, (int)pid);
	for (unsigned i = 0; i < 500 && control < 0; i++) {
		control = link_connect(dir_fd, name);
		if (control < 0)
			(void)usleep(10000);
	}
	if (control < 0)
		die(program, "does not listen");
	return control;
}

/* resolve() - as the guest would: afterwards connections to its address may be for that name */
static void resolve(const char *name)
{
	const struct link_msg m = {.op = LINK_STREAM, .port = EGRESS_PORT_DNS};
	struct buf b;
	uint8_t answer[512];
	int fds[2];

	buf_init(&b, 1024);
	assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
	if (buf_add(&b, "\0\0", 2) < 0 || dns_put_query(&b, 1, name, DNS_A) < 0 ||
		link_send(w.streams, &m, fds[0], clock_ms() + 1000) < 0)
		die(name, "cannot be asked");
	b.data[1] = (char)(b.len - 2);
	if (io_write_full(fds[1], b.data, b.len, clock_ms() + 1000) < 0 ||
		io_read_full(fds[1], answer, 2, clock_ms() + 5000) < 0)
		die(name, "was not answered");
	close(fds[0]);
	close(fds[1]);
	buf_fini(&b);
}

/* ---- the guest ---- */

struct pair {
	int a, b;
};

static void *copy(void *arg)
{
	struct pair *p = arg;
	char block[65536];
	ssize_t n;

	while ((n = read(p->a, block, sizeof(block))) > 0)
		if (io_write_full(p->b, block, (size_t)n, IO_FOREVER) < 0)
			break;
	(void)shutdown(p->b, SHUT_WR);
	if (n < 0)
		(void)shutdown(p->a, SHUT_RDWR);
	return NULL;
}

static void *guest(void *arg)
{
	struct pair up = {*(int *)arg, -1}, down;
	const struct link_msg m = {.op = LINK_STREAM, .port = EGRESS_PORT_TCP};
	uint8_t head[EGRESS_STREAM_HEAD];
	pthread_t other;
	int fds[2];

	free(arg);
	assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
	up.b = fds[1];
	down = (struct pair){up.b, up.a};
	egress_put_stream(head, &w.to);
	if (link_send(w.streams, &m, fds[0], clock_ms() + 1000) == 0 &&
		write(fds[1], head, sizeof(head)) == sizeof(head)) {
		close(fds[0]);
		assert(pthread_create(&other, NULL, copy, &down) == 0);
		(void)copy(&up);
		(void)pthread_join(other, NULL);
	} else
		close(fds[0]);
	close(up.a);
	close(up.b);
	return NULL;
}

static void *listener(void *arg)
{
	int l = *(int *)arg;

	for (;;) {
		int *fd = malloc(sizeof(*fd));
		pthread_t t;

		assert(fd);
		*fd = accept4(l, NULL, NULL, SOCK_CLOEXEC);
		if (*fd < 0 || pthread_create(&t, NULL, guest, fd) != 0)
			return NULL;
		(void)pthread_detach(t);
	}
}

/* ---- the daemon ---- */

static void records(int control, const struct egress_msg *m)
{
	const struct egress_msg ok = {.op = EGRESS_OP_REPLY, .seq = m->seq, .text = ""};
	struct egress_record r;
	size_t at = 0, used;
	struct buf b;

	while (at < m->blob_len &&
		egress_next_record(m->blob + at, m->blob_len - at, &used, &r) == PROTO_OK) {
		at += used;
		(void)printf("%s %s:%u %s %s rule=%s %s status=%u up=%llu down=%llu %s\n",
			r.decision == EGRESS_ALLOW ? "allow" : "deny", r.host, r.port, r.method,
			r.path, r.rule, r.reason, r.status, (unsigned long long)r.bytes_up,
			(unsigned long long)r.bytes_down, r.note);
	}
	(void)fflush(stdout);
	buf_init(&b, EGRESS_CONTROL_MAX);
	if (egress_put_msg(&b, &ok) == 0)
		(void)!io_send_fd(control, b.data, b.len, -1, clock_ms() + 1000);
	buf_fini(&b);
}

static void daemon_loop(void)
{
	static uint8_t bytes[EGRESS_CONTROL_MAX];
	struct pollfd p[3] = {{0, POLLIN, 0}, {w.control[0], POLLIN, 0}, {w.control[1], POLLIN, 0}};

	while (poll(p, 3, -1) >= 0 && !p[0].revents)
		for (unsigned i = 0; i < 2; i++) {
			struct egress_msg m;
			AUTO_FD fd = -1;
			ssize_t n;

			if (!p[i + 1].revents)
				continue;
			n = io_recv_fd(w.control[i], bytes, sizeof(bytes), &fd, clock_ms());
			if (n <= 0)
				die(i ? "vault" : "front", "ended");
			if (egress_get_msg(bytes, (size_t)n, fd >= 0, &m) != PROTO_OK)
				die(i ? "vault" : "front", "malformed message");
			if (m.op == EGRESS_OP_AUDIT)
				records(w.control[i], &m);
			else if (m.op == EGRESS_OP_REPLY && m.result < 0)
				die(i ? "vault" : "front", m.text);
		}
}

static void connect_both(int dir_fd, const char *front, const char *vault)
{
	int fds[2];

	w.control[0] = start(EGRESS_FRONT, front, dir_fd);
	w.control[1] = start(EGRESS_VAULT, vault, dir_fd);
	send_op(w.control[1], EGRESS_OP_CONFIG, config_fd(true));
	send_op(w.control[0], EGRESS_OP_CONFIG, config_fd(false));
	assert(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) == 0);
	send_op(w.control[0], EGRESS_OP_PEER, fds[0]);
	send_op(w.control[1], EGRESS_OP_PEER, fds[1]);
	close(fds[0]);
	close(fds[1]);
	assert(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) == 0);
	send_op(w.control[0], EGRESS_OP_STREAMS, fds[0]);
	close(fds[0]);
	w.streams = fds[1];
	for (uint32_t i = 0; i < w.n_hosts; i++)
		resolve(w.host[i].name);
}

int main(int argc, char **argv)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int l = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1, dir_fd;
	pthread_t t;

	if (argc < 6)
		die("usage", "way-out DIR FRONT VAULT PORT TO RULE...");
	(void)signal(SIGPIPE, SIG_IGN);
	buf_init(&w.ca, 1U << 20);
	w.policy = policy_new();
	for (int i = 6; i < argc; i++)
		take_rule(argv[i], (unsigned)i);
	if (policy_seal(w.policy) < 0)
		die("policy", "no memory");
	w.to = (struct egress_stream){
		.port = 3128, .way = EGRESS_PROXY, .to = address("198.18.0.1")};
	if (strcmp(argv[5], "proxy") != 0) {
		char *colon = strrchr(argv[5], ':');

		if (!colon)
			die(argv[5], "ADDRESS:PORT");
		*colon = '\0';
		w.to = (struct egress_stream){.port = (uint16_t)strtoul(colon + 1, NULL, 10),
			.way = EGRESS_REDIRECTED,
			.to = address(argv[5])};
	}
	dir_fd = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd < 0)
		die(argv[1], strerror(errno));
	connect_both(dir_fd, argv[2], argv[3]);
	sa.sin_port = htons((uint16_t)strtoul(argv[4], NULL, 10));
	(void)setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(l, (struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(l, 128) < 0 ||
		pthread_create(&t, NULL, listener, &l) != 0)
		die(argv[4], strerror(errno));
	(void)printf("ready\n");
	(void)fflush(stdout);
	daemon_loop();
	return 0;
}
