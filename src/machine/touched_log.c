/* touched_log.c - the file of touched.h, as sbx-machine writes it: a line as things happen */
#include "machine/touched.h"
#include "base/buf.h"
#include "base/clock.h"
#include "virtio/fs_watch.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define REWRITE_BYTES                                                                              \
	(4u << 20) /* then the table is written anew, which takes about 3 MiB at most */
#define RECORD_MAX (4u * FS_WATCH_PATH_MAX)

struct touched_log {
	struct touched *table;
	int fd;
	uint32_t generation;
	uint64_t lost_said;
	off_t end; /* 0: what is in the file is not to be relied on */
};

static int add_escaped(struct buf *b, const char *text)
{
	int r = 0;

	for (; *text && r == 0; text++) {
		unsigned char c = (unsigned char)*text;

		r = c > ' ' && c < 0x7f && c != '%' ? buf_add(b, text, 1)
						    : buf_addf(b, "%%%02X", c);
	}
	return r;
}

static int add_line(struct buf *b, const struct touched_entry *e)
{
	int r = buf_addf(b, "%" PRId64 " %x %u ", e->at_ms, e->changes, e->export);

	if (r == 0)
		r = add_escaped(b, e->rule);
	if (r == 0)
		r = buf_add(b, " ", 1);
	/* The export's own root has no path; a word must be there. */
	if (r == 0)
		r = add_escaped(b, e->path);
	return r == 0 ? buf_add(b, "\n", 1) : r;
}

static int add_header(const struct touched_log *l, struct buf *b)
{
	return buf_addf(b, "sbx-touched 1 %010" PRIu32 " %020" PRIu64 "\n", l->generation,
		touched_lost(l->table));
}

static int put(int fd, const struct buf *b, off_t at)
{
	size_t done = 0;

	while (done < b->len) {
		ssize_t n = pwrite(fd, b->data + done, b->len - done, at + (off_t)done);

		if (n < 0)
			return -errno;
		done += (size_t)n;
	}
	return 0;
}

/* A reader that sees two generations reads again; one that comes in between sees whole lines. */
static int rewrite(struct touched_log *l)
{
	AUTO(buf) b = {0};
	int r;

	buf_init(&b, TOUCHED_FILE_MAX);
	l->generation++;
	l->end = 0;
	r = add_header(l, &b);
	for (size_t i = 0; i < touched_len(l->table) && r == 0; i++) {
		struct touched_entry e = touched_at(l->table, i);

		r = add_line(&b, &e);
	}
	if (r == 0)
		r = put(l->fd, &b, 0);
	if (r == 0 && ftruncate(l->fd, (off_t)b.len) < 0)
		r = -errno;
	if (r < 0)
		return r;
	l->end = (off_t)b.len;
	l->lost_said = touched_lost(l->table);
	return 0;
}

static void append(struct touched_log *l, const struct touched_entry *e)
{
	AUTO(buf) b = {0};

	buf_init(&b, RECORD_MAX);
	if (l->end > 0 && l->end < REWRITE_BYTES && add_line(&b, e) == 0 &&
		put(l->fd, &b, l->end) == 0) {
		l->end += (off_t)b.len;
		return;
	}
	(void)!rewrite(l); /* a full disk: the table is right, and the next change tries again */
}

static void say_lost(struct touched_log *l)
{
	AUTO(buf) b = {0};

	if (touched_lost(l->table) == l->lost_said || l->end == 0)
		return;
	buf_init(&b, RECORD_MAX);
	if (add_header(l, &b) == 0 && put(l->fd, &b, 0) == 0)
		l->lost_said = touched_lost(l->table);
}

static void note(struct touched_log *l, const struct touched_entry *e)
{
	if (touched_add(l->table, e))
		append(l, e);
	say_lost(l);
}

void touched_log_changed(
	void *ctx, unsigned export, const char *rule, unsigned changes, const char *path)
{
	const struct touched_entry e = {.rule = rule,
		.path = path,
		.changes = changes,
		.export = export,
		.at_ms = clock_real_ms()};

	note(ctx, &e);
}

void touched_log_moved(void *ctx, unsigned export, const char *from, const char *to)
{
	struct touched_log *l = ctx;
	size_t len = strlen(from), n = touched_len(l->table);

	/* What this adds stands behind what is looked at; what it drops was the deepest of many. */
	for (size_t i = 0; i < n && i < touched_len(l->table); i++) {
		struct touched_entry e = touched_at(l->table, i);
		char path[FS_WATCH_PATH_MAX], rule[128];

		if (e.export != export || strncmp(e.path, from, len) != 0)
			continue;
		if (snprintf(path, sizeof(path), "%s%s", to, e.path + len) >= (int)sizeof(path))
			continue;
		(void)snprintf(rule, sizeof(rule), "%s", e.rule);
		e = (struct touched_entry){.rule = rule,
			.path = path,
			.changes = FS_RENAMED,
			.export = export,
			.at_ms = clock_real_ms()};
		note(l, &e);
	}
}

int touched_log_open(int fd, struct touched_log **ret_log)
{
	struct touched_log *l = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return -ENOMEM;
	l->fd = -1;
	l->table = touched_new();
	l->generation = (uint32_t)clock_real_ms(); /* not one of an earlier machine's */
	r = l->table ? touched_read(l->table, fd) : -ENOMEM;
	if (r == -EBADMSG || r == -EFBIG) /* damaged: begin anew */
		r = 0;
	l->fd = fd;
	if (r == 0)
		r = rewrite(l);
	if (r < 0) {
		l->fd = -1; /* it stays the caller's */
		touched_log_free(l);
		return r;
	}
	*ret_log = l;
	return 0;
}

void touched_log_free(struct touched_log *l)
{
	if (!l)
		return;
	if (l->fd >= 0 && l->end == 0)
		(void)!rewrite(l);
	own_close_fd(&l->fd);
	touched_free(l->table);
	free(l);
}
