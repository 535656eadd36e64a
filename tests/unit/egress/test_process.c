/* The program as the daemon starts it: jailed, configured over its socket, with a name server of the test's */
#include "rig.h"
#include "base/io.h"
#include "egress/spawn.h"
#include "link/link.h"
#include "proto/dns.h"
#include <fcntl.h>
#include <libgen.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* ---- a name server ---- */

struct server {
	int udp, tcp;
	uint16_t port;
	atomic_bool stop;
	atomic_uint by_udp, by_tcp;
	pthread_t thread;
};

static void respond(const struct dns_query *q, size_t max, struct buf *out)
{
	static const uint8_t alias[] = "\4real\4test\7example";
	static const uint8_t loop[] = "\4loop\4test\7example";
	static const uint8_t public[] = {45, 33, 0, 1};
	static const uint8_t private[] = {10, 1, 2, 3};
	struct dns_record rec[40], *v = rec;
	enum dns_rcode rcode = DNS_NOERROR;
	size_t n = 0;

	rec[0] = (struct dns_record){DNS_A, 60, public, 4};
	if (strcmp(q->name, "alias.test.example") == 0) {
		rec[0] = (struct dns_record){DNS_CNAME, 60, alias, sizeof(alias)};
		n = 1;
	} else if (strcmp(q->name, "loop.test.example") == 0) {
		rec[0] = (struct dns_record){DNS_CNAME, 60, loop, sizeof(loop)};
		n = 1;
	} else if (strcmp(q->name, "inside.test.example") == 0) {
		rec[0].rdata = private;
		n = q->type == DNS_A;
	} else if (strcmp(q->name, "many.test.example") == 0) {
		for (n = 0; n < 40; n++)
			rec[n] = (struct dns_record){DNS_A, 60, public, 4};
		n = q->type == DNS_A ? 40 : 0;
	} else if (strcmp(q->name, "real.test.example") == 0) {
		n = q->type == DNS_A;
	} else {
		rcode = DNS_NXDOMAIN;
	}
	assert_int_equal(dns_put_reply(out, q, rcode, v, n, max), 0);
}

static void serve_tcp(struct server *s)
{
	AUTO_FD fd = accept(s->tcp, NULL, NULL);
	AUTO(buf) out = {0};
	struct dns_query q;
	uint8_t b[600];
	int64_t until = clock_ms() + 2000;
	size_t len;

	if (fd < 0 || io_read_full(fd, b, 2, until) < 0)
		return;
	len = (size_t)b[0] << 8 | b[1];
	if (len > sizeof(b) || io_read_full(fd, b, len, until) < 0 ||
		dns_get_query(b, len, &q) != DNS_OK)
		return;
	s->by_tcp++;
	buf_init(&out, 65536);
	respond(&q, 65535, &out);
	b[0] = (uint8_t)(out.len >> 8);
	b[1] = (uint8_t)out.len;
	if (io_write_full(fd, b, 2, until) == 0)
		(void)!io_write_full(fd, out.data, out.len, until);
}

static void serve_udp(struct server *s)
{
	struct sockaddr_in from;
	socklen_t len = sizeof(from);
	AUTO(buf) out = {0};
	struct dns_query q;
	uint8_t b[600];
	ssize_t n = recvfrom(s->udp, b, sizeof(b), 0, (struct sockaddr *)&from, &len);

	if (n <= 0 || dns_get_query(b, (size_t)n, &q) != DNS_OK)
		return;
	s->by_udp++;
	buf_init(&out, 65536);
	/* First an answer to another question: it must be passed over. */
	q.id ^= 1;
	respond(&q, 512, &out);
	(void)sendto(s->udp, out.data, out.len, 0, (struct sockaddr *)&from, len);
	q.id ^= 1;
	buf_clear(&out);
	respond(&q, 512, &out);
	(void)sendto(s->udp, out.data, out.len, 0, (struct sockaddr *)&from, len);
}

