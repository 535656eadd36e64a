/* GET …/logs?follow=1: a body that goes on while the sandbox lives */
#include "daemon/agent.h"
#include "daemon/api_logs.h"
#include "daemon/files.h"
#include "base/clock.h"
#include "base/escape.h"
#include "base/io.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>

#define TICK_MS	 200
#define AGAIN_MS 1000 /* between looks for a new session of the agent */
#define OPEN_MS	 5000
#define LIVE_MS	 (7 * 86400000LL) /* a session that says nothing all that time is let go */
#define CHUNK	 32768
#define MARK	 64

struct follow {
	struct api_call *a;
	size_t lines; /* of what was there before; SIZE_MAX: all */
	bool begun;
	char rest[4]; /* the beginning of a character whose end has not come */
	size_t n_rest;
	const char *file; /* in the sandbox's directory */
	/* of a file: what was sent last, by which the place is found again when the file was cut */
	off_t at;
	char mark[MARK];
	size_t n_mark;
};

/* unfinished() - how many bytes at the end begin a UTF-8 sequence that may yet be completed */
static size_t unfinished(const char *p, size_t len)
{
	for (size_t n = 1; n <= 3 && n <= len; n++) {
		unsigned char c = (unsigned char)p[len - n];
		size_t whole = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 1;

		if ((c & 0xc0) == 0x80)
			continue;
		return whole > n ? n : 0;
	}
	return 0;
}

static int put(struct follow *f, const char *p, size_t len, bool last)
{
	AUTO(buf) raw = {0};
	AUTO(buf) text = {0};
	int r;

	buf_init(&raw, len + sizeof(f->rest));
	buf_init(&text, 3 * (len + sizeof(f->rest)) + 1);
	r = buf_add(&raw, f->rest, f->n_rest);
	if (r == 0)
		r = buf_add(&raw, p, len);
	if (r < 0)
		return r;
	f->n_rest = last ? 0 : unfinished(buf_str(&raw), raw.len);
	memcpy(f->rest, buf_str(&raw) + raw.len - f->n_rest, f->n_rest);
	r = js_utf8(&text, buf_str(&raw), raw.len - f->n_rest);
	if (r == 0 && text.len > 0)
		r = conn_piece(f->a->c, text.data, text.len);
	return r;
}

/* begin() - the head, and the last lines of what there is */
static int begin(struct follow *f, const struct buf *raw)
{
	const char *from = logs_last(raw, f->lines);
	int r = conn_text_begin(f->a->c);

	f->begun = true;
	return r < 0 ? r : put(f, from, (size_t)(buf_str(raw) + raw->len - from), false);
}

static int end(struct follow *f)
{
	int r = put(f, "", 0, true);

	return r < 0 ? r : conn_lines_end(f->a->c);
}

/* pause_for() - false when the client has gone */
static bool pause_for(const struct follow *f, int ms)
{
	struct pollfd p = {.fd = f->a->c->fd};

	return poll(&p, 1, ms) <= 0;
}

/* ---- a file: the console, the setup log ---- */

static void remember(struct follow *f, const char *p, size_t len)
{
	size_t keep = len >= MARK ? 0 : MARK - len;

	if (len > MARK) {
		p += len - MARK;
		len = MARK;
	}
	if (keep > f->n_mark)
		keep = f->n_mark;
	memmove(f->mark, f->mark + f->n_mark - keep, keep);
	memcpy(f->mark + keep, p, len);
	f->n_mark = keep + len;
}

/* in_place() - does the file still say before f->at what was sent last? */
static bool in_place(const struct follow *f, int fd)
{
	char was[MARK];
	struct stat st;

	return fstat(fd, &st) == 0 && st.st_size >= f->at &&
	       pread(fd, was, f->n_mark, f->at - (off_t)f->n_mark) == (ssize_t)f->n_mark &&
	       memcmp(was, f->mark, f->n_mark) == 0;
}

/* find_place() - after the last place where the file says what was sent last; else at its beginning:
 * then its older half was dropped while more came than we had seen, or the sandbox was started anew
 */
static int find_place(struct follow *f, int fd)
{
	AUTO(buf) b = {0};
	int r;

	buf_init(&b, LOGS_FILE_MAX + 1);
	f->at = 0;
	r = lseek(fd, 0, SEEK_SET) < 0 ? -errno : io_read_fd(fd, &b);
	if (r < 0)
		return r;
	for (size_t at = b.len; f->n_mark > 0 && at >= f->n_mark; at--)
		if (memcmp(b.data + at - f->n_mark, f->mark, f->n_mark) == 0) {
			f->at = (off_t)at;
			return 0;
		}
	f->n_mark = 0;
	return 0;
}

