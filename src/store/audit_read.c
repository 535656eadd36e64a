#include "store/audit_int.h"
#include "base/io.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

bool audit_line_read(const char *line, size_t len, struct audit_line *ret)
{
	const char *tail;
	char start[40] = "";
	int used = 0;

	if (len < AUDIT_TAIL + 10 || len > AUDIT_LINE_MAX)
		return false;
	memcpy(start, line, sizeof(start) - 1 < len ? sizeof(start) - 1 : len);
	if (sscanf(start, "{\"seq\":%" SCNu64 ",%n", &ret->seq, &used) != 1 || used == 0)
		return false;
	tail = line + len - AUDIT_TAIL;
	if (memcmp(tail, AUDIT_PREV, sizeof(AUDIT_PREV) - 1) != 0)
		return false;
	tail += sizeof(AUDIT_PREV) - 1;
	memcpy(ret->prev, tail, HASH_HEX - 1);
	ret->prev[HASH_HEX - 1] = '\0';
	tail += HASH_HEX - 1;
	ret->hashed = (size_t)(tail - line);
	if (memcmp(tail, AUDIT_HASH, sizeof(AUDIT_HASH) - 1) != 0)
		return false;
	tail += sizeof(AUDIT_HASH) - 1;
	memcpy(ret->hash, tail, HASH_HEX - 1);
	ret->hash[HASH_HEX - 1] = '\0';
	return memcmp(tail + HASH_HEX - 1, AUDIT_CLOSE, sizeof(AUDIT_CLOSE) - 1) == 0;
}

int audit_files_list(int dirfd, struct audit_files *ret)
{
	AUTO_FD fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *d;
	DIR *dir;

	ret->n = 0;
	if (fd < 0)
		return -errno;
	dir = fdopendir(fd);
	if (!dir)
		return -errno;
	(void)TAKE_FD(fd);
	while ((d = readdir(dir))) {
		uint64_t first;
		int used = 0;
		unsigned at;

		if (sscanf(d->d_name, AUDIT_OLD_PREFIX "%20" SCNu64 AUDIT_OLD_SUFFIX "%n", &first,
			    &used) != 1 ||
			d->d_name[used] != '\0' || used == 0 || ret->n == ARRAY_LEN(ret->first))
			continue;
		for (at = ret->n++; at > 0 && ret->first[at - 1] > first; at--)
			ret->first[at] = ret->first[at - 1];
		ret->first[at] = first;
	}
	closedir(dir);
	return 0;
}

void audit_file_name(const struct audit_files *f, unsigned i, char dst[64])
{
	if (i >= f->n)
		(void)snprintf(dst, 64, AUDIT_FILE);
	else
		(void)snprintf(
			dst, 64, AUDIT_OLD_PREFIX "%020" PRIu64 AUDIT_OLD_SUFFIX, f->first[i]);
}

void audit_head_read(int dirfd, uint64_t *ret_seq, char ret_hash[HASH_HEX])
{
	struct buf b;

	*ret_seq = 0;
	ret_hash[0] = '\0';
	buf_init(&b, 256);
	if (io_read_file(dirfd, AUDIT_HEAD, &b) == 0 && b.len > 0 &&
		sscanf(b.data, "%20" SCNu64 " %64[0-9a-f]", ret_seq, ret_hash) != 2)
		*ret_seq = 0;
	buf_fini(&b);
}

/* A file in memory, read only. */
struct view {
	const char *p;
	size_t len;
};

