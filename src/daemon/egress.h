/* egress.h - front and vault of a sandbox, as the daemon holds them: start, configure, look after, end
 *
 * docs/protocol/egress.md, "Control". Both run from before the machine starts until after it has
 * ended. One thread of the daemon reads all their control sockets; whoever wants something from them
 * asks and waits with a deadline (egress_call). One that ends by itself is started anew by a thread
 * of its own within a second, with configuration, secrets and a new channel socket before the first
 * stream; after EGRESS_DEATHS ends within EGRESS_DEATHS_MS there is no way out any more until the
 * sandbox is started again: streams are refused, and the sandbox's notes say so.
 * What they say is data of processes that may have been taken over: fixed form, counted, bounded.
 */
#ifndef DAEMON_EGRESS_H
#define DAEMON_EGRESS_H
#include "base/buf.h"
#include "base/err.h"
#include "proto/egress_config.h"
#include <pthread.h>
#include <sys/types.h>

#define EGRESS_CALLS	 8 /* questions to one of them at a time */
#define EGRESS_CALL_MS	 5000
#define EGRESS_DRAIN_MS	 1000
#define EGRESS_START_MS	 10000
#define EGRESS_DEATHS	 3
#define EGRESS_DEATHS_MS 10000
#define EGRESS_ENDS	 2
#define EGRESS_LOG_MAX	 (64U << 10)
#define EGRESS_CERT_MAX	 16384

struct daemon;
struct js;
struct link_msg;
struct sandbox;
struct egress_watch;

struct egress_call_slot {
	uint32_t seq; /* 0: free */
	bool answered;
	int32_t result;
	char text[160];
	struct egress_stats stats;
};

/* One of the two; under the sandbox's lock. fd and pidfd are closed by the reader alone. */
struct egress_end {
	struct sandbox *s;
	enum egress_who who;
	int fd, pidfd, log_fd; /* -1: none */
	pid_t pid;
	bool child; /* it is ours to wait for */
	bool hello;
	uint32_t next_seq;
	uint64_t restarts, faults;
	int64_t deaths[EGRESS_DEATHS]; /* clock_ms() of the last ones */
	struct egress_call_slot calls[EGRESS_CALLS];
};

struct egress {
	struct egress_end end[EGRESS_ENDS]; /* front, vault */
	bool wanted; /* the sandbox runs: who ends is started anew */
	bool pushing; /* somebody configures them; others wait */
	bool repairing;
	bool joined, streamed; /* they have a channel socket; the front and the machine theirs */
	int64_t failures[EGRESS_DEATHS]; /* clock_ms() of the last tries that failed */
	char trouble[200]; /* "" while there is a way out */
	uint64_t generation;
	int streams_fd; /* the machine's end, until it has it; -1 */
};

/* ---- egress.c: the life of both ---- */
void egress_init(struct sandbox *s);
void egress_fini(struct sandbox *s);
/* egress_start() - end what an earlier run left, then both, configured; the sandbox is being started */
int egress_start(struct sandbox *s, int dir, struct err *e) MUST_USE;
/* egress_connect() - give the machine its socket for streams; its link is open */
int egress_connect(struct sandbox *s, int64_t deadline, struct err *e) MUST_USE;
/* egress_stop() - end both, if they are there, known or not; waits for a moment */
void egress_stop(struct sandbox *s);
/* egress_adopt() - of a daemon before us; what is missing is started by a thread */
void egress_adopt(struct sandbox *s);
/* egress_sweep() - end what runs in a directory that no sandbox has any more */
void egress_sweep(int dir);
/* egress_lost() - by the reader: one has ended */
void egress_lost(struct egress_end *x);
/* egress_certificate() - the sandbox's CA, PEM; "" when there is none */
int egress_certificate(struct sandbox *s, struct buf *out, struct err *e) MUST_USE;

