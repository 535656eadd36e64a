/* One poll loop. Three buffers bound it: what the guest sent (the session's decoder; nothing is
 * read while its output waits to be written), what is to go to the guest (tx), and what was typed
 * but has no credit yet (typed). The own descriptors stay blocking, because their open file may be
 * shared with other programs: a read follows POLLIN, and a write follows POLLOUT and is no longer
 * than what a pipe takes at once.
 */
#include "cli/attach_int.h"
#include "base/clock.h"
#include "base/io.h"
#include "cli/report.h"
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define READ_BYTES  65536
#define TX_MAX	    (FRAME_HEADER + FRAME_BIG_MAX + 4 * FRAME_DATA_MAX)
#define TX_ENOUGH   (2 * FRAME_DATA_MAX) /* no more input is taken while so much waits */
#define TYPED_MAX   65536
#define LAST_MS	    1000 /* for what was typed before the detach keys to get away */
#define FORCE_COUNT 3 /* so many SIGINT, SIGTERM or SIGQUIT end us, whatever the command does */

enum { P_STREAM, P_SIGNAL, P_IN, P_OUT, P_ASK, P_COUNT };

static void finish(struct attach_run *r, enum attach_end end, int status)
{
	r->done = true;
	r->res.end = end;
	r->res.status = status;
}

void attach_fail(struct attach_run *r, enum err_code code, int num, const char *what)
{
	(void)err_set(r->e, code, num, "%s", what);
	finish(r, ATTACH_FAILED, CLI_OWN);
}

static void lost(struct attach_run *r)
{
	attach_fail(r, ERR_UNAVAILABLE, -EPIPE, "the sandbox ended or closed the connection");
	err_hint(r->e, "sbx ls shows its state, sbx logs --console NAME its last words");
}

/* ---- to the guest ---- */

void attach_resize(struct attach_run *r, bool always)
{
	struct agent_size now = term_size(r->a->in);

	if (!always && now.rows == r->size.rows && now.cols == r->size.cols)
		return;
	r->size = now;
	if (agent_put_resize(&r->tx, now) < 0)
		attach_fail(r, ERR_LIMIT, -ENOMEM, "out of memory");
}

/* pump_typed() - turn typed bytes into STDIN frames as far as credit goes */
static void pump_typed(struct attach_run *r)
{
	while (r->typed.len > 0 && r->s.credit > 0 && r->tx.len < TX_ENOUGH) {
		size_t n = r->typed.len < FRAME_DATA_MAX ? r->typed.len : FRAME_DATA_MAX;

		if (n > r->s.credit)
			n = (size_t)r->s.credit;
		if (frame_add(&r->tx, FRAME_STDIN, r->typed.data, n) < 0) {
			attach_fail(r, ERR_LIMIT, -ENOMEM, "out of memory");
			return;
		}
		r->s.credit -= n;
		buf_eat(&r->typed, n);
	}
}

static void input_ended(struct attach_run *r)
{
	r->input = IN_ENDED;
	if (r->raw)
		finish(r, ATTACH_SIGNAL, 128 + SIGHUP); /* a raw terminal has no end but this */
}

/* pump_eof() - the end of input goes out once, after everything typed */
static void pump_eof(struct attach_run *r)
{
	if (r->input != IN_ENDED || r->typed.len > 0 || r->tx_dead)
		return;
	if (frame_add(&r->tx, FRAME_STDIN, "", 0) < 0)
		attach_fail(r, ERR_LIMIT, -ENOMEM, "out of memory");
	r->input = IN_TOLD;
}

static bool wants_input(const struct attach_run *r)
{
	if (!r->a->want_stdin || r->input != IN_OPEN || !r->s.started || r->tx_dead)
		return false;
	/* A terminal is always read, so that the detach keys work when the guest reads nothing. */
	return r->raw || (r->s.credit > 0 && r->typed.len == 0 && r->tx.len < TX_ENOUGH);
}

