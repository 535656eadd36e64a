#include "cli/join.h"
#include "cli/asker.h"
#include "cli/attach.h"
#include "cli/report.h"
#include "cli/request.h"
#include "cli/term.h"
#include <errno.h>
#include <string.h>

#define TURNS 4 /* between "it is there" and "it is gone" */

int join_argv(const struct agent_strv *usual, char **args, size_t n_args, struct agent_strv *ret,
	struct err *e)
{
	size_t keep = n_args > 0 && args[0][0] != '-' ? 0 : usual->n;
	struct agent_strv s = {.v = calloc(keep + n_args + 1, sizeof(char *))};

	for (size_t i = 0; s.v && i < keep + n_args; i++) {
		s.v[i] = strdup(i < keep ? usual->v[i] : args[i - keep]);
		if (!s.v[i])
			break;
		s.n++;
	}
	if (!s.v || s.n < keep + n_args) {
		agent_strv_fini(&s);
		return err_sys(e, -ENOMEM, "write the request");
	}
	*ret = s;
	return 0;
}

static int encode_exec(const struct join *j, bool tty, struct buf *out, struct err *e)
{
	struct agent_size size = term_size(STDIN_FILENO);
	struct agent_exec x = {.rows = size.rows, .cols = size.cols, .session = REQUEST_SESSION};
	struct agent_strv usual = {0};
	int r = box_strv(j->box, tty ? "argv_interactive" : "argv", &usual, e);

	if (r == 0 && usual.n == 0) {
		agent_strv_fini(&usual);
		r = box_strv(j->box, "argv", &usual, e);
	}
	x.flags = AGENT_EXEC_PERSIST | AGENT_EXEC_STDIN | (tty ? AGENT_EXEC_TTY : 0U);
	if (r == 0)
		r = join_argv(&usual, j->args, j->n_args, &x.argv, e);
	if (r == 0 && x.argv.n == 0)
		r = err_set(e, ERR_INVALID, -EINVAL, "the agent has no command");
	if (r == 0)
		r = request_exec(out, &x, j->env, e);
	agent_strv_fini(&usual);
	agent_strv_fini(&x.argv);
	return r;
}

static int encode_attach(struct buf *out, struct err *e)
{
	struct agent_size size = term_size(STDIN_FILENO);
	struct agent_attach x = {.rows = size.rows, .cols = size.cols, .session = REQUEST_SESSION};
	int r = agent_put_attach(out, &x);

	return r < 0 ? err_sys(e, r, "write the request") : 0;
}

/* once() - one request; how it ended is in *ret_res */
static int once(struct join *j, bool begin, struct attach_result *ret_res, struct err *e)
{
	bool tty = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
	struct attach at = {.in = STDIN_FILENO,
		.out = STDOUT_FILENO,
		.err = STDERR_FILENO,
		.want_stdin = true,
		.tty = tty,
		.only_start = j->detached,
		.keys = j->keys,
		.start_ms = REQUEST_START_MS};
	AUTO(buf) request = {0};
	AUTO_FD stream = -1;
	AUTO_FD questions = -1;
	int r;

	buf_init(&request, FRAME_HEADER + FRAME_BIG_MAX);
	/* A session that begins detached has a terminal, so that one can join it later. */
	r = begin ? encode_exec(j, tty || j->detached, &request, e) : encode_attach(&request, e);
	if (r < 0)
		return r;
	if (!j->api->open)
		r = api_open(j->api, API_START, e);
	if (r == 0)
		r = box_stream(j->api, box_str(j->box, "name"), j->quiet, &stream, e);
	if (r < 0)
		return r;
	at.stream = stream;
	if (!j->detached && !j->no_approve) {
		questions = asker_start(box_str(j->box, "name"), ASKER_SETTING, e);
		if (questions < 0)
			return questions;
		at.questions = questions;
	}
	*ret_res = attach_run(&at, &request, e);
	return 0;
}

static int finish(const struct join *j, struct attach_result res, struct err *e)
{
	const char *name = box_str(j->box, "name");

	switch (res.end) {
	case ATTACH_EXIT:
		return res.status;
	case ATTACH_DETACHED:
		if (!j->detached)
			report_note(
				"left; the agent of '%s' goes on. Back: sbx attach %s", name, name);
		return CLI_OK;
	case ATTACH_SIGNAL:
		return res.status;
	case ATTACH_TAKEN:
		report_note("another terminal has taken over the agent of '%s'", name);
		return CLI_OWN;
	case ATTACH_REFUSED:
		(void)err_wrap(e, -1, "run the agent of sandbox '%s'", name);
		return report_err(e, res.status);
	case ATTACH_FAILED:
		break;
	}
	(void)err_wrap(e, -1, "agent of sandbox '%s'", name);
	return report_err(e, CLI_OWN);
}

static int args_too_late(const struct join *j)
{
	struct err e = {0};
	const char *name = box_str(j->box, "name");

	(void)err_set(&e, ERR_CONFLICT, -EEXIST,
		"the agent of '%s' runs already: arguments can only be given when it starts", name);
	err_hint(&e, "sbx attach %s joins it, sbx stop %s ends it", name, name);
	return report_err(&e, CLI_OWN);
}

int join_agent(struct join *j)
{
	struct attach_result res = {0};
	bool begin = !j->only_join;

	for (int turn = 0;; turn++) {
		struct err e = {0};

		if (once(j, begin, &res, &e) < 0)
			return report_err(&e, CLI_OWN);
		if (res.end != ATTACH_REFUSED || turn == TURNS)
			return finish(j, res, &e);
		if (begin && res.error_num == EEXIST) {
			if (j->n_args > 0)
				return args_too_late(j);
			if (j->detached)
				return CLI_OK; /* it runs, which is all that was asked */
			begin = false;
		} else if (!begin && res.error_num == ENOENT && !j->only_join) {
			begin = true; /* it ended in between */
		} else {
			return finish(j, res, &e);
		}
	}
}
