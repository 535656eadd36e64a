/* api.h - the daemon's API: which request goes where (docs/api.md)
 *
 * A handler gets what its route promises (a sandbox with a reference, a JSON body) and answers
 * through conn.h, or fails with @e set: the error is then the answer.
 */
#ifndef DAEMON_API_H
#define DAEMON_API_H
#include "daemon/conn.h"
#include "daemon/sandbox.h"

struct api_call {
	struct conn *c;
	struct daemon *d;
	const struct http_head *head;
	struct sandbox *box; /* borrowed; routes with {name} */
	const char *arg; /* routes with {id} */
	const struct js *body; /* NULL: none came */
};

typedef int (*api_fn)(struct api_call *a, struct err *e);

/* api_dispatch() - find the route, check the request, call its handler */
int api_dispatch(struct conn *c, struct err *e) MUST_USE;
/* api_param() - query parameter, NULL when absent */
const char *api_param(const struct api_call *a, const char *name);
/* api_flag() - ?x=1 */
bool api_flag(const struct api_call *a, const char *name);

/* api_sandboxes.c */
int api_list(struct api_call *a, struct err *e);
int api_create(struct api_call *a, struct err *e);
int api_inspect(struct api_call *a, struct err *e);
int api_remove(struct api_call *a, struct err *e);
int api_start(struct api_call *a, struct err *e);
int api_stop(struct api_call *a, struct err *e);
int api_pause(struct api_call *a, struct err *e);
int api_resume(struct api_call *a, struct err *e);
/* api_guest.c */
int api_exec(struct api_call *a, struct err *e);
int api_stream(struct api_call *a, struct err *e);
int api_usage(struct api_call *a, struct err *e);
/* api_must_run() - 0, or that it does not run and what to do */
int api_must_run(struct sandbox *s, struct err *e) MUST_USE;
/* api_ports.c */
int api_ports(struct api_call *a, struct err *e);
int api_ports_change(struct api_call *a, struct err *e);
/* api_logs.c, api_follow.c */
int api_logs(struct api_call *a, struct err *e);
/* api_policy.c */
int api_policy(struct api_call *a, struct err *e);
int api_policy_reset(struct api_call *a, struct err *e);
int api_policy_preset(struct api_call *a, struct err *e);
int api_policy_bypass(struct api_call *a, struct err *e);
int api_policy_add(struct api_call *a, struct err *e);
int api_policy_remove(struct api_call *a, struct err *e);
int api_policy_check(struct api_call *a, struct err *e);
int api_approvals(struct api_call *a, struct err *e);
int api_kit_add(struct api_call *a, struct err *e) MUST_USE;
int api_approve(struct api_call *a, struct err *e);
/* api_host.c */
int api_version(struct api_call *a, struct err *e);
int api_images(struct api_call *a, struct err *e);
int api_image_remove(struct api_call *a, struct err *e);
int api_diagnose(struct api_call *a, struct err *e);
int api_daemon_stop(struct api_call *a, struct err *e);
/* api_secrets.c */
int api_secrets(struct api_call *a, struct err *e);
int api_secret_set(struct api_call *a, struct err *e);
int api_secret_remove(struct api_call *a, struct err *e);
/* api_scope() - ?sandbox=NAME as its id; "" without one */
int api_scope(struct api_call *a, char dst[STORE_ID_LEN + 1], struct err *e) MUST_USE;
int api_audit(struct api_call *a, struct err *e);
int api_audit_verify(struct api_call *a, struct err *e);
/* api_kits.c */
int api_kit_approvals(struct api_call *a, struct err *e);
int api_kit_approval_remove(struct api_call *a, struct err *e);
/* api_services.c */
int api_services(struct api_call *a, struct err *e);
int api_service_set(struct api_call *a, struct err *e);
int api_service_remove(struct api_call *a, struct err *e);
/* api_settings.c */
int api_settings(struct api_call *a, struct err *e);
int api_setting_set(struct api_call *a, struct err *e);
int api_setting_unset(struct api_call *a, struct err *e);
#endif