static void on_input(struct attach_run *r)
{
	char in[16384], out[sizeof(in) + KEYS_MAX];
	size_t want = sizeof(in), len = 0;
	ssize_t n;

	if (!r->raw && r->s.credit < want)
		want = (size_t)r->s.credit;
	n = read(r->a->in, in, want);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) {
		input_ended(r);
		return;
	}
	if (prompt_holds(&r->prompt)) {
		if (keys_filter(&r->keys, in, (size_t)n, out, &len))
			finish(r, ATTACH_DETACHED, 0);
		else
			prompt_typed(&r->prompt, in, (size_t)n, clock_ms());
		return;
	}
	if (!r->raw) {
		memcpy(out, in, (size_t)n);
		len = (size_t)n;
	} else if (keys_filter(&r->keys, in, (size_t)n, out, &len)) {
		finish(r, ATTACH_DETACHED, 0);
	}
	/* What a stuck program does not read is dropped beyond the bound, as a terminal does. */
	if (len <= TYPED_MAX - r->typed.len && buf_add(&r->typed, out, len) < 0)
		attach_fail(r, ERR_LIMIT, -ENOMEM, "out of memory");
}

static void on_stream_out(struct attach_run *r)
{
	while (r->tx.len > 0) {
		ssize_t n = send(r->a->stream, r->tx.data, r->tx.len, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) {
			/* The guest may have said its last words before it closed: read on. */
			r->tx_dead = true;
			buf_clear(&r->tx);
			return;
		}
		buf_eat(&r->tx, (size_t)n);
	}
}

/* ---- from the guest ---- */

/* chunk_of() - how much may be written to @fd after POLLOUT without blocking for long */
static size_t chunk_of(int fd)
{
	struct stat st;

	return fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? READ_BYTES : PIPE_BUF;
}

static void out_failed(struct attach_run *r, int num)
{
	if (r->out_fd == r->a->err && r->a->err != r->a->out) {
		r->err_gone = true; /* nobody reads complaints: the command goes on */
		r->out_fd = -1;
		return;
	}
	if (num == -EPIPE) {
		finish(r, ATTACH_SIGNAL, 128 + SIGPIPE);
		return;
	}
	(void)err_sys(r->e, num, "write the command's output");
	finish(r, num == -EIO && r->raw ? ATTACH_SIGNAL : ATTACH_FAILED,
		num == -EIO && r->raw ? 128 + SIGHUP : CLI_OWN);
}

static void on_screen(struct attach_run *r)
{
	size_t len = r->screen.len < r->out_chunk ? r->screen.len : r->out_chunk;
	ssize_t n = write(r->a->out, r->screen.data, len);

	if (n < 0 && errno != EINTR && errno != EAGAIN)
		out_failed(r, -errno);
	else if (n > 0)
		buf_eat(&r->screen, (size_t)n);
}

static void on_output(struct attach_run *r)
{
	size_t chunk = r->out_fd == r->a->err ? r->err_chunk : r->out_chunk;
	const uint8_t *p = r->s.data + r->out_pos;
	size_t left = r->s.data_len - r->out_pos;
	ssize_t n;

	if (left > chunk)
		left = chunk;
	if (r->prompt.state == PROMPT_WANTED)
		left = scan_rest(&r->scan, p, left);
	n = left > 0 ? write(r->out_fd, p, left) : 0;
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n < 0) {
		out_failed(r, -errno);
		return;
	}
	scan_feed(&r->scan, p, (size_t)n);
	if (r->raw)
		term_modes_watch(&r->modes, p, (size_t)n);
	r->out_pos += (size_t)n;
	if (r->out_pos == r->s.data_len)
		r->out_fd = -1;
}

static void begin_output(struct attach_run *r, bool is_err)
{
	r->out_fd = is_err ? r->a->err : r->a->out;
	r->out_pos = 0;
	if (is_err && r->err_gone)
		r->out_fd = -1;
}

static void on_started(struct attach_run *r)
{
	int n;

	if (r->a->only_start) {
		finish(r, ATTACH_DETACHED, 0);
		return;
	}
	if (!r->a->tty || !r->a->want_stdin || !isatty(r->a->in))
		return;
	n = term_raw(r->a->in);
	if (n < 0) {
		(void)err_sys(r->e, n, "put the terminal into raw mode");
		finish(r, ATTACH_FAILED, CLI_OWN);
		return;
	}
	r->raw = true;
	attach_resize(r, false); /* it may have changed since the request */
}