static int view_open(int dirfd, const char *name, struct view *ret)
{
	AUTO_FD fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct stat sb;
	void *p;

	*ret = (struct view){0};
	if (fd < 0 || fstat(fd, &sb) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (sb.st_size == 0)
		return 0;
	/* private and of the size seen now: a writer appends, nobody shortens it but by hand */
	p = mmap(NULL, (size_t)sb.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	*ret = (struct view){.p = p, .len = (size_t)sb.st_size};
	return 0;
}

static void view_close(struct view *v)
{
	if (v->p)
		(void)munmap((void *)(uintptr_t)v->p, v->len);
}

/* ---- read ---- */

/* has() - does the line hold "key":"value"? Quotes inside of values are escaped, so this is exact. */
static bool has(const char *line, size_t len, const char *key, const char *value)
{
	char what[256];
	int n = snprintf(what, sizeof(what), ",\"%s\":\"%s\"", key, value);

	return n > 0 && n < (int)sizeof(what) && memmem(line, len, what, (size_t)n);
}

static bool passes(const struct audit_filter *f, const char *line, size_t len, uint64_t seq)
{
	return seq > f->after && (!f->decision || has(line, len, "decision", f->decision)) &&
	       (!f->event || has(line, len, "event", f->event)) &&
	       (!f->sandbox || has(line, len, "sandbox", f->sandbox) ||
		       has(line, len, "id", f->sandbox));
}

struct found {
	const char *p;
	size_t len; /* with its LF */
};

/* collect() - from the end of a file backwards, until @max are found; false: far enough back */
static bool collect(const struct view *v, const struct audit_filter *f, struct found *list,
	size_t *n, size_t max, uint64_t *last)
{
	size_t end = v->len;

	while (end > 0 && *n < max) {
		const char *nl = end > 1 ? memrchr(v->p, '\n', end - 1) : NULL;
		size_t start = nl ? (size_t)(nl - v->p) + 1 : 0;
		struct audit_line line;

		if (v->p[end - 1] == '\n' &&
			audit_line_read(v->p + start, end - 1 - start, &line)) {
			if (*last == 0)
				*last = line.seq;
			if (line.seq <= f->after)
				return false;
			if (passes(f, v->p + start, end - start, line.seq))
				list[(*n)++] = (struct found){v->p + start, end - start};
		}
		end = start;
	}
	return *n < max;
}

int audit_read(const char *dir, const struct audit_filter *f, struct buf *out, uint64_t *ret_last,
	struct err *e)
{
	size_t max = f->limit == 0 || f->limit > AUDIT_READ_MAX ? AUDIT_READ_MAX : f->limit, n = 0;
	AUTO_FREE struct found *list = calloc(max, sizeof(*list));
	AUTO_FD fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct view now = {0}, before = {0};
	struct audit_files files = {.n = 0};
	uint64_t last = 0;
	int r = list && fd >= 0 ? 0 : -errno;

	if (r == 0)
		r = view_open(fd, AUDIT_FILE, &now);
	if (r == 0 && collect(&now, f, list, &n, max, &last)) {
		char name[64];

		r = audit_files_list(fd, &files);
		if (r == 0 && files.n > 0) {
			audit_file_name(&files, files.n - 1, name);
			r = view_open(fd, name, &before);
			(void)collect(&before, f, list, &n, max, &last);
		}
	}
	while (r == 0 && n > 0) {
		n--;
		r = buf_add(out, list[n].p, list[n].len);
	}
	view_close(&now);
	view_close(&before);
	*ret_last = last;
	return r < 0 ? err_sys(e, r, "read the audit log") : 0;
}

/* ---- verify ---- */

struct walk {
	struct audit_report *rep;
	char last[HASH_HEX];
	uint64_t head_seq;
	char head_hash[HASH_HEX];
	bool head_seen;
};

static bool fault(struct walk *w, const char *file, uint64_t line, const char *why)
{
	(void)snprintf(w->rep->file, sizeof(w->rep->file), "%s", file);
	(void)snprintf(w->rep->why, sizeof(w->rep->why), "%s", why);
	w->rep->line = line;
	return false;
}

static bool check_line(
	struct walk *w, const char *file, uint64_t number, const char *line, size_t len)
{
	char hash[HASH_HEX];
	struct audit_line l;

	if (!audit_line_read(line, len, &l))
		return fault(w, file, number, "this is no record");
	if (w->rep->records == 0)
		w->rep->first = l.seq;
	else if (l.seq != w->rep->last + 1)
		return fault(w, file, number, "records are missing before this one");
	else if (strcmp(l.prev, w->last) != 0)
		return fault(w, file, number, "it does not follow the record before it");
	if (hash_bytes(line, l.hashed, hash) < 0 || strcmp(hash, l.hash) != 0)
		return fault(w, file, number, "it was changed");
	if (l.seq == w->head_seq) {
		if (strcmp(hash, w->head_hash) != 0)
			return fault(w, file, number, "it is not the one that was written");
		w->head_seen = true;
	}
	w->rep->records++;
	w->rep->last = l.seq;
	memcpy(w->last, l.hash, sizeof(l.hash));
	return true;
}

static bool check_file(struct walk *w, const char *name, const struct view *v)
{
	uint64_t number = 0;
	size_t at = 0;

	while (at < v->len) {
		const char *nl = memchr(v->p + at, '\n', v->len - at);

		number++;
		if (!nl) /* being written now, or cut off by a crash: never acknowledged */
			return strcmp(name, AUDIT_FILE) == 0 ||
			       fault(w, name, number, "the last line is not whole");
		if (!check_line(w, name, number, v->p + at, (size_t)(nl - v->p) - at))
			return false;
		at = (size_t)(nl - v->p) + 1;
	}
	return true;
}

int audit_verify(const char *dir, struct audit_report *ret_report, struct err *e)
{
	AUTO_FD fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct walk w = {.rep = ret_report};
	struct audit_files files;
	bool holds = true;
	int r;

	*ret_report = (struct audit_report){0};
	if (fd < 0)
		return err_sys(e, -errno, "open the audit log");
	audit_head_read(fd, &w.head_seq, w.head_hash);
	r = audit_files_list(fd, &files);
	for (unsigned i = 0; r == 0 && holds && i <= files.n; i++) {
		struct view v;
		char name[64];

		audit_file_name(&files, i, name);
		r = view_open(fd, name, &v);
		if (r < 0)
			break;
		holds = check_file(&w, name, &v);
		view_close(&v);
		ret_report->files++;
	}
	if (r < 0)
		return err_sys(e, r, "read the audit log");
	if (holds && w.head_seq > 0 && !w.head_seen)
		(void)fault(&w, AUDIT_FILE, 0, "records at its end are missing");
	return 0;
}
