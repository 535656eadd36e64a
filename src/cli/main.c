/* sbx - the verb table and nothing else; each verb has a file of its own */
#include "cli/report.h"
#include "cli/verb.h"
#include "base/log.h"
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static const struct verb verbs[] = {
	{"run", verb_run, "run an agent in a sandbox, made and started as needed"},
	{"create", verb_create, "create a sandbox"},
	{"exec", verb_exec, "run a command in a sandbox"},
	{"attach", verb_attach, "join the terminal of the agent that runs"},
	{"ls", verb_ls, "list sandboxes"},
	{"inspect", verb_inspect, "show one sandbox"},
	{"start", verb_start, "start sandboxes"},
	{"stop", verb_stop, "stop sandboxes, keeping what is in them"},
	{"pause", verb_pause, "let sandboxes stand still"},
	{"resume", verb_resume, "let paused sandboxes go on"},
	{"rm", verb_rm, "remove sandboxes and all that is in them"},
	{"cp", verb_cp, "copy files into or out of a sandbox"},
	{"logs", verb_logs, "show what the agent or the kernel printed"},
	{"ports", verb_ports, "show, publish and take back ports of a sandbox"},
	{"policy", verb_policy,
		"what sandboxes may reach: init, allow, deny, ask, rm, ls, check, log"},
	{"approve", verb_approve, "answer requests that wait for a yes or no"},
	{"secret", verb_secret,
		"set, set-custom, import, ls and rm: credentials that never go inside"},
	{"settings", verb_settings, "list, get, set and unset: what holds for all sandboxes"},
	{"audit", verb_audit, "verify: the log of what was decided"},
	{"kit", verb_kit, "validate, inspect, pack and ls: agents and mixins as data"},
	{"env", verb_env, "plan, create, run, exec and rm: a sandbox from a project's sbxenv.yaml"},
	{"image", verb_image, "ls, build, pull, load, save and rm: root images"},
	{"template", verb_template, "save: a sandbox's disk as a root image"},
	{"daemon", verb_daemon, "start, stop, restart and status: the daemon"},
	{"diagnose", verb_diagnose, "check what sbx needs of this host"},
	{"version", verb_version, "versions of sbx and its daemon"},
	{"completion", verb_completion, "completion script for bash, zsh or fish"},
	{"help", verb_help, "this list, or the help of one command"},
	{"login", verb_login, NULL},
	{"logout", verb_login, NULL},
};

const struct verb *verb_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		if (strcmp(verbs[i].name, name) == 0)
			return &verbs[i];
	return NULL;
}

void verb_overview(void)
{
	puts("Usage: sbx COMMAND [ARG...]\n\nRuns AI agents, and the code they write, in "
	     "microVMs.\n");
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		if (verbs[i].summary)
			printf("  %-11s %s\n", verbs[i].name, verbs[i].summary);
	puts("\nsbx help COMMAND has the details; sbx run shell opens a shell in a sandbox.");
}

/* open_std_fds() - 0, 1 and 2 must be something, or the next open() would take their place */
static int open_std_fds(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd <= 2);
	if (fd > 2)
		close(fd);
	return fd < 0 ? -1 : 0;
}

/* wants_json() - an early look, so that a wrong command line is answered in JSON, too */
static bool wants_json(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "exec") == 0)
		return false; /* its own parser knows where the command begins */
	for (int i = 2; i < argc && strcmp(argv[i], "--") != 0; i++)
		if (strcmp(argv[i], "--json") == 0)
			return true;
	return false;
}

int main(int argc, char **argv)
{
	const struct verb *v;
	struct err e = {0};

	log_init("sbx");
	if (open_std_fds() < 0)
		return CLI_FAIL;
	(void)signal(SIGPIPE, SIG_IGN); /* a closed stdout is an error that we see, not a death */
	report_json(wants_json(argc, argv));
	if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
		verb_overview();
		return report_flush();
	}
	v = verb_find(strcmp(argv[1], "--version") == 0 ? "version" : argv[1]);
	if (v)
		return verb_dispatch(v, argc - 1, argv + 1);
	(void)err_set(&e, ERR_INVALID, -1, "there is no command '%.80s'", argv[1]);
	err_hint(&e, "sbx help lists the commands");
	return report_err(&e, CLI_USAGE);
}