static void *server_main(void *ctx)
{
	struct server *s = ctx;

	while (!s->stop) {
		struct pollfd p[2] = {{s->udp, POLLIN, 0}, {s->tcp, POLLIN, 0}};

		if (poll(p, 2, 20) <= 0)
			continue;
		if (p[0].revents)
			serve_udp(s);
		if (p[1].revents)
			serve_tcp(s);
	}
	return NULL;
}

static void server_start(struct server *s)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(sa);

	*s = (struct server){0};
	s->udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	s->tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(s->udp, (struct sockaddr *)&sa, len), 0);
	assert_int_equal(getsockname(s->udp, (struct sockaddr *)&sa, &len), 0);
	assert_int_equal(bind(s->tcp, (struct sockaddr *)&sa, len), 0);
	assert_int_equal(listen(s->tcp, 8), 0);
	s->port = ntohs(sa.sin_port);
	assert_int_equal(pthread_create(&s->thread, NULL, server_main, s), 0);
}

static void server_stop(struct server *s)
{
	s->stop = true;
	pthread_join(s->thread, NULL);
	close(s->udp);
	close(s->tcp);
}

/* ---- the daemon ---- */

struct daemon {
	char dir[64];
	int dir_fd, pidfd, control, channel, peer;
	pid_t pid;
	struct tls_ca *ca;
	struct rig *config; /* for its lists and rig_rule() */
	struct buf in;
};

static void send_msg(struct daemon *d, const struct egress_msg *m, int fd)
{
	AUTO(buf) b = {0};

	buf_init(&b, EGRESS_CONTROL_MAX);
	assert_int_equal(egress_put_msg(&b, m), 0);
	assert_int_equal(io_send_fd(d->control, b.data, b.len, fd, clock_ms() + 5000), 0);
}

static void get_msg(struct daemon *d, enum egress_op op, struct egress_msg *m)
{
	static uint8_t bytes[EGRESS_CONTROL_MAX];
	int fd;
	ssize_t n = io_recv_fd(d->control, bytes, sizeof(bytes), &fd, clock_ms() + 10000);

	assert_true(n > 0);
	assert_int_equal(egress_get_msg(bytes, (size_t)n, fd >= 0, m), PROTO_OK);
	assert_int_equal(m->op, op);
}

static void start(struct daemon *d)
{
	char self[512], program[600];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	struct err e = {0};
	struct egress_msg m;

	assert_true(n > 0);
	self[n] = 0;
	(void)snprintf(program, sizeof(program), "%s/egress/sbx-vault-rig", dirname(self));
	(void)snprintf(d->dir, sizeof(d->dir), "/tmp/sbx-vault-test.XXXXXX");
	assert_non_null(mkdtemp(d->dir));
	d->dir_fd = open(d->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (egress_spawn(EGRESS_VAULT, "box", program, d->dir_fd, STDERR_FILENO, &d->pid, &d->pidfd,
		    &e) < 0)
		fail_msg("%s", e.msg);
	for (int i = 0; i < 500; i++) {
		d->control = link_connect(d->dir_fd, EGRESS_VAULT_SOCKET);
		if (d->control >= 0)
			break;
		poll(NULL, 0, 10);
	}
	assert_true(d->control >= 0);
	get_msg(d, EGRESS_OP_HELLO, &m);
	assert_int_equal(m.who, EGRESS_VAULT);
	assert_string_equal(m.name, "box");
}

static void configure(struct daemon *d, const struct egress_config *c)
{
	AUTO(buf) bytes = {0};
	AUTO_FD fd = memfd_create("config", MFD_CLOEXEC);
	struct egress_msg m;

	buf_init(&bytes, EGRESS_CONFIG_MAX);
	assert_int_equal(egress_put_config(&bytes, c), 0);
	assert_int_equal(io_write_full(fd, bytes.data, bytes.len, IO_FOREVER), 0);
	send_msg(d, &(struct egress_msg){.op = EGRESS_OP_CONFIG, .seq = 7}, fd);
	get_msg(d, EGRESS_OP_REPLY, &m);
	if (m.result < 0)
		fail_msg("%s", m.text);
	assert_int_equal(m.seq, 7);
}

/* open_channel() - a peer socket, and a channel over it, as the front does */
static void open_channel(struct daemon *d)
{
	int peer[2], channel[2];
	struct egress_msg m;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, peer), 0);
	send_msg(d, &(struct egress_msg){.op = EGRESS_OP_PEER, .seq = 8}, peer[1]);
	close(peer[1]);
	get_msg(d, EGRESS_OP_REPLY, &m);
	assert_int_equal(m.result, 0);
	d->peer = peer[0];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, channel), 0);
	assert_int_equal(io_send_fd(d->peer, "\1", 1, channel[1], clock_ms() + 1000), 0);
	close(channel[1]);
	d->channel = channel[0];
	buf_init(&d->in, 1 << 20);
}

