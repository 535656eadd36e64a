/* project.h - `sbx env`: a project's sbxenv.yaml becomes a sandbox (kit/envfile.h has the format)
 *
 * plan → approval → apply. The files are read once: what is shown, approved and applied is one tree. Anybody who
 * works in the project may have written them, an agent in a sandbox as well; so what they open of the host is
 * only done after a person approved it, and commands on the host are asked for each time.
 * What was approved is kept in the state directory, which no sandbox can reach, by the files' paths.
 * Thread: the main one.
 */
#ifndef CLI_PROJECT_H
#define CLI_PROJECT_H
#include "base/name.h"
#include "cli/api.h"
#include "cli/env.h"
#include "kit/envfile.h"
#include <stdio.h>

#define PROJECT_PATHS_MAX 8

/* sbx env plan|create|run|exec|rm */
struct project_args {
	const char *paths[PROJECT_PATHS_MAX];
	size_t n_paths;
	const char *name;
	struct env_list given; /* --env-arg, --env-args-file */
	bool yes, skip_host, detached, json, force, quiet;
	char **rest; /* after "--"; borrowed */
	size_t n_rest;
};
/* @options: which of them the verb has: y, s(kip), d, j, f, q, - (words after "--") */
struct project_form {
	const char *options, *doc;
};
int project_args_parse(int argc, char **argv, const struct project_form *form,
	struct project_args *ret_args, struct err *e) MUST_USE;
void project_args_auto(struct project_args *a);

struct project {
	char dir[PATH_MAX]; /* of the first file: env.projectDir */
	char files[PROJECT_PATHS_MAX + 1][PATH_MAX]; /* absolute, without links; the base first */
	size_t n_files;
	struct js *env, *lines;
	char name[NAME_MAX_LEN + 1];
	char digest[65]; /* of the files' bytes and of what they came to */
	char id[17]; /* of the files' paths */
};

/* project_load() - read, resolve, and make every path of the host absolute and free of links */
int project_load(const struct project_args *a, struct project *ret, struct err *e) MUST_USE;
void project_auto(struct project *p);

/* What was approved of a project: {"digest", "remember": {stage: digest},
 * "lines": [text], "sandbox": {NAME: id}}. */
int project_record_load(
	const struct paths *at, const char *id, struct js **ret, struct err *e) MUST_USE;
int project_record_save(
	const struct paths *at, const char *id, const struct js *record, struct err *e) MUST_USE;

enum project_stage { PROJECT_CREATE, PROJECT_REMOVE };

/* project_new_lines() - which of the project's lines need an approval now: what opens something and was not
 * approved, and the stage's commands on the host unless @remember holds and the record is of this very digest
 */
struct js *project_new_lines(const struct project *p, const struct js *record,
	enum project_stage stage, bool remember) MUST_USE;
/* project_show() - the plan on @to, with what is new and what is gone marked */
void project_show(
	const struct project *p, const struct js *record, const struct js *fresh, FILE *to);
/* project_plan_json() - what --json shows */
struct js *project_plan_json(
	const struct project *p, const struct js *record, const struct js *fresh) MUST_USE;
/* project_approve() - have what is new approved: by -y or on the terminal; else it is taken out of p->env and
 * told. -ECANCELED: a person said no. The record is changed, not saved.
 */
int project_approve(struct project *p, const struct project_args *a, enum project_stage stage,
	bool remember, struct js *record, struct err *e) MUST_USE;

/* project_host() - run the commands of @field on the host, one after the other; the first that fails ends it */
int project_host(const struct project *p, const char *field, struct err *e) MUST_USE;
#endif
