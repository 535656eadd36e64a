/* test_front_raw.c - tunnels, names, pins, streams that break the rules, and an end for all of them */
#include "check.h"
#include "front_rig.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

static const struct rig_rule rules[] = {
	{POLICY_ALLOW, "ssh.test:22", NULL, 0, false},
	{POLICY_ALLOW, "api.test:443", "/v1/**", POLICY_GET, false},
	{POLICY_ALLOW, "**.open.test", NULL, 0, false},
	{POLICY_ALLOW, "10.0.0.0/8", NULL, 0, false},
	{POLICY_ALLOW, "localhost:8080", NULL, 0, false},
};

#define A "93.184.216.1"

static bool ended(struct rig *r, int fd)
{
	char got[4096];
	bool end;

	rig_recv(r, fd, got, sizeof(got), &end);
	return end;
}

static void test_raw(void **state)
{
	struct rig *r = rig_new(rules, ARRAY_LEN(rules));
	int fd = rig_open(r, A, 22);
	const char *got;
	bool end;
	char text[64];

	(void)state;
	rig_pin(r, "ssh.test", A);
	got = rig_talk(r, fd, "SSH-2.0-x\r\n");
	assert_string_equal(got, "SSH-2.0-x\r\n"); /* the rig's tunnels echo */
	assert_string_equal(r->asked, "TUNNEL1 ssh.test:22\n");
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	rig_recv(r, fd, text, sizeof(text), &end);
	assert_true(end);
	rig_run(r, 100);
	assert_int_equal(r->n_records, 1);
	close(fd);
	/* the server speaks first */
	fd = rig_open(r, A, 22);
	rig_run(r, 10);
	assert_int_equal(r->n_asked, 1);
	usleep(350 * 1000); /* the time a client has to say the first word */
	rig_run(r, 100);
	assert_int_equal(r->n_asked, 2);
	close(fd);
	/* another port, another address: closed, and recorded */
	fd = rig_open(r, A, 23);
	rig_send(r, fd, "hello\r\n");
	assert_true(ended(r, fd));
	close(fd);
	fd = rig_open(r, "93.184.216.2", 22);
	rig_send(r, fd, "SSH-2.0-x\r\n");
	assert_true(ended(r, fd));
	close(fd);
	/* where requests are judged nothing else may pass */
	rig_pin(r, "api.test", "93.184.216.3");
	fd = rig_open(r, "93.184.216.3", 443);
	rig_send(r, fd, "EHLO x\r\n");
	assert_true(ended(r, fd));
	close(fd);
	rig_run(r, 100);
	assert_int_equal(r->n_asked, 2);
	rig_free(r);
}

/* A client that is slow to say its first word is looked into all the same; one that has nothing to say
 * that could be looked into keeps the tunnel that was opened meanwhile.
 */
