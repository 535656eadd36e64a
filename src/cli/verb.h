/* verb.h - one function per verb, and what several of them share
 *
 * A verb gets argv with argv[0] = "sbx VERB", does its work and returns the exit status.
 */
#ifndef CLI_VERB_H
#define CLI_VERB_H
#include "cli/args.h"
#include <stddef.h>

struct verb {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *summary; /* for the overview; NULL: not shown there */
};

int verb_attach(int argc, char **argv);
int verb_audit(int argc, char **argv);
int verb_completion(int argc, char **argv);
int verb_cp(int argc, char **argv);
int verb_create(int argc, char **argv);
int verb_daemon(int argc, char **argv);
int verb_diagnose(int argc, char **argv);
int verb_env(int argc, char **argv);
int verb_exec(int argc, char **argv);
int verb_help(int argc, char **argv);
int verb_image(int argc, char **argv);
int verb_inspect(int argc, char **argv);
int verb_kit(int argc, char **argv);
int verb_login(int argc, char **argv);
int verb_logs(int argc, char **argv);
int verb_ls(int argc, char **argv);
int verb_approve(int argc, char **argv);
int verb_policy(int argc, char **argv);
int verb_ports(int argc, char **argv);
int verb_pause(int argc, char **argv);
int verb_resume(int argc, char **argv);
int verb_rm(int argc, char **argv);
int verb_run(int argc, char **argv);
int verb_secret(int argc, char **argv);
int verb_settings(int argc, char **argv);
int verb_start(int argc, char **argv);
int verb_stop(int argc, char **argv);
int verb_template(int argc, char **argv);
int verb_version(int argc, char **argv);

/* verb_find() - NULL when there is none of that name */
const struct verb *verb_find(const char *name);
/* verb_dispatch() - run @v with argv[0] replaced by "sbx NAME" */
int verb_dispatch(const struct verb *v, int argc, char **argv);
/* verb_sub() - run the one of @subs that argv[1] names ("sbx image ls") */
int verb_sub(const struct verb *subs, size_t count, int argc, char **argv);
/* verb_plain() - parse with @form or tell the fault; 0, or the exit status to return */
int verb_plain(int argc, char **argv, const struct plain_form *form, struct plain_args *ret_args);
/* verb_overview() - the list of verbs on stdout */
void verb_overview(void);
#endif
