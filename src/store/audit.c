#include "store/audit_int.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define SYNC_MS	  1000
#define BATCH_MAX (1U << 20)

struct audit {
	pthread_mutex_t lock;
	int dir, fd, head_fd;
	uint64_t seq, file_bytes; /* of the newest record; of the present file */
	uint64_t synced_seq;
	int64_t synced_at; /* clock_ms() */
	char last[HASH_HEX]; /* its hash */
	struct buf batch; /* lines on their way */
};

/* ---- a line ---- */

static int put_str(struct buf *b, const char *key, const char *s)
{
	int r = buf_addf(b, ",\"%s\":\"", key);

	/* One byte outside of printable ASCII is one escape: what it was in the message stays visible. */
	while (r == 0 && *s) {
		unsigned char c = (unsigned char)*s;
		size_t plain = 0;

		while (s[plain] >= ' ' && s[plain] < 0x7f && s[plain] != '"' && s[plain] != '\\')
			plain++;
		if (plain > 0)
			r = buf_add(b, s, plain);
		else if (c == '"' || c == '\\')
			r = buf_addf(b, "\\%c", c);
		else
			r = buf_addf(b, "\\u%04x", c);
		s += plain > 0 ? plain : 1;
	}
	return r == 0 ? buf_add(b, "\"", 1) : r;
}

static int put_num(struct buf *b, const char *key, uint64_t v)
{
	return buf_addf(b, ",\"%s\":%" PRIu64, key, v);
}

static int begin_line(struct audit *a, int64_t time_ms, const char *event)
{
	time_t s = (time_t)(time_ms / 1000);
	char day[32] = "";
	struct tm tm;
	int r;

	if (!gmtime_r(&s, &tm) || strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm) == 0)
		return -EINVAL;
	r = buf_addf(&a->batch, "{\"seq\":%" PRIu64 ",\"time\":\"%s.%03dZ\"", a->seq + 1, day,
		(int)(time_ms % 1000));
	return r == 0 ? put_str(&a->batch, "event", event) : r;
}

/* end_line() - the chain; @start is where the line began in the batch */
static int end_line(struct audit *a, size_t start)
{
	char hash[HASH_HEX];
	int r = buf_addf(&a->batch, AUDIT_PREV "%s", a->last);

	if (r == 0)
		r = hash_bytes(a->batch.data + start, a->batch.len - start, hash);
	if (r == 0)
		r = buf_addf(&a->batch, AUDIT_HASH "%s" AUDIT_CLOSE "\n", hash);
	if (r < 0)
		return r;
	memcpy(a->last, hash, sizeof(hash));
	a->seq++;
	return 0;
}

static const char *const events[] = {[EGRESS_ON_DNS] = "dns",
	[EGRESS_ON_TCP] = "tcp",
	[EGRESS_ON_TLS] = "tls",
	[EGRESS_ON_HTTP] = "http",
	[EGRESS_ON_WEBSOCKET] = "websocket",
	[EGRESS_ON_GRPC] = "grpc"};
static const char *const decisions[] = {
	[EGRESS_ALLOW] = "allow", [EGRESS_DENY] = "deny", [EGRESS_REFUSED] = "refused"};
static const char *const ways[] = {[EGRESS_REDIRECTED] = "transparent", [EGRESS_PROXY] = "forward"};

static int put_record(
	struct audit *a, const struct audit_who *who, const struct egress_record *x, int64_t now)
{
	size_t start = a->batch.len;
	struct buf *b = &a->batch;
	/* The sandbox's clock is this host's: only what cannot be true is replaced. */
	int64_t t =
		x->time_ms > 0 && x->time_ms <= (uint64_t)now + 1000 ? (int64_t)x->time_ms : now;
	int r = begin_line(a, t, events[x->event]);

	r = r < 0 ? r : put_str(b, "decision", decisions[x->decision]);
	r = r < 0 ? r : put_str(b, "sandbox", who->name);
	r = r < 0 ? r : put_str(b, "id", who->id);
	r = r < 0 ? r : put_str(b, "agent", who->agent);
	r = r < 0 ? r : put_str(b, "proxy", ways[x->way]);
	r = r < 0 ? r : put_str(b, "host", x->host);
	r = r < 0 ? r : put_num(b, "port", x->port);
	r = r < 0 ? r : put_str(b, "method", x->method);
	r = r < 0 ? r : put_str(b, "path", x->path);
	r = r < 0 ? r : put_str(b, "rule", x->rule);
	r = r < 0 ? r : put_str(b, "reason", x->reason);
	r = r < 0 ? r : put_num(b, "status", x->status);
	r = r < 0 ? r : put_num(b, "bytes_up", x->bytes_up);
	r = r < 0 ? r : put_num(b, "bytes_down", x->bytes_down);
	r = r < 0 ? r : put_str(b, "credential", x->credential);
	r = r < 0 ? r : put_str(b, "note", x->note);
	r = r < 0 ? r : end_line(a, start);
	if (r < 0)
		b->len = start;
	return r;
}

