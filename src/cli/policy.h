/* policy.h - what the verbs of sbx policy share: its files are policy.c, policy_show.c, policy_log.c */
#ifndef CLI_POLICY_H
#define CLI_POLICY_H
#include "cli/api.h"
#include "cli/args.h"

/* policy_ls(), … - verbs, as verb.h */
int policy_ls(int argc, char **argv);
int policy_inspect(int argc, char **argv);
int policy_check(int argc, char **argv);
int policy_log(int argc, char **argv);

/* policy_skip_word() - "network", which the words of other tools have here, says nothing */
void policy_skip_word(struct plain_args *a);
/* policy_get() - the policy of @sandbox, or (NULL) of all */
int policy_get(struct api *api, const char *sandbox, struct js **ret, struct err *e) MUST_USE;
/* policy_asks() - "GET,POST /repos", "WebSocket /x", "gRPC a.B/C"; "-" when it is about the host.
 * Escaped. Returns dst.
 */
char *policy_asks(const struct js *rule, char *dst, size_t cap);
#endif
