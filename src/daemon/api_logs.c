/* GET …/logs: what the console's file and the guest's memory of the agent's terminal hold now */
#include "daemon/agent.h"
#include "daemon/api_logs.h"
#include "daemon/files.h"
#include "base/clock.h"
#include "base/io.h"
#include <errno.h>
#include <string.h>

#define REPLAY_MS 5000
#define TAIL_MAX  100000

static int no_memory(struct err *e)
{
	return err_set(e, ERR_LIMIT, -ENOMEM, "out of memory");
}

static int parse_tail(const struct api_call *a, size_t *ret, struct err *e)
{
	const char *s = api_param(a, "tail");
	unsigned long n = 0;

	*ret = SIZE_MAX;
	if (!s)
		return 0;
	for (size_t i = 0; s[i]; i++) {
		if (s[i] < '0' || s[i] > '9' || i > 8)
			return err_set(e, ERR_INVALID, -EINVAL, "tail: not a number");
		n = n * 10 + (unsigned long)(s[i] - '0');
	}
	if (!s[0] || n > TAIL_MAX)
		return err_set(e, ERR_INVALID, -EINVAL, "tail: not between 0 and %d", TAIL_MAX);
	*ret = n;
	return 0;
}

const char *logs_last(const struct buf *raw, size_t lines)
{
	const char *from = buf_str(raw), *s = from + raw->len;

	if (lines == 0)
		return s;
	if (lines == SIZE_MAX)
		return from;
	if (s > from && s[-1] == '\n')
		s--; /* the last line's own end */
	while (s > from && (s[-1] != '\n' || --lines > 0))
		s--;
	return s;
}

static int send_tail(struct api_call *a, const struct buf *raw, size_t lines, struct err *e)
{
	const char *from = logs_last(raw, lines), *end = buf_str(raw) + raw->len;
	AUTO(buf) text = {0};

	buf_init(&text, 3 * raw->max + 1);
	if (js_utf8(&text, from, (size_t)(end - from)) < 0)
		return no_memory(e);
	return conn_text(a->c, buf_str(&text), text.len);
}

int logs_file(struct sandbox *s, const char *name, struct buf *raw, struct err *e)
{
	AUTO_FD dir = sandbox_dir(s, e);
	int r;

	if (dir < 0)
		return dir;
	r = io_read_file(dir, name, raw);
	if (r == -ENOENT || r == -EFBIG)
		return 0; /* never started; or longer than promised: what fits */
	return r < 0 ? err_sys(e, r, "read '%s'", name) : 0;
}

/* replay() - the last output of the agent's terminal, kept by the guest */
static int replay(struct sandbox *s, struct buf *raw, struct err *e)
{
	struct agent_attach m = {.flags = AGENT_ATTACH_REPLAY, .session = LOGS_SESSION};
	AUTO(agent_stream) st = {.fd = -1};
	AUTO(buf) out = {0};
	int r = api_must_run(s, e);

	if (r < 0)
		return r;
	buf_init(&out, 4096);
	r = agent_put_attach(&out, &m);
	if (r < 0)
		return err_sys(e, r, "ask for the agent's output");
	r = agent_open(&st, s, clock_ms() + REPLAY_MS, e);
	if (r == 0)
		r = agent_send(&st, &out, e);
	while (r == 0) {
		struct frame f;

		r = agent_next(&st, &f, e);
		if (r == -ECONNRESET && raw->len > 0)
			return 0;
		if (r < 0)
			return r;
		if (f.type == FRAME_STDOUT || f.type == FRAME_STDERR) {
			if (raw->len + f.len <= raw->max && buf_add(raw, f.body, f.len) < 0)
				return no_memory(e);
		} else if (f.type == FRAME_EXIT || f.type == FRAME_END || f.type == FRAME_OK)
			return 0;
		else if (f.type == FRAME_ERROR)
			return agent_refused(&f, e);
		else if (f.type != FRAME_STARTED && f.type != FRAME_CREDIT)
			return err_set(
				e, ERR_INTERNAL, -EBADMSG, "the guest's agent broke the protocol");
	}
	return r;
}

int api_logs(struct api_call *a, struct err *e)
{
	const char *kind = api_param(a, "kind");
	const char *file = !kind || strcmp(kind, "console") == 0 ? FILE_CONSOLE
			   : strcmp(kind, "setup") == 0		 ? FILE_SETUP_LOG
								 : NULL;
	AUTO(buf) raw = {0};
	size_t lines;
	int r = parse_tail(a, &lines, e);

	if (r < 0)
		return r;
	if (!file && strcmp(kind, "agent") != 0)
		return err_set(e, ERR_INVALID, -EINVAL,
			"kind: '%.32s' is not console, setup or agent", kind);
	if (api_flag(a, "follow"))
		return file ? follow_file(a, file, lines, e) : follow_agent(a, lines, e);
	buf_init(&raw, file ? LOGS_FILE_MAX : LOGS_REPLAY_MAX);
	r = file ? logs_file(a->box, file, &raw, e) : replay(a->box, &raw, e);
	return r < 0 ? r : send_tail(a, &raw, lines, e);
}