/* ---- egress_push.c: what is in force ---- */
/* egress_open() - once, before the first sandbox */
int egress_open(struct daemon *d, struct err *e) MUST_USE;
/* egress_push_policy() - the configuration anew, to both; 0 also when the sandbox does not run */
int egress_push_policy(struct sandbox *s, struct err *e) MUST_USE;
/* egress_push_secret() - NULL @value removes it; 0 also when the sandbox does not run */
int egress_push_secret(
	struct sandbox *s, const char *name, const void *value, size_t len, struct err *e) MUST_USE;
/* egress_push_secrets() - every value that @s may use */
int egress_push_secrets(struct sandbox *s, struct err *e) MUST_USE;
int egress_stats(
	struct sandbox *s, enum egress_who who, struct egress_stats *ret, struct err *e) MUST_USE;
/* egress_ask() - a front holds a request until egress_verdict(); false: it is a no at once */
bool egress_ask(struct sandbox *s, const struct egress_msg *m) MUST_USE;
/* egress_verdict() - a person's answer to question @id; a front that is gone has no question left */
void egress_verdict(struct sandbox *s, uint64_t id, bool allow);
/* egress_configure() - CONFIG to both, then the values; the caller is the one who is pushing */
int egress_configure(struct sandbox *s, struct err *e) MUST_USE;
void egress_push_begin(struct sandbox *s);
void egress_push_end(struct sandbox *s);

/* ---- egress_fill.c ---- */
struct egress_parts;
/* egress_fill() - *ret holds what @ret_c points to, also after a failure */
int egress_fill(struct sandbox *s, struct egress_config *ret_c, struct egress_parts **ret,
	struct err *e) MUST_USE;
void egress_parts_free(struct egress_parts *m);

/* ---- egress_talk.c: the sockets ---- */
int egress_watch_new(struct egress_watch **ret, struct err *e) MUST_USE;
/* egress_watch_add() - from now on @fd (taken, also on failure) is @x's control socket */
int egress_watch_add(struct egress_watch *w, struct egress_end *x, int fd, struct err *e) MUST_USE;
/* egress_call() - send @m (its seq is chosen here) with @fd (borrowed, -1 none), wait for REPLY; its
 * negative result is an error with its words
 */
int egress_call(struct egress_end *x, struct egress_msg *m, int fd, struct egress_stats *ret_stats,
	struct err *e) MUST_USE;
/* egress_gap() - records of the front are missing: that is recorded */
void egress_gap(struct sandbox *s, const char *why);
/* egress_drain() - have what the front has not recorded yet recorded, or the gap */
void egress_drain(struct egress_end *front);
/* egress_send() - without an answer; with the sandbox's lock held */
int egress_send(struct egress_end *x, const struct egress_msg *m, int fd) MUST_USE;

/* ---- egress_host.c: what the vault must know of this host; no I/O but reading two files ---- */
struct egress_host_facts {
	struct egress_server servers[EGRESS_SERVERS_MAX];
	struct egress_host *hosts;
	struct egress_proxy *proxies;
	uint32_t n_servers, n_hosts, n_proxies; /* hosts, proxies: texts of their own */
};
int egress_host_read(
	struct egress_host_facts *f, const char *resolv_conf, const char *hosts) MUST_USE;
/* egress_host_servers() - these in place of the host's: "192.0.2.1, [2001:db8::1]:5353" */
int egress_host_servers(struct egress_host_facts *f, const char *list) MUST_USE;
/* egress_host_proxies() - @proxy: a URL, "direct", or "": by the variables of the field, as @get
 * (getenv) tells; @none: hosts that are reached directly, besides those the variables name
 */
int egress_host_proxies(struct egress_host_facts *f, char *(*get)(const char *), const char *proxy,
	const char *none) MUST_USE;
void egress_host_fini(struct egress_host_facts *f);

/* ---- view ---- */
struct js *egress_view(struct sandbox *s) MUST_USE; /* NULL: no memory */
const char *egress_name(enum egress_who who); /* "sbx-front" */
#endif
