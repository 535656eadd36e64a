/* Who plays sbxd and sbx-machine: starts front and vault, configures them, answers their records, opens streams. */
#include "egress.h"
#include "base/clock.h"
#include "base/io.h"
#include "egress/spawn.h"
#include "link/link.h"
#include "policy/preset.h"
#include "proto/dns.h"
#include "proto/egress_config.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define START_MS 10000

static pid_t started[2]; /* to be killed whatever happens */

struct end { /* front or vault */
	pid_t pid;
	int pidfd, control;
};

struct play {
	struct end front, vault;
	int dir_fd, streams;
	pthread_t thread;
	atomic_bool stop;
	atomic_ullong records;
};

static void pin(int cpu, cpu_set_t *ret_before)
{
	cpu_set_t set;

	(void)sched_getaffinity(0, sizeof(*ret_before), ret_before);
	if (cpu < 0)
		return;
	CPU_ZERO(&set);
	CPU_SET((unsigned)cpu, &set);
	(void)sched_setaffinity(0, sizeof(set), &set);
}

static void spawn(struct play *p, enum egress_who who, const char *program, struct end *to)
{
	const char *name = who == EGRESS_FRONT ? EGRESS_FRONT_SOCKET : EGRESS_VAULT_SOCKET;
	int64_t deadline = clock_ms() + START_MS;
	struct err e = {0};

	if (egress_spawn(who, "bench", program, p->dir_fd, 2, &to->pid, &to->pidfd, &e) < 0)
		bench_die("%s", e.msg);
	started[who == EGRESS_FRONT] = to->pid;
	do {
		if (waitpid(to->pid, NULL, WNOHANG) != 0)
			bench_die("%s ended at its start", program);
		(void)usleep(5000);
		to->control = link_connect(p->dir_fd, name);
	} while (to->control < 0 && clock_ms() < deadline);
	if (to->control < 0)
		bench_die("%s does not listen", program);
}

/* receive() - one message; false: the socket ended. *m points into @bytes. */
static bool receive(
	int fd, uint8_t bytes[EGRESS_CONTROL_MAX], struct egress_msg *m, int64_t deadline)
{
	AUTO_FD got = -1;
	ssize_t n = io_recv_fd(fd, bytes, EGRESS_CONTROL_MAX, &got, deadline);

	return n > 0 && egress_get_msg(bytes, (size_t)n, got >= 0, m) == PROTO_OK;
}

static void send_msg(int control, const struct egress_msg *m, int fd)
{
	AUTO(buf) b = {0};

	buf_init(&b, EGRESS_CONTROL_MAX);
	if (egress_put_msg(&b, m) < 0 ||
		io_send_fd(control, b.data, b.len, fd, clock_ms() + START_MS) < 0)
		bench_die("control: cannot send");
}

static void call(int control, enum egress_op op, int fd)
{
	static uint32_t seq = 1000;
	const struct egress_msg q = {.op = op, .seq = ++seq};
	uint8_t bytes[EGRESS_CONTROL_MAX];
	struct egress_msg m;

	send_msg(control, &q, fd);
	do {
		if (!receive(control, bytes, &m, clock_ms() + START_MS))
			bench_die("control: no answer to operation %d", (int)op);
	} while (m.op != EGRESS_OP_REPLY || m.seq != seq);
	if (m.result != 0)
		bench_die("control: operation %d: %s (%d)", (int)op, m.text, m.result);
}

/* ---- configuration ---- */

static void put_policy(struct buf *out)
{
	static const char *const resources[] = {BENCH_NAME, "**." BENCH_NAME};
	AUTO_POLICY *p = policy_new();
	struct err e = {0};

	if (!p || policy_preset_add(policy_preset_find(POLICY_PRESET_DEFAULT), p, &e) < 0)
		bench_die("policy: %s", e.msg);
	for (size_t i = 0; i < ARRAY_LEN(resources); i++) {
		const struct policy_rule r = {.id = i ? "bench.below" : "bench.name",
			.resource = resources[i],
			.origin = "bench",
			.source = POLICY_SOURCE_SANDBOX,
			.decision = POLICY_ALLOW};

		if (policy_add(p, &r, &e) < 0)
			bench_die("policy: %s", e.msg);
	}
	if (policy_seal(p) < 0 || policy_encode(p, out) < 0)
		bench_die("policy: not encoded");
}

