#include "base/clock.h"
#include "cli/asker.h"
#include "cli/attach.h"
#include "cli/box.h"
#include "cli/report.h"
#include "cli/request.h"
#include "cli/term.h"
#include "cli/verb.h"
#include <errno.h>
#include <string.h>

#define WHY_MS	    1000
#define WHY_STEP_US 20000

static int check_tty(const struct exec_args *a, struct err *e)
{
	if (!a->tty || isatty(STDIN_FILENO))
		return 0;
	(void)err_set(e, ERR_INVALID, -ENOTTY, "exec -t: stdin is not a terminal");
	err_hint(e, "leave out -t");
	return -ENOTTY;
}

static int encode(const struct exec_args *a, struct buf *out, struct err *e)
{
	struct agent_exec x = {.argv = {.v = a->argv, .n = a->argc}};
	struct agent_size size = term_size(STDIN_FILENO);

	x.flags = (a->tty ? AGENT_EXEC_TTY : 0U) | (a->interactive ? AGENT_EXEC_STDIN : 0U);
	x.rows = size.rows;
	x.cols = size.cols;
	/* Lengths were checked with the command line. */
	memcpy(x.user, a->user ? a->user : "", a->user ? strlen(a->user) + 1 : 1);
	memcpy(x.cwd, a->cwd ? a->cwd : "", a->cwd ? strlen(a->cwd) + 1 : 1);
	return request_exec(out, &x, &a->env.list, e);
}

/* say_why() - the stream broke: where the sandbox has ended, the daemon knows why a moment later */
static void say_why(const char *name, struct err *e)
{
	AUTO(api) api = {.http.fd = -1};
	int64_t deadline = clock_ms() + WHY_MS;
	struct err silent = {0};

	if (api_open(&api, API_NO_START, &silent) < 0)
		return;
	do {
		AUTO_JS box = NULL;
		const char *reason;

		if (box_get(&api, name, &box, &silent) < 0)
			return;
		reason = js_str(js_get(box, "reason"));
		if (strcmp(box_str(box, "status"), "running") != 0 && reason) {
			(void)err_set(e, e->code, e->num, "the sandbox ended: %s", reason);
			return;
		}
		(void)usleep(WHY_STEP_US);
	} while (clock_ms() < deadline);
}

static int finish(const struct exec_args *a, struct attach_result res, struct err *e)
{
	switch (res.end) {
	case ATTACH_EXIT:
	case ATTACH_SIGNAL:
		return res.status;
	case ATTACH_DETACHED:
		report_note("left; the command ends");
		return CLI_OK;
	case ATTACH_REFUSED:
		(void)err_wrap(e, -1, "run '%.100s' in sandbox '%s'", a->argv[0], a->name);
		return report_err(e, res.status);
	case ATTACH_TAKEN:
	case ATTACH_FAILED:
		break;
	}
	if (e->num == -EPIPE)
		say_why(a->name, e);
	(void)err_wrap(e, -1, "exec in sandbox '%s'", a->name);
	return report_err(e, CLI_OWN);
}

int verb_exec(int argc, char **argv)
{
	AUTO(exec_args) a = {0};
	AUTO(api) api = {0};
	AUTO(buf) request = {0};
	AUTO_FD stream = -1;
	AUTO_FD questions = -1;
	struct attach at = {.in = STDIN_FILENO, .out = STDOUT_FILENO, .err = STDERR_FILENO};
	struct err e = {0};

	if (exec_args_parse(argc, argv, ARGS_EXIT, &a, &e) < 0 || args_env_load(&a.env, &e) < 0 ||
		check_tty(&a, &e) < 0)
		return report_err(&e, CLI_OWN);
	buf_init(&request, FRAME_HEADER + FRAME_BIG_MAX);
	if (encode(&a, &request, &e) < 0 || api_open(&api, API_START, &e) < 0 ||
		box_stream(&api, a.name, false, &stream, &e) < 0)
		return report_err(&e, CLI_OWN);
	at.stream = stream;
	if (a.approve) {
		questions = asker_start(a.name, ASKER_ALWAYS, &e);
		if (questions < 0)
			return report_err(&e, CLI_OWN);
		at.questions = questions;
	}
	at.want_stdin = a.interactive;
	at.tty = a.tty;
	at.keys = a.keys;
	at.start_ms = REQUEST_START_MS;
	return finish(&a, attach_run(&at, &request, &e), &e);
}