static void test_late_first_word(void **state)
{
	struct rig *r = rig_new(rules, ARRAY_LEN(rules));
	char got[4096];
	bool end;
	int fd;

	(void)state;
	rig_pin(r, "www.open.test", A);
	/* on the web's own ports the client speaks first, however long it takes */
	fd = rig_open(r, A, 443);
	rig_run(r, 10);
	usleep(350 * 1000);
	rig_run(r, 100);
	assert_int_equal(r->n_asked, 0);
	close(fd);
	rig_run(r, 10);
	fd = rig_open(r, A, 8000);
	rig_run(r, 10);
	usleep(350 * 1000);
	rig_run(r, 100);
	assert_string_equal(r->asked, "TUNNEL1 www.open.test:8000\n");
	rig_send(r, fd, "GET /hello HTTP/1.1\r\nHost: www.open.test:8000\r\n\r\n");
	rig_recv(r, fd, got, sizeof(got), &end);
	assert_int_equal(strncmp(got, "HTTP/1.1 200 ", 13), 0);
	assert_non_null(strstr(r->asked, "GET "));
	assert_int_equal(r->body, 0); /* nothing went into the tunnel */
	close(fd);
	fd = rig_open(r, A, 8000);
	rig_run(r, 10);
	usleep(350 * 1000);
	rig_run(r, 100);
	assert_int_equal(r->n_asked, 3);
	assert_string_equal(rig_talk(r, fd, "\1\2\3"), "\1\2\3");
	assert_int_equal(r->n_asked, 3);
	close(fd);
	/* a request is one behind empty lines, too, and with blanks that the parser refuses */
	for (unsigned i = 0; i < 3; i++) {
		static const char *const odd[] = {"\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
			"GET\t/ HTTP/1.1\r\nHost: x\r\n\r\n", "GET / http/1.1\r\nHost: x\r\n\r\n"};

		fd = rig_open(r, A, 80);
		rig_send(r, fd, odd[i]);
		rig_recv(r, fd, got, sizeof(got), &end);
		assert_int_equal(strncmp(got, "HTTP/1.1 400 ", 13), 0);
		close(fd);
	}
	assert_int_equal(r->n_asked, 3);
	/* half a first line: it has its time, and then it is refused */
	fd = rig_open(r, A, 8000);
	rig_run(r, 10);
	usleep(350 * 1000);
	rig_run(r, 100);
	rig_send(r, fd, "GET /he");
	rig_run(r, 50);
	rig_send(r, fd, "llo HTTP/1.1\r\nHost: www.open.test:8000\r\n\r\n");
	rig_recv(r, fd, got, sizeof(got), &end);
	assert_int_equal(strncmp(got, "HTTP/1.1 200 ", 13), 0);
	close(fd);
	rig_free(r);
}

static void test_addresses(void **state)
{
	static const struct {
		const char *address;
		uint16_t port;
		const char *asked; /* NULL: refused */
	} cases[] = {
		{"10.1.2.3", 5432, "TUNNEL1 10.1.2.3:5432\n"},
		{"11.1.2.3", 5432, NULL},
		{"169.254.169.254", 80, NULL},
		{"127.0.0.1", 22, NULL},
		{"198.18.0.1", 22, NULL},
		{"198.18.0.254", 8080, "TUNNEL1 localhost:8080\n"},
		{"198.18.0.254", 8081, NULL},
		{"fd00:ec2::254", 80, NULL},
	};
	struct rig *r = rig_new(rules, ARRAY_LEN(rules));

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int fd = rig_open(r, cases[i].address, cases[i].port);

		r->asked_len = 0;
		r->asked[0] = '\0';
		rig_send(r, fd, "\1\2\3\4");
		rig_run(r, 100);
		if (!cases[i].asked != !r->asked[0])
			print_error("%s: %s\n", cases[i].address, r->asked);
		assert_string_equal(r->asked, cases[i].asked ? cases[i].asked : "");
		close(fd);
	}
	rig_free(r);
}

/* ---- names ---- */

static size_t question(uint8_t *p, uint16_t id, const char *name, uint16_t type)
{
	size_t n = 14;

	memset(p, 0, 14);
	p[2] = (uint8_t)(id >> 8);
	p[3] = (uint8_t)id;
	p[4] = 1; /* RD */
	p[7] = 1;
	while (*name) {
		size_t len = strcspn(name, ".");

		p[n++] = (uint8_t)len;
		memcpy(p + n, name, len);
		n += len;
		name += len + (name[len] == '.');
	}
	p[n++] = 0;
	p[n++] = (uint8_t)(type >> 8);
	p[n++] = (uint8_t)type;
	p[n++] = 0;
	p[n++] = 1;
	p[0] = (uint8_t)((n - 2) >> 8);
	p[1] = (uint8_t)(n - 2);
	return n;
}

/* resolve() - rcode and number of answers of one question, -1: no answer */
static int resolve(struct rig *r, int fd, const char *name, uint16_t type, unsigned *ret_answers,
	uint8_t *ret_last4)
{
	uint8_t q[600];
	char got[4096];
	size_t n = question(q, 77, name, type);

	assert_int_equal(write(fd, q, n), n);
	rig_run(r, 500);
	n = rig_recv(r, fd, got, sizeof(got), NULL);
	if (n < 14)
		return -1;
	assert_int_equal((uint8_t)got[0] << 8 | (uint8_t)got[1], n - 2);
	assert_int_equal(got[3], 77);
	*ret_answers = (uint8_t)got[9];
	memcpy(ret_last4, got + n - 4, 4);
	return got[5] & 15;
}

