/* front_rig.h - a front in this process, whose guest, vault and daemon are played by the test
 *
 * Streams are socket pairs; the fake vault answers by the request's path: /hello (200 "hello"), /echo
 * (the body comes back), /sse, /length, /big, /half, /fail, /early, /wait (no answer), others 404. What it was
 * asked is noted in `asked`, one line each. All in one thread: rig_run() lets both do their parts.
 */
#ifndef TEST_EGRESS_FRONT_RIG_H
#define TEST_EGRESS_FRONT_RIG_H
#include "egress/front.h"

#define RIG_CHANNELS 300
#define RIG_TEXT     (1U << 20)

struct rig_channel {
	int fd; /* -1: none */
	struct buf in, out;
	char path[64];
	bool busy, tunnel, ws, head;
	bool response; /* its head was sent */
	uint64_t up;
};

struct rig {
	struct front f;
	int peer, control;
	struct rig_channel ch[RIG_CHANNELS];
	unsigned n_ch;
	char asked[RIG_TEXT]; /* one line for each REQUEST, TUNNEL, RESOLVE */
	size_t asked_len;
	unsigned n_asked;
	bool stopped; /* the vault reads nothing */
	bool lenient; /* frames for an exchange that is over are passed over */
	bool remote; /* the front is another process; f is not used */
	uint64_t last_question;
	unsigned n_questions, n_records;
	char records[RIG_TEXT]; /* one line for each record that reached the daemon */
	size_t records_len;
	size_t body; /* bytes of bodies and tunnels that came */
	struct tls_ca *ca;
};

struct rig_rule {
	enum policy_decision decision;
	const char *resource, *path;
	uint16_t methods;
	bool websocket;
};

/* rig_new() - with a policy of @n rules (ids "r0", "r1", …) and a daemon that is connected */
struct rig *rig_new(const struct rig_rule *rules, size_t n);
void rig_free(struct rig *r);
/* rig_encode() - the bytes of a configuration; @config is to be _fini()d */
void rig_encode(const struct rig_rule *rules, size_t n, const char *bypass, struct buf *config);
/* rig_policy() - another configuration; the front judges what is open again */
void rig_policy(struct rig *r, const struct rig_rule *rules, size_t n);
void rig_bypass(struct rig *r, const struct rig_rule *rules, size_t n, const char *bypass);
/* rig_pin() - as if @name had been answered with @address */
void rig_pin(struct rig *r, const char *name, const char *address);
/* rig_open() - a stream of port 2 to @address:@port; the guest's end, non-blocking */
int rig_open(struct rig *r, const char *address, uint16_t port);
int rig_proxy(struct rig *r); /* to the explicit proxy */
int rig_dns(struct rig *r); /* a stream of port 3 */
/* rig_run() - until nothing moves any more (or @ms have passed) */
void rig_run(struct rig *r, int ms);
void rig_step(struct rig *r); /* one turn for each */
void rig_send(struct rig *r, int fd, const char *text);
/* rig_recv() - run, and what the guest has got by then, terminated; *ret_end: the stream ended */
size_t rig_recv(struct rig *r, int fd, char *dst, size_t cap, bool *ret_end);
/* rig_talk() - send, run, receive: the answer in a buffer of the rig's */
const char *rig_talk(struct rig *r, int fd, const char *text);
/* rig_other_half() - of the frame of DATA that /half has begun, and the end of the exchange */
void rig_other_half(struct rig *r);
void rig_verdict(struct rig *r, uint64_t id, bool allow);
void rig_kill_vault(struct rig *r); /* its end of everything is closed */
void rig_new_vault(struct rig *r);
#endif
