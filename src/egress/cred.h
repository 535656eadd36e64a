/* cred.h - which credential a request gets, and what is refused because of one; no I/O
 *
 * cred_apply() looks at a canonical request that policy has allowed. On a host that a credential is for, what
 * the guest sent in its slot is replaced when it is the stand-in, added when nothing is there, and refused when it
 * is anything else: an attacker's own credential on an allowed host is a way out. A stand-in anywhere else
 * (another host, path, query, other fields, plain http, a small form or JSON body) is refused. Real values
 * stand in c->fields, c->path, c->query and the body only, and are wiped by cred_clear().
 */
#ifndef EGRESS_CRED_H
#define EGRESS_CRED_H
#include "base/buf.h"
#include "egress/config.h"
#include "egress/range.h"
#include "egress/scrub.h"
#include "egress/secrets.h"

#define CRED_OWNED_MAX 12

enum cred_body {
	CRED_BODY_FREE, /* is passed on as it comes */
	CRED_BODY_LOOK, /* collected when small: a stand-in in it is refused */
	CRED_BODY_PLACE, /* placeholders in it are replaced, when it is small */
	CRED_BODY_TOKEN, /* to a token endpoint: stand-ins in it are replaced */
	CRED_BODY_SIGN, /* its hash is part of a signature */
};

struct cred {
	struct egress_fields fields; /* what is sent */
	const char *path, *query; /* what is sent */
	enum cred_body body;
	char used[128], note[64]; /* for the account; "" for none */
	struct scrub *scrub[SCRUB_SETS_MAX]; /* counted: what must not come back */
	unsigned n_scrub;
	const struct egress_oauth *oauth; /* the answer holds tokens: it is collected */
	const struct slot *sign; /* SIGV4 */
	bool strip_cookies; /* the answer's are not for the guest */
	struct range range; /* what the client wants of the answer; asked for is more */
	/* a refusal */
	int status;
	const char *code;
	char text[240];
	char *owned[CRED_OWNED_MAX];
	size_t owned_len[CRED_OWNED_MAX];
	unsigned n_owned;
};

struct cred_ask {
	const struct vault_config *config;
	const struct secrets *secrets;
	const struct egress_request *q;
	const struct policy_host *host;
	unsigned path_flags; /* of policy_path_canon(): why servers may read the path differently */
};

/* cred_apply() - false: refused, c->status, code and text say how. @c is to be cred_clear()ed either way. */
bool cred_apply(struct cred *c, const struct cred_ask *a) MUST_USE;
/* cred_look() - the collected body of a CRED_BODY_LOOK; false as above. Nothing in it is changed. */
bool cred_look(struct cred *c, const struct cred_ask *a, const struct buf *body) MUST_USE;
/* cred_place() - the collected body of a CRED_BODY_PLACE, changed in place */
bool cred_place(struct cred *c, const struct cred_ask *a, struct buf *body) MUST_USE;
/* cred_swap() - the collected body of a CRED_BODY_TOKEN, changed in place */
bool cred_swap(struct cred *c, const struct cred_ask *a, struct buf *body) MUST_USE;
/* cred_sign() - CRED_BODY_SIGN, or a request whose hash stands in a field: sign anew (sigv4.c) */
bool cred_sign(struct cred *c, const struct cred_ask *a, const struct buf *body) MUST_USE;
void cred_clear(struct cred *c);

/* within cred*.c, sigv4.c and exchange_response.c */
bool cred_refuse(struct cred *c, int status, const char *code, const char *fmt, ...)
	PRINTF_LIKE(4, 5); /* always false */
void cred_note(struct cred *c, const char *what); /* for the account, once */
char *cred_own(
	struct cred *c, size_t len) MUST_USE; /* memory that cred_clear() wipes; NULL: none */
/* cred_guard() - ask for an answer that can be looked into, once all is known that is to be masked */
bool cred_guard(struct cred *c, const struct cred_ask *a) MUST_USE;
/* cred_range() - a Range field, once all is known that is to be masked in the answer */
bool cred_range(struct cred *c, const struct cred_ask *a) MUST_USE;
bool cred_use(
	struct cred *c, const struct cred_ask *a, const char *name) MUST_USE; /* account, scrub */
int cred_find(const struct cred *c,
	const char *name); /* index of the only field of that name; -1 none, -2 several */
bool cred_put(
	struct cred *c, const char *name, const char *value, size_t len) MUST_USE; /* set or add */
void cred_drop(struct cred *c, const char *name);
#endif