static int file_more(struct follow *f)
{
	AUTO_FD dir = sandbox_dir(f->a->box, NULL);
	AUTO_FD fd = dir < 0 ? -1 : openat(dir, f->file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	AUTO_FREE char *chunk = malloc(CHUNK);
	ssize_t n;
	int r = 0;

	if (!chunk)
		return -ENOMEM;
	if (fd < 0)
		return 0; /* not started yet, or removed */
	if (!in_place(f, fd))
		r = find_place(f, fd);
	while (r == 0 && (n = pread(fd, chunk, CHUNK, f->at)) > 0) {
		f->at += n;
		remember(f, chunk, (size_t)n);
		r = put(f, chunk, (size_t)n, false);
	}
	return r;
}

int follow_file(struct api_call *a, const char *name, size_t lines, struct err *e)
{
	struct follow f = {.a = a, .file = name, .lines = lines};
	AUTO(buf) raw = {0};
	bool alive;
	int r;

	buf_init(&raw, LOGS_FILE_MAX);
	r = logs_file(a->box, name, &raw, e);
	if (r < 0)
		return r;
	f.at = (off_t)raw.len;
	remember(&f, buf_str(&raw), raw.len);
	r = begin(&f, &raw);
	while (r == 0) {
		/* asked first: what it wrote before its end is in the file then */
		alive = status_has_machine(sandbox_status(a->box));
		r = file_more(&f);
		if (r < 0 || !alive)
			break;
		if (!pause_for(&f, TICK_MS))
			return -ECONNRESET;
	}
	return r < 0 ? r : end(&f);
}

/* ---- the agent's terminal ---- */

/* on_output() - before OK it is what was there; afterwards it goes on at once */
static int on_output(struct follow *f, struct buf *raw, bool live, const struct frame *fr)
{
	if (live)
		return put(f, (const char *)fr->body, fr->len, false);
	return raw->len + fr->len <= raw->max ? buf_add(raw, fr->body, fr->len) : 0;
}

static int protocol_broken(struct err *e)
{
	return err_set(e, ERR_INTERNAL, -EBADMSG, "the guest's agent broke the protocol");
}

/* take_frames() - until the session ends: 1; @last_pid: one that was followed to its end before */
static int take_frames(struct follow *f, struct agent_stream *st, uint32_t *last_pid, struct err *e)
{
	AUTO(buf) raw = {0};
	bool live = false;

	buf_init(&raw, LOGS_REPLAY_MAX);
	for (;;) {
		struct frame fr;
		uint32_t pid;
		int r = agent_next(st, &fr, e);

		if (r < 0)
			return r;
		if (fr.type == FRAME_STARTED) {
			if (agent_get_u32(&fr, &pid) != PROTO_OK)
				return protocol_broken(e);
			if (pid == *last_pid)
				return 1;
			*last_pid = pid;
		} else if (fr.type == FRAME_STDOUT) {
			r = on_output(f, &raw, live, &fr);
		} else if (fr.type == FRAME_OK && !live) {
			live = true;
			st->deadline = clock_ms() + LIVE_MS;
			r = f->begun ? put(f, buf_str(&raw), raw.len, false) : begin(f, &raw);
			buf_clear(&raw);
		} else if (fr.type == FRAME_EXIT)
			return 1;
		else if (fr.type == FRAME_ERROR)
			return agent_refused(&fr, e);
		else
			return protocol_broken(e);
		if (r < 0)
			return err_sys(e, r, "send the agent's output");
	}
}

/* watch_session() - 1: it ended, or there is none now */
static int watch_session(struct follow *f, uint32_t *last_pid, struct err *e)
{
	struct agent_attach m = {.flags = AGENT_ATTACH_WATCH, .session = LOGS_SESSION};
	AUTO(agent_stream) st = {.fd = -1};
	AUTO(buf) out = {0};
	int r;

	buf_init(&out, 4096);
	r = agent_put_attach(&out, &m);
	if (r < 0)
		return err_sys(e, r, "ask for the agent's output");
	r = agent_open(&st, f->a->box, clock_ms() + OPEN_MS, e);
	st.client = &f->a->c->fd;
	if (r == 0)
		r = agent_send(&st, &out, e);
	if (r == 0)
		r = take_frames(f, &st, last_pid, e);
	return r == -ENOENT ? 1 : r;
}

int follow_agent(struct api_call *a, size_t lines, struct err *e)
{
	struct follow f = {.a = a, .lines = lines};
	const struct buf nothing = {0};
	uint32_t last_pid = 0;
	int r = api_must_run(a->box, e);

	while (r >= 0) {
		enum status now = sandbox_status(a->box);
		struct err why = {0};

		if (!status_has_machine(now)) {
			r = f.begun ? 0 : begin(&f, &nothing);
			return r < 0 ? r : end(&f);
		}
		r = now == STATUS_RUNNING ? watch_session(&f, &last_pid, &why) : 0;
		if (r == 1 && !f.begun)
			r = begin(&f, &nothing);
		/* An end of the sandbox cuts the stream: then its status will say so. */
		else if (r == -ECONNRESET || r == -ENOTCONN || (r == -ETIMEDOUT && f.begun))
			r = 0;
		if (r < 0)
			*e = why;
		else if (!pause_for(&f, r > 0 ? AGAIN_MS : TICK_MS))
			return -ECONNRESET;
	}
	return r;
}
