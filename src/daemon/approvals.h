/* approvals.h - requests that wait for a person's yes or no
 *
 * The front holds a request that a rule says to ask about and tells the daemon (ASK); here it is kept
 * until somebody answers by the API, or its time is over. The answer goes back by the function that
 * came with the request. At most APPROVALS_MAX wait, at most APPROVALS_BOX_MAX of one sandbox: beyond
 * that they are denied at once, so that a guest cannot flood the person who answers.
 * Thread: any. All text is a guest's and is escaped by whoever shows it.
 */
#ifndef DAEMON_APPROVALS_H
#define DAEMON_APPROVALS_H
#include "daemon/policy.h"

#define APPROVALS_MAX	  256
#define APPROVALS_BOX_MAX 64
#define APPROVALS_MS	  120000

struct approvals;

struct approval {
	uint64_t id; /* given by approvals_add() */
	uint64_t ask; /* the front's own number of it */
	char box[STORE_ID_LEN + 1], name[NAME_MAX_LEN + 1]; /* the sandbox */
	char host[POLICY_HOST_MAX + 1];
	uint16_t port;
	char method[32], path[512]; /* "": a connection; a longer path is cut */
	char rule[POLICY_ID_MAX + 1];
	int64_t asked_ms; /* clock_real_ms() */
	int64_t until; /* clock_ms() */
};

/* approval_fn - the verdict for @a; called without a lock held, exactly once for each that was added */
typedef void (*approval_fn)(struct daemon *d, const struct approval *a, bool allow);

struct approvals *approvals_new(struct daemon *d);
/* approvals_hook() - who is told of verdicts; set once */
void approvals_hook(struct daemon *d, approval_fn fn);
/* approvals_add() - takes a copy; fills in id, until and asked_ms. -EAGAIN: too many wait, it is a no */
int approvals_add(struct daemon *d, struct approval *a) MUST_USE;
/* approvals_answer() - -ENOENT: answered already, expired, or never asked; *ret_a what it was */
int approvals_answer(struct daemon *d, uint64_t id, bool allow, struct approval *ret_a) MUST_USE;
/* approvals_list() - what waits, oldest first; free() it. -ENOMEM */
int approvals_list(struct daemon *d, struct approval **ret, size_t *ret_n) MUST_USE;
/* approvals_drop() - the sandbox ended: its requests are gone, nobody is told */
void approvals_drop(struct daemon *d, const char *box);
/* approvals_expire() - deny what has waited too long; by whoever passes by */
void approvals_expire(struct daemon *d);
#endif