static void on_error(struct attach_run *r)
{
	const struct agent_error *x = &r->s.error;

	(void)err_set(r->e, err_code_from_errno(-(int)x->num), -(int)x->num, "%s", x->text);
	r->res.error_num = x->num;
	if (!r->s.started)
		finish(r, ATTACH_REFUSED, session_start_status(x->num));
	else
		finish(r, x->num == EBUSY ? ATTACH_TAKEN : ATTACH_FAILED, CLI_OWN);
}

/* held() - the terminal is not the guest's now */
static bool held(const struct attach_run *r)
{
	return prompt_holds(&r->prompt) || r->screen.len > 0;
}

/* drain() - act on whole frames until output has to wait or bytes are missing */
static void drain(struct attach_run *r)
{
	while (!r->done && r->out_fd < 0 && !held(r)) {
		enum session_event ev = session_next(&r->s);

		switch (ev) {
		case SESSION_MORE:
			return;
		case SESSION_STARTED:
			on_started(r);
			break;
		case SESSION_OUT:
		case SESSION_ERR:
			begin_output(r, ev == SESSION_ERR);
			break;
		case SESSION_EXIT:
			finish(r, ATTACH_EXIT, r->s.status);
			break;
		case SESSION_ERROR:
			on_error(r);
			break;
		case SESSION_BROKEN:
			attach_fail(r, ERR_INTERNAL, -EPROTO,
				"the sandbox's agent broke the protocol; connection closed");
			break;
		}
	}
}

static void on_stream_in(struct attach_run *r)
{
	uint8_t in[READ_BYTES];
	ssize_t n = recv(r->a->stream, in, sizeof(in), MSG_DONTWAIT);

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0)
		lost(r);
	else if (session_feed(&r->s, in, (size_t)n) < 0)
		attach_fail(r, ERR_LIMIT, -ENOMEM, "out of memory");
}

/* ---- signals ---- */

static void on_stop(struct attach_run *r)
{
	term_restore();
	(void)raise(SIGSTOP);
	if (r->raw && term_raw(r->a->in) < 0)
		finish(r, ATTACH_SIGNAL, 128 + SIGHUP);
	else
		attach_resize(r, true);
}

static void on_signal(struct attach_run *r)
{
	struct signalfd_siginfo si;
	int sig;

	if (read(r->signals, &si, sizeof(si)) != (ssize_t)sizeof(si))
		return;
	sig = (int)si.ssi_signo;
	if (sig == SIGWINCH) {
		if (r->raw)
			attach_resize(r, false);
		return;
	}
	if (sig == SIGTSTP) {
		on_stop(r);
		return;
	}
	/* A terminal's keys go through as bytes, so a signal was meant for us; so is a hang-up. */
	if (sig == SIGHUP || r->a->tty || !r->s.started || ++r->asked >= FORCE_COUNT)
		finish(r, ATTACH_SIGNAL, 128 + sig);
	else if (agent_put_u8(&r->tx, FRAME_SIGNAL, (uint8_t)sig) < 0)
		attach_fail(r, ERR_LIMIT, -ENOMEM, "out of memory");
}

static int block_signals(const struct attach *a, sigset_t *ret_old)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGQUIT);
	sigaddset(&set, SIGHUP);
	if (a->tty) {
		sigaddset(&set, SIGWINCH);
		sigaddset(&set, SIGTSTP);
	}
	if (sigprocmask(SIG_BLOCK, &set, ret_old) < 0)
		return -errno;
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* ---- the loop ---- */

/* timeout_of() - until the next thing that comes by time */
static int timeout_of(const struct attach_run *r)
{
	int64_t next = prompt_next(&r->prompt);

	if (!r->s.started)
		return clock_left(r->start_by);
	if (r->nudge_at && (next < 0 || r->nudge_at < next))
		next = r->nudge_at;
	return next < 0 ? -1 : clock_left(next);
}

static void prepare(const struct attach_run *r, struct pollfd p[P_COUNT])
{
	bool output = r->out_fd >= 0, ours = r->screen.len > 0;

	p[P_STREAM] = (struct pollfd){.fd = r->a->stream};
	if (!output && !held(r))
		p[P_STREAM].events = POLLIN;
	if (r->tx.len > 0)
		p[P_STREAM].events |= POLLOUT;
	if (p[P_STREAM].events == 0)
		p[P_STREAM].fd = -1; /* a closed stream would wake us in vain until output is out */
	p[P_SIGNAL] = (struct pollfd){.fd = r->signals, .events = POLLIN};
	p[P_IN] = (struct pollfd){.fd = wants_input(r) ? r->a->in : -1, .events = POLLIN};
	p[P_OUT] = (struct pollfd){.fd = ours		      ? r->a->out
					 : output && !held(r) ? r->out_fd
							      : -1,
		.events = POLLOUT};
	p[P_ASK] = (struct pollfd){.fd = r->s.started ? r->questions : -1, .events = POLLIN};
}