static void test_dns(void **state)
{
	static const struct {
		const char *name;
		uint16_t type;
		int rcode;
		unsigned answers;
		bool asked;
	} cases[] = {
		{"x.open.test", DNS_A, DNS_NOERROR, 1, true},
		{"X.Open.TEST", DNS_A, DNS_NOERROR, 1, true},
		{"x.open.test", DNS_AAAA, DNS_NOERROR, 0, true},
		{"x.open.test", DNS_TXT, DNS_NOERROR, 0, true},
		{"x.open.test", DNS_ANY, DNS_NOTIMP, 0, false},
		{"x.open.test", 10, DNS_NOTIMP, 0, false},
		{"x.open.test", DNS_MX, DNS_NOTIMP, 0, false},
		{"secret-data.evil.test", DNS_A, DNS_NXDOMAIN, 0, false},
		{"secret-data.evil.test", DNS_TXT, DNS_NXDOMAIN, 0, false},
		{"api.test", DNS_A, DNS_NOERROR, 1, true},
		{"gateway.sbx.internal", DNS_A, DNS_NOERROR, 1, false},
		{"host.docker.internal", DNS_AAAA, DNS_NOERROR, 1, false},
		{"other.sbx.internal", DNS_A, DNS_NXDOMAIN, 0, false},
		{"localhost", DNS_A, DNS_NXDOMAIN, 0, false},
		{"3.2.1.10.in-addr.arpa", DNS_PTR, DNS_NOERROR, 0, true},
		{"3.2.1.11.in-addr.arpa", DNS_PTR, DNS_NXDOMAIN, 0, false},
	};
	struct rig *r = rig_new(rules, ARRAY_LEN(rules));
	int fd = rig_dns(r);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		unsigned answers = 99, before = r->n_asked;
		uint8_t last[4];
		int rcode = resolve(r, fd, cases[i].name, cases[i].type, &answers, last);

		if (rcode != cases[i].rcode || answers != cases[i].answers ||
			(r->n_asked > before) != cases[i].asked)
			print_error("%s %u: %d %u\n", cases[i].name, cases[i].type, rcode, answers);
		assert_int_equal(rcode, cases[i].rcode);
		assert_int_equal(answers, cases[i].answers);
		assert_int_equal(r->n_asked > before, cases[i].asked);
		/* of what a resolver says loopback is never passed on */
		if (cases[i].asked && cases[i].answers)
			assert_memory_equal(last, "\x5d\xb8\xd8\x22", 4);
	}
	/* what was answered is what a connection may be for */
	close(fd);
	fd = rig_open(r, "93.184.216.34", 80);
	assert_non_null(strstr(
		rig_talk(r, fd, "GET /hello HTTP/1.1\r\nHost: x.open.test\r\n\r\n"), "hello"));
	close(fd);
	rig_free(r);
}

static void test_dns_many(void **state)
{
	struct rig *r = rig_new(rules, ARRAY_LEN(rules));
	uint8_t q[600];
	char got[65536];
	int fd = rig_dns(r);
	size_t n, at = 0;
	unsigned answers = 0;

	(void)state;
	r->stopped = true;
	for (unsigned i = 0; i < 200; i++) {
		n = question(q, (uint16_t)i, "x.open.test", DNS_A);
		assert_int_equal(write(fd, q, n), n);
	}
	rig_run(r, 200);
	assert_true(r->f.n_channels <= FRONT_DNS_MAX);
	r->stopped = false;
	rig_run(r, 500);
	n = rig_recv(r, fd, got, sizeof(got), NULL);
	for (; at + 2 <= n; answers++)
		at += 2u + ((size_t)(uint8_t)got[at] << 8 | (uint8_t)got[at + 1]);
	assert_int_equal(at, n);
	assert_int_equal(answers, 200);
	assert_int_equal(write(fd, "\0\2xx", 4), 4); /* no DNS */
	assert_true(ended(r, fd));
	close(fd);
	rig_free(r);
}

