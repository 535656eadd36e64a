/* cred_match.h - the steps of cred_apply(): slots matched, stand-ins found, the credential injected; no I/O
 *
 * Used by cred*.c only. cred_match.c says where stand-ins are, cred_inject.c puts values in their place,
 * cred_body.c looks into bodies. All that return bool have refused (cred_refuse()) when they return false.
 */
#ifndef EGRESS_CRED_MATCH_H
#define EGRESS_CRED_MATCH_H
#include "egress/cred.h"

/* names that a placeholder's slot has instead of a field's */
#define CRED_PATH ":path"
#define CRED_BODY ":body"

#define CRED_SLOTS_MAX 16 /* that are for one request; more are not looked at */

/* The slots that are for this request, and where the stand-in was found. */
struct cred_match {
	struct cred *c;
	const struct cred_ask *a;
	const struct slot *slot[CRED_SLOTS_MAX];
	unsigned n;
	const struct slot *elsewhere[CRED_SLOTS_MAX]; /* for other paths of this host */
	unsigned n_elsewhere;
	const struct slot *hit; /* the guest sent its stand-in in that slot */
	int hit_field; /* index of the field it stood in; -1: in the query */
};

/* cred_match_hit() - in which slot the guest's stand-in stands: hit, NULL for none; two are refused */
bool cred_match_hit(struct cred_match *l) MUST_USE;
/* cred_match_no_foreign() - what stands in a slot and is no stand-in was brought along: refused */
bool cred_match_no_foreign(struct cred_match *l) MUST_USE;
/* cred_match_no_strays() - a stand-in anywhere but in its slot: refused */
bool cred_match_no_strays(const struct cred_match *l) MUST_USE;
/* cred_match_sentinel() - all of the configuration, one a call: *at begins at 0; NULL at the end */
const char *cred_match_sentinel(const struct vault_config *v, size_t *at);
/* cred_match_holds() - does @p hold @sentinel as it is, or with its percent escapes read? */
bool cred_match_holds(const char *p, size_t len, const char *sentinel);
/* cred_match_param() - the parameter @name of a query; NULL: absent; *ret_again: there is another */
const char *cred_match_param(const char *query, const char *name, size_t *ret_len, bool *ret_again);

/* cred_match_body() - is the body a place for placeholders? */
bool cred_match_body(const struct cred_match *l);

/* cred_inject_slot() - the value of @s into its place, whether something stands there or not */
bool cred_inject_slot(struct cred_match *l, const struct slot *s) MUST_USE;
/* cred_inject_first() - the client sent nothing: the first slot whose secret is there */
bool cred_inject_first(struct cred_match *l) MUST_USE;
/* cred_inject_placeholder() - every stand-in within the field (or path) of @s becomes the value; bodies come later */
bool cred_inject_placeholder(struct cred_match *l, const struct slot *s) MUST_USE;

/* cred_body_is_text() - of a kind that clients put credentials in, and that is looked into when small */
bool cred_body_is_text(const struct egress_request *q);
#endif
