/* egress.h - parts of bench_egress: a load generator, an origin, and who plays daemon and machine
 *
 * The load generator speaks TLS with HTTP/1.1 or HTTP/2 over any descriptor, in one thread: straight to the
 * origin, to a proxy's port, or as the guest to a stream of sbx-front, so that all are driven by the
 * same code and nothing stands between. Failures of the measurement end the program (bench_die()).
 */
#ifndef BENCH_EGRESS_H
#define BENCH_EGRESS_H
#include "base/own.h"
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#define BENCH_NAME     "bench.test" /* the origin; names below it are the origin too */
#define BENCH_ADDRESS  "11.22.33.44" /* where its name leads; dialled on loopback */
#define BENCH_NAMES    2048 /* n0.bench.test ... */
#define BENCH_PIDS_MAX 32

_Noreturn void bench_die(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
int64_t bench_ns(void); /* CLOCK_MONOTONIC */
/* bench_cpu_ns() - time on a CPU of a process with all its threads, and of its children */
int64_t bench_cpu_ns(pid_t pid);
int bench_connect(uint16_t port); /* 127.0.0.1, blocking connect, then non-blocking */

/* ---- origin ---- */

/* origin_start() - HTTP/1.1 over TLS on a thread of its own: GET /b/N has N bytes, POST swallows a body
 * Returns its port.
 */
uint16_t origin_start(const char *cert, const char *key);

/* ---- daemon and machine ---- */

struct play;

struct play_config {
	const char *dir; /* for control sockets and the CA */
	const char *front, *vault; /* programs */
	const char *ca; /* PEM the vault trusts beside the host's */
	uint16_t origin; /* port */
	int cpu; /* both run there; -1: anywhere */
};

struct play *play_start(const struct play_config *c);
/* play_stream() - the guest's end of a new connection to BENCH_ADDRESS:443, or (@proxy) to the explicit
 * proxy; non-blocking, header sent
 */
int play_stream(struct play *p, bool proxy);
/* play_resolve() - ask for the address of @name as the guest does, so that it is pinned */
void play_resolve(struct play *p, const char *name);
pid_t play_front(const struct play *p);
pid_t play_vault(const struct play *p);
uint64_t play_records(const struct play *p); /* audit records written so far */
void play_stop(struct play *p);
void play_kill(void); /* front and vault, from anywhere: before this process ends early */

/* ---- load ---- */

enum way { WAY_TLS, WAY_CONNECT, WAY_STREAM };
enum load { LOAD_LOOP, LOAD_RATE, LOAD_NEW, LOAD_IDLE };

struct job {
	enum way way;
	enum load load;
	uint16_t port; /* of TLS, CONNECT */
	uint16_t origin; /* CONNECT: port behind */
	struct play *play; /* STREAM */
	bool h2, upload;
	unsigned conns, streams; /* streams: of each connection of h2 */
	unsigned rate; /* LOAD_RATE: requests per second in all */
	unsigned names; /* LOAD_NEW: names taken in turn; 0: always BENCH_NAME */
	uint64_t bytes; /* of a body */
	double seconds, warm; /* warm: before counting begins */
	pid_t pid[BENCH_PIDS_MAX]; /* whose CPU time is counted */
	unsigned n_pids;
};

struct result {
	uint64_t requests, connections, bytes, errors;
	double seconds, cpu_seconds, client_cpu_seconds;
	double p50_us, p90_us, p99_us, max_us;
	char first_error[160];
};

void load_run(const struct job *j, struct result *ret_r);
/* load_idle() - open j->conns connections, one request each, and keep them; returns how many stand */
unsigned load_idle(const struct job *j);
void load_idle_end(void);
#endif