static struct egress_addr address_of(const char *text)
{
	struct policy_address a;
	struct egress_addr to;

	if (!policy_address_parse(text, strlen(text), &a))
		bench_die("%s is no address", text);
	to.family = a.family;
	memcpy(to.bytes, a.byte, sizeof(to.bytes));
	return to;
}

static int memfd_of(const struct buf *b)
{
	int fd = memfd_create("config", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || io_write_full(fd, b->data, b->len, clock_ms() + START_MS) < 0 ||
		lseek(fd, 0, SEEK_SET) != 0 ||
		fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) <
			0)
		bench_die("configuration: %s", strerror(errno));
	return fd;
}

static void configure(struct play *p, const struct play_config *c)
{
	static struct egress_host hosts[BENCH_NAMES + 1];
	static char names[BENCH_NAMES + 1][32];
	AUTO(buf) policy = {0}, ca = {0}, bytes = {0};
	struct egress_redirect redirect = {.from = address_of(BENCH_ADDRESS),
		.to = address_of("127.0.0.1"),
		.from_port = 443,
		.to_port = c->origin};
	struct egress_config k = {.generation = 1,
		.id = "bench",
		.name = "bench",
		.agent = "shell",
		.deny_hint = "sbx policy allow",
		.extra_ca = "",
		.authz_url = "",
		.hosts = hosts,
		.n_hosts = BENCH_NAMES + 1,
		.redirects = &redirect,
		.n_redirects = 1};
	AUTO_FD front = -1, vault = -1;

	for (unsigned i = 0; i <= BENCH_NAMES; i++) {
		if (i == BENCH_NAMES)
			(void)snprintf(names[i], sizeof(names[i]), "%s", BENCH_NAME);
		else
			(void)snprintf(names[i], sizeof(names[i]), "n%u.%s", i, BENCH_NAME);
		hosts[i] = (struct egress_host){names[i], address_of(BENCH_ADDRESS)};
	}
	buf_init(&policy, POLICY_BYTES_MAX);
	buf_init(&ca, 65536);
	buf_init(&bytes, EGRESS_CONFIG_MAX);
	put_policy(&policy);
	if (io_read_file(AT_FDCWD, c->ca, &ca) < 0)
		bench_die("cannot read %s", c->ca);
	k.policy = (const uint8_t *)policy.data;
	k.policy_len = policy.len;
	k.extra_ca = ca.data;
	if (egress_put_config(&bytes, &k) < 0)
		bench_die("configuration: not encoded");
	vault = memfd_of(&bytes);
	call(p->vault.control, EGRESS_OP_CONFIG, vault);
	k.extra_ca = "";
	k.n_hosts = k.n_redirects = 0;
	buf_clear(&bytes);
	if (egress_put_config(&bytes, &k) < 0)
		bench_die("configuration: not encoded");
	front = memfd_of(&bytes);
	call(p->front.control, EGRESS_OP_CONFIG, front);
}

/* ---- the daemon's thread ---- */

static void on_control(struct play *p, int fd)
{
	uint8_t bytes[EGRESS_CONTROL_MAX];
	struct egress_msg m;

	if (!receive(fd, bytes, &m, clock_ms() + START_MS)) {
		if (!atomic_load(&p->stop))
			bench_die("front or vault has ended");
		return;
	}
	if (m.op == EGRESS_OP_AUDIT) {
		const struct egress_msg reply = {.op = EGRESS_OP_REPLY, .seq = m.seq, .text = ""};
		struct egress_record r;
		size_t used;

		for (size_t at = 0; at < m.blob_len; at += used) {
			if (egress_next_record(m.blob + at, m.blob_len - at, &used, &r) != PROTO_OK)
				bench_die("a malformed audit record");
			atomic_fetch_add(&p->records, 1);
		}
		send_msg(fd, &reply, -1);
	}
}

static void *answer_all(void *arg)
{
	struct play *p = arg;

	while (!atomic_load(&p->stop)) {
		struct pollfd f[2] = {{.fd = p->front.control, .events = POLLIN},
			{.fd = p->vault.control, .events = POLLIN}};

		if (poll(f, 2, 200) <= 0)
			continue;
		for (int i = 0; i < 2; i++)
			if (f[i].revents)
				on_control(p, f[i].fd);
	}
	return NULL;
}