/* ---- pins ---- */

static void test_pins(void **state)
{
	struct front_pins *p = front_pins_new();
	struct policy_address a = {.family = 4, .byte = {1, 2, 3, 4}}, b = a;
	char name[32];
	unsigned at = 0;

	(void)state;
	assert_true(front_pins_add(p, "x", &a) && front_pins_add(p, "y", &a));
	assert_true(front_pins_add(p, "x", &a));
	assert_int_equal(front_pins_count(p), 2);
	assert_string_equal(front_pins_next(p, &a, &at), "y");
	assert_string_equal(front_pins_next(p, &a, &at), "x");
	assert_null(front_pins_next(p, &a, &at));
	for (unsigned i = 0; i < 2 * FRONT_PINS_MAX; i++) {
		b.byte[0] = 9;
		b.byte[2] = (uint8_t)(i >> 8);
		b.byte[3] = (uint8_t)i;
		(void)snprintf(name, sizeof(name), "n%u", i);
		assert_true(front_pins_add(p, name, &b));
		assert_true(front_pins_has(p, "x", &a)); /* used: stays */
	}
	assert_int_equal(front_pins_count(p), FRONT_PINS_MAX);
	assert_false(front_pins_has(p, "y", &a));
	assert_true(front_pins_has(p, name, &b));
	front_pins_free(p);
}

/* A front that is started anew finds what the one before it answered; what is torn or odd is nothing. */
static void test_pins_are_kept(void **state)
{
	static const char *const odd[] = {"gateway.sbx.internal", "UP.test", "up.test.", "10.0.0.1",
		"localhost", "a b.test", ""};
	struct front_pins *p = front_pins_new(), *next = front_pins_new(), *third;
	struct policy_address a = {.family = 4, .byte = {1, 2, 3, 4}}, six = {.family = 6};
	int fd = memfd_create("pins", MFD_CLOEXEC);
	char name[32], bytes[4096];
	unsigned at = 0;
	ssize_t n;

	(void)state;
	six.byte[0] = 0x20;
	assert_int_equal(front_pins_keep(p, fd), 0);
	assert_int_equal(front_pins_count(p), 0);
	assert_true(front_pins_add(p, "old.test", &a) && front_pins_add(p, "new.test", &a));
	assert_true(front_pins_add(p, "six.test", &six));
	for (size_t i = 0; i < ARRAY_LEN(odd); i++)
		assert_true(front_pins_add(p, odd[i], &a));
	/* It ends as a killed one does: nothing more is written. */
	assert_int_equal(front_pins_keep(next, fd), 0);
	assert_int_equal(front_pins_count(next), 3);
	assert_string_equal(front_pins_next(next, &a, &at), "new.test");
	assert_string_equal(front_pins_next(next, &a, &at), "old.test");
	assert_null(front_pins_next(next, &a, &at));
	assert_true(front_pins_has(next, "six.test", &six));
	/* More than there is room for: the latest stay. */
	for (unsigned i = 0; i < FRONT_PINS_MAX + 5; i++) {
		(void)snprintf(name, sizeof(name), "n%u.test", i);
		assert_true(front_pins_add(next, name, &a));
	}
	third = front_pins_new();
	assert_int_equal(front_pins_keep(third, fd), 0);
	assert_int_equal(front_pins_count(third), FRONT_PINS_MAX);
	assert_true(front_pins_has(third, name, &a));
	assert_false(front_pins_has(third, "n0.test", &a));
	front_pins_free(third);
	/* Every byte of it may be anything. */
	for (off_t off = 0; (n = pread(fd, bytes, sizeof(bytes), off)) > 0; off += n) {
		for (ssize_t i = off % 7; i < n; i += 61)
			bytes[i] = (char)(bytes[i] ^ 0x5a);
		assert_int_equal(pwrite(fd, bytes, (size_t)n, off), n);
	}
	third = front_pins_new();
	assert_int_equal(front_pins_keep(third, fd), 0);
	assert_int_equal(front_pins_count(third), 0);
	front_pins_free(third);
	front_pins_free(next);
	front_pins_free(p);
	close(fd);
	/* A file that cannot be used is no reason to fail. */
	third = front_pins_new();
	fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	assert_true(front_pins_keep(third, fd) < 0);
	assert_true(front_pins_add(third, "x.test", &a));
	front_pins_free(third);
	close(fd);
}