static void wait_answer(struct daemon *d, struct answer *a)
{
	int64_t until = clock_ms() + 20000;
	struct egress_frame f;
	size_t used;
	char *room;

	while (!a->done && !a->failed && !a->closed) {
		ssize_t n;

		assert_int_equal(io_wait(d->channel, POLLIN, until), 0);
		assert_int_equal(buf_room(&d->in, 65536, &room), 0);
		n = recv(d->channel, room, 65536, 0);
		if (n <= 0) {
			a->closed = true;
			break;
		}
		buf_grew(&d->in, (size_t)n);
		while (egress_next_frame(d->in.data, d->in.len, &used, &f) == FRAME_GOT) {
			answer_frame(a, &f);
			buf_eat(&d->in, used);
		}
	}
}

static void ask(struct daemon *d, const struct egress_request *q, struct answer *a)
{
	AUTO(buf) b = {0};

	buf_init(&b, 65536);
	answer_init(a);
	assert_int_equal(egress_put_request(&b, q, true), 0);
	assert_int_equal(io_write_full(d->channel, b.data, b.len, clock_ms() + 1000), 0);
	wait_answer(d, a);
}

static void resolve(struct daemon *d, const char *name, uint16_t type, struct egress_answer *ret)
{
	AUTO(buf) b = {0};
	int64_t until = clock_ms() + 20000;
	struct egress_frame f;
	uint8_t head[EGRESS_FRAME_HEAD];
	static uint8_t body[EGRESS_FRAME_MAX + EGRESS_FRAME_HEAD];
	size_t used, len;

	buf_init(&b, 65536);
	assert_int_equal(egress_put_resolve(&b, type, name), 0);
	assert_int_equal(io_write_full(d->channel, b.data, b.len, until), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(io_read_full(d->channel, head, sizeof(head), until), 0);
		len = (size_t)head[0] | (size_t)head[1] << 8;
		memcpy(body, head, sizeof(head));
		assert_int_equal(io_read_full(d->channel, body + sizeof(head), len, until), 0);
		assert_int_equal(egress_next_frame(body, sizeof(head) + len, &used, &f), FRAME_GOT);
		if (f.type == EGRESS_FAILED) {
			*ret = (struct egress_answer){.rcode = 99};
			return;
		}
		if (i == 0) {
			assert_int_equal(f.type, EGRESS_ANSWER);
			assert_int_equal(egress_get_answer(&f, ret), PROTO_OK);
		}
	}
}

static void stop(struct daemon *d)
{
	int status;
	char path[128];
	static const char *const files[] = {
		EGRESS_VAULT_SOCKET, EGRESS_VAULT_JAIL_FILE, EGRESS_LOCK_FILE};

	/* It has not ended by itself: no system call was refused. */
	assert_int_equal(waitpid(d->pid, &status, WNOHANG), 0);
	assert_int_equal(kill(d->pid, SIGKILL), 0);
	assert_int_equal(waitpid(d->pid, &status, 0), d->pid);
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", d->dir, files[i]);
		assert_int_equal(unlink(path), 0);
	}
	assert_int_equal(rmdir(d->dir), 0);
	close(d->dir_fd);
	close(d->pidfd);
	close(d->control);
	close(d->channel);
	close(d->peer);
	buf_fini(&d->in);
}