/* ---- the file ---- */

static int open_present(struct audit *a)
{
	struct stat sb;

	a->fd = openat(
		a->dir, AUDIT_FILE, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (a->fd < 0 || fstat(a->fd, &sb) < 0)
		return -errno;
	a->file_bytes = (uint64_t)sb.st_size;
	return 0;
}

static int write_head(struct audit *a)
{
	char text[128];
	int n = snprintf(text, sizeof(text), "%020" PRIu64 " %s\n", a->seq, a->last);

	if (fdatasync(a->fd) < 0 || pwrite(a->head_fd, text, (size_t)n, 0) != n)
		return -errno;
	a->synced_seq = a->seq;
	a->synced_at = clock_ms();
	return 0;
}

static void drop_oldest(struct audit *a)
{
	struct audit_files f;
	char name[64];

	if (audit_files_list(a->dir, &f) < 0)
		return;
	for (unsigned i = 0; f.n - i > AUDIT_FILES_MAX; i++) {
		audit_file_name(&f, i, name);
		log_warn("audit: the oldest records (%s) are removed", name);
		(void)unlinkat(a->dir, name, 0);
	}
}

/* turn() - the present file is full: it gets the name of its first record */
static int turn(struct audit *a)
{
	char line[64] = "", name[64];
	uint64_t first = 0;
	int r = write_head(a);

	if (r < 0)
		return r;
	if (pread(a->fd, line, sizeof(line) - 1, 0) < 0 ||
		sscanf(line, "{\"seq\":%" SCNu64, &first) != 1)
		return -EBADMSG;
	(void)snprintf(name, sizeof(name), AUDIT_OLD_PREFIX "%020" PRIu64 AUDIT_OLD_SUFFIX, first);
	if (renameat(a->dir, AUDIT_FILE, a->dir, name) < 0)
		return -errno;
	own_close_fd(&a->fd);
	r = open_present(a);
	if (r == 0)
		drop_oldest(a);
	return r;
}

/* flush() - the batch goes to the file; a failure leaves the chain where it was before the batch */
static int flush(struct audit *a, uint64_t seq_before, const char *last_before)
{
	int r = 0;

	if (a->batch.len > 0) {
		/* a file that cannot take all of it must not keep a part */
		off_t end = (off_t)a->file_bytes;

		r = io_write_full(a->fd, a->batch.data, a->batch.len, IO_FOREVER);
		if (r < 0) {
			(void)!ftruncate(a->fd, end);
			a->seq = seq_before;
			memcpy(a->last, last_before, HASH_HEX);
		} else {
			a->file_bytes += a->batch.len;
		}
		buf_clear(&a->batch);
	}
	if (r == 0 && clock_ms() - a->synced_at >= SYNC_MS)
		r = write_head(a);
	if (r == 0 && a->file_bytes >= AUDIT_FILE_BYTES)
		r = turn(a);
	return r;
}

int audit_add(struct audit *a, const struct audit_who *who, const uint8_t *blob, size_t len,
	struct err *e)
{
	int64_t now = clock_real_ms();
	struct egress_record rec;
	char last[HASH_HEX];
	uint64_t seq;
	size_t used;
	int r = 0, w;

	(void)pthread_mutex_lock(&a->lock);
	seq = a->seq;
	memcpy(last, a->last, sizeof(last));
	while (r == 0 && len > 0) {
		if (egress_next_record(blob, len, &used, &rec) != PROTO_OK)
			r = -EBADMSG;
		else
			r = put_record(a, who, &rec, now);
		blob += used;
		len -= used;
	}
	w = flush(a, seq, last);
	(void)pthread_mutex_unlock(&a->lock);
	if (w < 0)
		r = w;
	return r < 0 ? err_sys(e, r, "write the audit log") : 0;
}

int audit_admin(
	struct audit *a, const char *what, const char *subject, const char *detail, struct err *e)
{
	char last[HASH_HEX];
	uint64_t seq;
	size_t start;
	int r, w;

	(void)pthread_mutex_lock(&a->lock);
	seq = a->seq;
	memcpy(last, a->last, sizeof(last));
	start = a->batch.len;
	r = begin_line(a, clock_real_ms(), "admin");
	r = r < 0 ? r : put_str(&a->batch, "what", what);
	r = r < 0 ? r : put_str(&a->batch, "sandbox", subject);
	r = r < 0 ? r : put_str(&a->batch, "detail", detail);
	r = r < 0 ? r : end_line(a, start);
	if (r < 0)
		a->batch.len = start;
	w = flush(a, seq, last);
	(void)pthread_mutex_unlock(&a->lock);
	if (w < 0)
		r = w;
	return r < 0 ? err_sys(e, r, "write the audit log") : 0;
}

/* ---- open ---- */

/* find_end() - the last whole line of the present file; what a crash left behind it goes */
static int find_end(struct audit *a)
{
	char tail[2 * AUDIT_LINE_MAX];
	uint64_t from = a->file_bytes > sizeof(tail) ? a->file_bytes - sizeof(tail) : 0;
	ssize_t n = pread(a->fd, tail, sizeof(tail), (off_t)from);
	struct audit_line line;
	size_t end, start;

	if (n < 0)
		return -errno;
	for (end = (size_t)n; end > 0 && tail[end - 1] != '\n'; end--)
		;
	if (end < (size_t)n) {
		log_warn("audit: a record that a crash cut off is removed");
		if (ftruncate(a->fd, (off_t)(from + end)) < 0)
			return -errno;
		a->file_bytes = from + end;
	}
	if (end == 0)
		return a->file_bytes == 0 ? 0 : -EBADMSG;
	for (start = end - 1; start > 0 && tail[start - 1] != '\n'; start--)
		;
	if (!audit_line_read(tail + start, end - 1 - start, &line))
		return -EBADMSG;
	a->seq = line.seq;
	memcpy(a->last, line.hash, sizeof(line.hash));
	return 1;
}

/* find_last() - where the chain goes on: the present file, else the newest of the older ones */
static int find_last(struct audit *a)
{
	struct audit_files f;
	char name[64];
	int r = find_end(a), keep;

	if (r != 0)
		return r < 0 ? r : 0;
	r = audit_files_list(a->dir, &f);
	if (r < 0 || f.n == 0)
		return r;
	audit_file_name(&f, f.n - 1, name);
	keep = a->fd;
	a->fd = openat(a->dir, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (a->fd >= 0) {
		struct stat sb;

		a->file_bytes = fstat(a->fd, &sb) == 0 ? (uint64_t)sb.st_size : 0;
		r = find_end(a);
		close(a->fd);
	} else {
		r = -errno;
	}
	a->fd = keep;
	a->file_bytes = 0;
	return r < 0 ? r : 0;
}

static int open_files(struct audit *a, const char *dir)
{
	int r;

	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return -errno;
	a->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (a->dir < 0)
		return -errno;
	a->head_fd = openat(a->dir, AUDIT_HEAD, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (a->head_fd < 0)
		return -errno;
	r = open_present(a);
	return r < 0 ? r : find_last(a);
}

int audit_open(const char *dir, struct audit **ret_audit, struct err *e)
{
	struct audit *a = calloc(1, sizeof(*a));
	int r;

	if (!a)
		return err_sys(e, -ENOMEM, "open the audit log");
	a->dir = a->fd = a->head_fd = -1;
	(void)pthread_mutex_init(&a->lock, NULL);
	buf_init(&a->batch, BATCH_MAX);
	memset(a->last, '0', HASH_HEX - 1);
	r = open_files(a, dir);
	if (r < 0) {
		audit_close(a);
		return err_sys(e, r, "open the audit log in '%s'", dir);
	}
	a->synced_seq = a->seq;
	*ret_audit = a;
	return 0;
}

void audit_close(struct audit *a)
{
	if (!a)
		return;
	if (a->seq != a->synced_seq)
		(void)write_head(a);
	buf_fini(&a->batch);
	own_close_fd(&a->fd);
	own_close_fd(&a->head_fd);
	own_close_fd(&a->dir);
	(void)pthread_mutex_destroy(&a->lock);
	free(a);
}