static void pair_of(int type, int ret_fds[2])
{
	if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ret_fds) < 0)
		bench_die("socketpair: %s", strerror(errno));
}

struct play *play_start(const struct play_config *c)
{
	struct play *p = calloc(1, sizeof(*p));
	int peer[2], streams[2];
	cpu_set_t before;

	if (!p)
		bench_die("no memory");
	p->dir_fd = open(c->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (p->dir_fd < 0)
		bench_die("%s: %s", c->dir, strerror(errno));
	pin(c->cpu, &before);
	spawn(p, EGRESS_VAULT, c->vault, &p->vault);
	spawn(p, EGRESS_FRONT, c->front, &p->front);
	(void)sched_setaffinity(0, sizeof(before), &before);
	configure(p, c);
	pair_of(SOCK_SEQPACKET, peer);
	pair_of(SOCK_SEQPACKET, streams);
	call(p->vault.control, EGRESS_OP_PEER, peer[0]);
	call(p->front.control, EGRESS_OP_PEER, peer[1]);
	call(p->front.control, EGRESS_OP_STREAMS, streams[0]);
	close(peer[0]);
	close(peer[1]);
	close(streams[0]);
	p->streams = streams[1];
	if (pthread_create(&p->thread, NULL, answer_all, p) != 0)
		bench_die("no thread");
	return p;
}

static int open_stream(struct play *p, uint32_t port)
{
	const struct link_msg m = {.op = LINK_STREAM, .port = port};
	int fds[2];

	pair_of(SOCK_STREAM, fds);
	if (link_send(p->streams, &m, fds[0], clock_ms() + START_MS) < 0)
		bench_die("no stream to the front");
	close(fds[0]);
	return fds[1];
}

int play_stream(struct play *p, bool proxy)
{
	struct egress_stream s = {.to = address_of(proxy ? "198.18.0.1" : BENCH_ADDRESS),
		.port = proxy ? 3128 : 443,
		.way = proxy ? EGRESS_PROXY : EGRESS_REDIRECTED};
	uint8_t head[EGRESS_STREAM_HEAD];
	int fd = open_stream(p, EGRESS_PORT_TCP);

	egress_put_stream(head, &s);
	if (io_write_full(fd, head, sizeof(head), clock_ms() + START_MS) < 0 ||
		io_set_nonblock(fd, true) < 0)
		bench_die("no stream to the front");
	return fd;
}

void play_resolve(struct play *p, const char *name)
{
	uint8_t q[300] = {0, 0, 0x12, 0x34, 1, 0, 0, 1}, answer[1024];
	AUTO_FD fd = open_stream(p, EGRESS_PORT_DNS);
	size_t len = 14;

	for (const char *at = name; *at;) {
		size_t label = strcspn(at, ".");

		q[len++] = (uint8_t)label;
		memcpy(q + len, at, label);
		len += label;
		at += label + (at[label] == '.');
	}
	q[len++] = 0;
	memcpy(q + len, "\0\1\0\1", 4);
	len += 4;
	q[1] = (uint8_t)(len - 2);
	if (io_write_full(fd, q, len, clock_ms() + START_MS) < 0 ||
		io_read_full(fd, answer, 14, clock_ms() + START_MS) < 0)
		bench_die("no answer to a question for %s", name);
	if ((answer[5] & 15) != 0 || answer[9] == 0)
		bench_die("%s was not resolved: rcode %d", name, answer[5] & 15);
}

void play_kill(void)
{
	for (size_t i = 0; i < ARRAY_LEN(started); i++)
		if (started[i] > 0)
			(void)kill(started[i], SIGKILL);
}

pid_t play_front(const struct play *p)
{
	return p->front.pid;
}

pid_t play_vault(const struct play *p)
{
	return p->vault.pid;
}

uint64_t play_records(const struct play *p)
{
	return atomic_load(&p->records);
}

void play_stop(struct play *p)
{
	struct end *const ends[] = {&p->front, &p->vault};

	atomic_store(&p->stop, true);
	(void)pthread_join(p->thread, NULL);
	for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
		(void)kill(ends[i]->pid, SIGKILL);
		(void)waitpid(ends[i]->pid, NULL, 0);
		close(ends[i]->pidfd);
		close(ends[i]->control);
	}
	close(p->streams);
	close(p->dir_fd);
	free(p);
}