static void ok_script(struct origin_conn *c)
{
	while (origin_head(c))
		if (!origin_say(c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"))
			return;
}

static void test_all_of_it(void **state)
{
	static const struct {
		const char *host;
		int status;
		const char *code;
	} cases[] = {
		{"real.test.example", 200, ""},
		{"alias.test.example", 200, ""},
		{"many.test.example", 200, ""},
		{"inside.test.example", 403, "address"},
		{"gone.test.example", 502, "dns"},
		{"loop.test.example", 502, "dns"},
		{"other.example", 403, "denied"},
		{"real.test.example", 200, ""},
	};
	struct egress_server ns = {.addr = {4, {127, 0, 0, 1}}};
	static struct rig config;
	struct daemon d = {0};
	struct egress_answer records;
	struct egress_msg m;
	struct server names;
	struct origin o;
	AUTO(buf) policy = {0};

	(void)state;
	if (geteuid() != 0)
		SKIP("starting a jail as another user than root is tried by the scenarios");
	server_start(&names);
	rig_init(&config);
	origin_start(&o, config.ca, "http/1.1", ok_script, NULL);
	rig_host(&config, "unused.test.example", 443, &o);
	config.c.n_hosts = 0;
	ns.port = names.port;
	config.c.servers = &ns;
	config.c.n_servers = 1;
	rig_rule(&config, POLICY_ALLOW, "**.test.example");
	rig_slot(&config, "token", "sbx-standin-aaaaaaaaaaaaaaaaaaaaaaaa", EGRESS_SLOT_HEADER,
		"real.test.example", "authorization", "Bearer %s", "");
	assert_int_equal(policy_seal(config.policy), 0);
	buf_init(&policy, POLICY_BYTES_MAX);
	assert_int_equal(policy_encode(config.policy, &policy), 0);
	config.c.policy = (const uint8_t *)policy.data;
	config.c.policy_len = policy.len;

	start(&d);
	configure(&d, &config.c);
	send_msg(&d,
		&(struct egress_msg){.op = EGRESS_OP_SECRET,
			.seq = 9,
			.name = "token",
			.yes = true,
			.blob = (const uint8_t *)"real-secret-value",
			.blob_len = 17},
		-1);
	get_msg(&d, EGRESS_OP_REPLY, &m);
	assert_int_equal(m.result, 0);
	open_channel(&d);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct egress_request q = rig_get(cases[i].host, "/");
		struct answer a;

		ask(&d, &q, &a);
		if (a.status != cases[i].status || strcmp(a.code, cases[i].code) != 0)
			fail_msg("%s: %d %s %s", cases[i].host, a.status, a.code, a.text);
		buf_fini(&a.body);
	}
	assert_true(origin_saw(&o, "authorization: Bearer real-secret-value\r\n"));
	assert_int_equal(names.by_tcp, 1); /* the one that was cut, asked once */
	assert_true(names.by_udp < 40);

	resolve(&d, "many.test.example", DNS_A, &records);
	assert_int_equal(records.rcode, 0);
	assert_int_equal(records.n, RESOLVE_RECORDS);
	resolve(&d, "inside.test.example", DNS_A, &records);
	assert_int_equal(records.rcode, 5);
	resolve(&d, "gone.test.example", DNS_A, &records);
	assert_int_equal(records.rcode, 3);
	resolve(&d, "evil.example", DNS_A, &records);
	assert_int_equal(records.rcode, 99);

	send_msg(&d, &(struct egress_msg){.op = EGRESS_OP_STATS, .seq = 10}, -1);
	get_msg(&d, EGRESS_OP_REPLY, &m);
	assert_int_equal(m.result, 0);
	assert_true(m.blob_len > 0);
	stop(&d);
	rig_fini(&config);
	origin_stop(&o);
	server_stop(&names);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_of_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