/* ---- streams ---- */

/* What there is no room for is refused, and the record of it tells how much that was. */
static void test_records_that_are_lost(void **state)
{
	const struct egress_record rec = {.event = EGRESS_ON_TCP,
		.decision = EGRESS_DENY,
		.host = "flood.test",
		.port = 1,
		.method = "",
		.path = "",
		.rule = "",
		.reason = "default",
		.credential = "",
		.note = ""};
	struct rig *r = rig_new(rules, ARRAY_LEN(rules));
	char line[100];

	(void)state;
	for (unsigned i = 0; i < 1400; i++)
		front_audit(&r->f, &rec);
	assert_true(front_audit_full(&r->f));
	assert_int_equal(r->f.audit.lost, 1400 - 1280);
	rig_run(r, 300);
	rig_run(r, 300);
	(void)snprintf(line, sizeof(line), "%d %d :0   rule= lost 0\n", (int)EGRESS_ON_TCP,
		(int)EGRESS_REFUSED);
	assert_non_null(strstr(r->records, line));
	assert_int_equal(r->n_records, 1281);
	assert_int_equal(r->f.audit.lost, 0);
	assert_false(front_audit_full(&r->f));
	rig_free(r);
}

static void test_bad_streams(void **state)
{
	struct rig *r = rig_new(rules, ARRAY_LEN(rules));
	static const uint8_t heads[][EGRESS_STREAM_HEAD] = {
		{'S', 'B', 'X', 'T', 2, 4, 80, 0, 93},
		{'S', 'B', 'X', 'X', 1, 4, 80, 0, 93},
		{'S', 'B', 'X', 'T', 1, 5, 80, 0, 93},
		{'S', 'B', 'X', 'T', 1, 4, 0, 0, 93},
		{'S', 'B', 'X', 'T', 1, 4, 80, 0, 93, 0, 0, 0, 1},
		{'S', 'B', 'X', 'T', 1, 4, 80, 0, 93, [24] = 2},
		{'S', 'B', 'X', 'T', 1, 4, 80, 0, 93, [31] = 1},
	};
	unsigned before = open_fds();

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
		int fds[2];

		assert_int_equal(
			socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
		assert_int_equal(front_stream_open(&r->f, fds[0], EGRESS_PORT_TCP), 0);
		assert_int_equal(write(fds[1], heads[i], sizeof(heads[i])), sizeof(heads[i]));
		assert_true(ended(r, fds[1]));
		close(fds[1]);
	}
	for (unsigned i = 0; i < FRONT_STREAMS_MAX + 10; i++) {
		int fds[2];

		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
		assert_int_equal(front_stream_open(&r->f, fds[0], EGRESS_PORT_TCP) == 0,
			i < FRONT_STREAMS_MAX);
		close(fds[1]);
	}
	rig_run(r, 1000);
	assert_int_equal(r->f.n_streams, 0);
	assert_int_equal(r->f.memory, 0);
	assert_int_equal(open_fds(), before);
	rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_raw),
		cmocka_unit_test(test_late_first_word),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_dns),
		cmocka_unit_test(test_dns_many),
		cmocka_unit_test(test_pins),
		cmocka_unit_test(test_pins_are_kept),
		cmocka_unit_test(test_records_that_are_lost),
		cmocka_unit_test(test_bad_streams),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
