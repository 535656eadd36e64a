/* test_front_chaos.c - many guests that do anything at any time; nothing is left when they are gone
 *
 * Seeded: a failure names its seed; CHAOS_SEEDS=N runs more of them. With the sanitizers this is where a stream, an exchange or a channel
 * that is used after its end shows.
 */
#include "check.h"
#include "front_rig.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define GUESTS 24
#define STEPS  4000

static const struct rig_rule rules[2][3] = {
	{
		{POLICY_ALLOW, "**.test", NULL, 0, false},
		{POLICY_ASK, "c.test", NULL, 0, false},
		{POLICY_DENY, "evil.test", NULL, 0, false},
	},
	{
		{POLICY_ALLOW, "a.test", "/hello", 0, false},
		{POLICY_ALLOW, "b.test", NULL, 0, false},
		{POLICY_DENY, "c.test", NULL, 0, false},
	},
};

static uint32_t seed;
static uint64_t requests, faults;

static uint32_t any(uint32_t n)
{
	seed = seed * 1664525 + 1013904223;
	return (seed >> 8) % n;
}

static int open_any(struct rig *r)
{
	static const char *const addresses[] = {
		"93.184.216.1", "93.184.216.2", "93.184.216.3", "198.18.0.254"};

	switch (any(8)) {
	case 0:
		return rig_dns(r);
	case 1:
	case 2:
		return rig_proxy(r);
	default:
		return rig_open(r, addresses[any(ARRAY_LEN(addresses))], any(4) ? 80 : 22);
	}
}

/* piece() - something a guest may send next; whole or cut off somewhere */
static size_t piece(char *dst, size_t cap)
{
	static const char *const hosts[] = {"a.test", "b.test", "c.test", "evil.test"};
	static const char *const paths[] = {"/hello", "/length", "/big", "/wait", "/fail", "/early",
		"/trailers", "/echo", "/101", "/lies", "/split", "/none"};
	static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";
	const char *host = hosts[any(4)], *path = paths[any(ARRAY_LEN(paths))];
	int n = 0;

	switch (any(12)) {
	case 0:
		n = snprintf(dst, cap, "CONNECT %s:%u HTTP/1.1\r\nHost: %s\r\n\r\n", host,
			any(2) ? 80 : 22, host);
		break;
	case 1:
		n = snprintf(
			dst, cap, "GET http://%s%s HTTP/1.1\r\nHost: %s\r\n\r\n", host, path, host);
		break;
	case 2:
		n = snprintf(dst, cap,
			"POST %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %u\r\n\r\nabc", path, host,
			any(8));
		break;
	case 3:
		n = snprintf(dst, cap,
			"POST %s HTTP/1.1\r\nHost: %s\r\nTransfer-Encoding: chunked\r\n\r\n"
			"3\r\nabc\r\n0\r\n\r\n",
			path, host);
		break;
	case 4:
		n = snprintf(dst, cap,
			"GET %s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: "
			"websocket\r\n"
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
			"dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
			path, host);
		break;
	case 5:
		memcpy(dst, "\x81\x82\1\2\3\4\x69\x6b", 8);
		n = 8;
		break;
	case 6:
		memcpy(dst, preface, sizeof(preface) - 1);
		n = (int)sizeof(preface) - 1;
		break;
	case 7: /* HEADERS of some stream */
		n = 9 + 10;
		memcpy(dst, "\0\0\x0a\1\5\0\0\0\1\x82\x86\x84\x41\6a.test", 20);
		dst[8] = (char)(1 + 2 * any(8));
		dst[4] = any(3) ? 5 : 4;
		dst[2] = 11;
		n = 9 + 11;
		break;
	case 8:
		memcpy(dst, "\0\0\3\0\1\0\0\0\1xyz\0\0\4\3\0\0\0\0\3\0\0\0\x08", 25);
		n = 25;
		break;
	case 9:
		for (n = 0; n < 40; n++)
			dst[n] = (char)any(256);
		break;
	default:
		n = snprintf(dst, cap, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", path, host);
	}
	return any(10) ? (size_t)n : any((uint32_t)n + 1);
}

static void act(struct rig *r, int *fd)
{
	char bytes[70000];
	size_t n;

	if (*fd < 0) {
		if (r->f.n_streams < 200)
			*fd = open_any(r);
		return;
	}
	switch (any(16)) {
	case 0:
		close(*fd);
		*fd = -1;
		break;
	case 1:
		(void)shutdown(*fd, SHUT_WR);
		break;
	case 2:
	case 3:
	case 4:
		(void)!read(*fd, bytes, any(sizeof(bytes)));
		break;
	case 5:
		memset(bytes, 'x', sizeof(bytes));
		(void)!write(*fd, bytes, any(sizeof(bytes)));
		break;
	default:
		n = piece(bytes, sizeof(bytes));
		(void)!write(*fd, bytes, n);
	}
}

static void meddle(struct rig *r, unsigned step)
{
	if (any(40) == 0)
		rig_policy(r, rules[any(2)], 3);
	if (any(60) == 0)
		r->stopped = !r->stopped;
	if (any(150) == 0 || r->n_ch > RIG_CHANNELS - 80) {
		rig_kill_vault(r);
		if (any(4))
			rig_new_vault(r);
	} else if (r->peer < 0 && any(10) == 0) {
		rig_new_vault(r);
	}
	if (r->last_question && any(6) == 0) {
		front_ask_answer(&r->f, r->last_question, any(2));
		r->last_question = 0;
	}
	if (step % 7 == 0) { /* texts of the rig are not looked at here */
		r->asked_len = r->records_len = 0;
	}
}

static void run(uint32_t from)
{
	struct rig *r;
	int fd[GUESTS];
	unsigned before = open_fds();

	seed = from;
	r = rig_new(rules[0], 3);
	rig_pin(r, "a.test", "93.184.216.1");
	rig_pin(r, "b.test", "93.184.216.1");
	rig_pin(r, "c.test", "93.184.216.2");
	rig_pin(r, "evil.test", "93.184.216.3");
	r->lenient = true;
	memset(fd, -1, sizeof(fd));
	for (unsigned i = 0; i < STEPS; i++) {
		act(r, &fd[any(GUESTS)]);
		meddle(r, i);
		if (any(3) == 0)
			rig_step(r);
	}
	for (unsigned i = 0; i < GUESTS; i++)
		own_close_fd(&fd[i]);
	r->stopped = false;
	rig_run(r, 3000);
	requests += r->f.stats.requests;
	faults += r->f.stats.faults;
	if (r->f.n_streams || r->f.n_channels != r->f.n_idle || r->f.n_asking)
		print_error("seed %u: %u streams, %u channels, %u idle, %u asking\n", from,
			r->f.n_streams, r->f.n_channels, r->f.n_idle, r->f.n_asking);
	assert_int_equal(r->f.n_streams, 0);
	assert_int_equal(r->f.n_channels, r->f.n_idle);
	assert_int_equal(r->f.n_asking, 0);
	assert_true(r->f.memory < (1U << 20));
	rig_free(r);
	assert_int_equal(open_fds(), before);
}

static void test_seeds(void **state)
{
	const char *more = getenv("CHAOS_SEEDS");
	uint32_t n = more ? (uint32_t)strtoul(more, NULL, 10) : 12;

	(void)state;
	for (uint32_t i = 1; i <= n; i++)
		run(i * 7919);
	print_message("%llu requests, %llu faults\n", (unsigned long long)requests,
		(unsigned long long)faults);
	assert_true(requests > 1000 && faults > 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_seeds)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