static void events(struct attach_run *r, const struct pollfd p[P_COUNT])
{
	if (p[P_SIGNAL].revents)
		on_signal(r);
	if (!r->done && p[P_OUT].revents && r->screen.len > 0)
		on_screen(r);
	else if (!r->done && p[P_OUT].revents)
		on_output(r);
	if (!r->done && p[P_ASK].revents)
		attach_news(r);
	if (!r->done && p[P_IN].revents)
		on_input(r);
	if (!r->done && (p[P_STREAM].revents & POLLOUT))
		on_stream_out(r);
	if (!r->done && r->out_fd < 0 && !held(r) &&
		(p[P_STREAM].revents & (POLLIN | POLLHUP | POLLERR)))
		on_stream_in(r);
}

static void turn(struct attach_run *r)
{
	struct pollfd p[P_COUNT];
	int n;

	prepare(r, p);
	n = poll(p, P_COUNT, timeout_of(r));
	if (n < 0 && errno != EINTR) {
		(void)err_sys(r->e, -errno, "wait for the sandbox");
		finish(r, ATTACH_FAILED, CLI_OWN);
	}
	if (n == 0 && !r->s.started) {
		attach_fail(r, ERR_TIMEOUT, -ETIMEDOUT, "the sandbox's agent does not answer");
		err_hint(r->e,
			"sbx stop NAME ends it, sbx logs --console NAME shows its last words");
	}
	if (n > 0)
		events(r, p);
	if (!r->done)
		attach_ask(r);
	if (!r->done)
		drain(r);
	pump_typed(r);
	pump_eof(r);
}

/* say_last() - a line and the detach keys may come in one read: the line was typed, and is sent */
static void say_last(struct attach_run *r)
{
	int64_t deadline = clock_ms() + LAST_MS;

	while (r->res.end == ATTACH_DETACHED && r->tx.len > 0 &&
		io_wait(r->a->stream, POLLOUT, deadline) == 0)
		on_stream_out(r);
}

/* undo_modes() - leaving a full-screen program behind: give the shell a usable terminal */
static void undo_modes(struct attach_run *r)
{
	char seq[160];
	size_t n;

	if (!r->raw || r->res.end == ATTACH_EXIT)
		return;
	n = term_modes_undo(&r->modes, seq, sizeof(seq));
	if (n > 0 && write(r->a->out, seq, n) < 0)
		return; /* the terminal is gone: nothing to repair */
}

struct attach_result attach_run(const struct attach *a, const struct buf *request, struct err *e)
{
	struct attach_run r = {.a = a, .keys = a->keys, .out_fd = -1, .e = e};
	sigset_t old;

	assert(request->len > 0);
	r.questions = a->questions > 0 ? a->questions : -1;
	session_init(&r.s);
	buf_init(&r.tx, TX_MAX);
	buf_init(&r.typed, TYPED_MAX);
	buf_init(&r.screen, PROMPT_BYTES);
	r.out_chunk = chunk_of(a->out);
	r.err_chunk = chunk_of(a->err);
	r.size = term_size(a->in);
	r.start_by = clock_ms() + a->start_ms;
	r.signals = block_signals(a, &old);
	if (r.signals < 0 || buf_add(&r.tx, request->data, request->len) < 0)
		attach_fail(&r, ERR_LIMIT, -ENOMEM, "out of memory or descriptors");
	while (!r.done)
		turn(&r);
	say_last(&r);
	attach_take_back(&r);
	undo_modes(&r);
	term_restore();
	if (r.signals >= 0) {
		close(r.signals);
		(void)sigprocmask(SIG_SETMASK, &old, NULL);
	}
	session_fini(&r.s);
	buf_fini(&r.tx);
	buf_fini(&r.typed);
	buf_fini(&r.screen);
	return r.res;
}
