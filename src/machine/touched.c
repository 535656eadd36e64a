#include "machine/touched.h"
#include "virtio/fs_watch.h"
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define BUCKETS	     1024u /* power of two */
#define EXPORTS_MAX  64u
#define RULE_MAX     64u
#define READ_TRIES   5
#define HEADER	     "sbx-touched 1 "
#define HEADER_BYTES 46u /* with its newline: fixed, so that it can be written over */

struct entry {
	struct entry *next; /* of the same bucket */
	char *path; /* owned */
	int64_t at_ms;
	uint16_t rule, depth;
	uint8_t export, changes;
};

struct touched {
	struct entry *entries[TOUCHED_MAX];
	struct entry *buckets[BUCKETS];
	size_t n;
	char *rules[TOUCHED_RULES_MAX]; /* owned */
	uint16_t counts[TOUCHED_RULES_MAX];
	size_t n_rules;
	uint64_t lost;
};

struct touched *touched_new(void)
{
	return calloc(1, sizeof(struct touched));
}

void touched_free(struct touched *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->n; i++) {
		free(t->entries[i]->path);
		free(t->entries[i]);
	}
	for (size_t i = 0; i < t->n_rules; i++)
		free(t->rules[i]);
	free(t);
}

static struct entry **bucket(struct touched *t, unsigned export, const char *path)
{
	uint32_t h = 2166136261u ^ export;

	for (; *path; path++)
		h = (h ^ (uint8_t)*path) * 16777619u;
	return &t->buckets[(h ^ h >> 16) & (BUCKETS - 1)];
}

static unsigned depth(const char *path)
{
	unsigned n = 0;

	for (; *path; path++)
		n += *path == '/';
	return n;
}

/* Index of a rule's text, or TOUCHED_RULES_MAX. */
static size_t rule_index(struct touched *t, const char *rule)
{
	for (size_t i = 0; i < t->n_rules; i++)
		if (strcmp(t->rules[i], rule) == 0)
			return i;
	if (t->n_rules == TOUCHED_RULES_MAX || !(t->rules[t->n_rules] = strdup(rule)))
		return TOUCHED_RULES_MAX;
	return t->n_rules++;
}

static void drop(struct touched *t, size_t i)
{
	struct entry *e = t->entries[i], **p = bucket(t, e->export, e->path);

	while (*p != e)
		p = &(*p)->next;
	*p = e->next;
	t->counts[e->rule]--;
	t->entries[i] = t->entries[--t->n];
	free(e->path);
	free(e);
}

/* Room for one of @rule at @path: what is deepest of the rule with most names goes, if that is not
 * the new one.
 */
static bool make_room(struct touched *t, size_t rule, const char *path)
{
	size_t big = rule, victim = 0;
	unsigned deepest = 0;

	if (t->n < TOUCHED_MAX)
		return true;
	t->lost++;
	for (size_t i = 0; i < t->n_rules; i++)
		if (t->counts[i] > t->counts[big] + (big == rule ? 1 : 0))
			big = i;
	for (size_t i = 0; i < t->n; i++) {
		unsigned d = t->entries[i]->depth + 1u;

		if (t->entries[i]->rule == big && d > deepest) {
			deepest = d;
			victim = i;
		}
	}
	if (deepest == 0 || (big == rule && deepest <= depth(path) + 1))
		return false;
	drop(t, victim);
	return true;
}

static struct entry *find(struct touched *t, unsigned export, const char *path)
{
	struct entry *e = *bucket(t, export, path);

	while (e && (e->export != export || strcmp(e->path, path) != 0))
		e = e->next;
	return e;
}

static bool add_new(struct touched *t, const struct touched_entry *x)
{
	size_t rule = rule_index(t, x->rule);
	struct entry *e, **b;

	if (rule == TOUCHED_RULES_MAX) {
		t->lost++;
		return false;
	}
	if (!make_room(t, rule, x->path))
		return false;
	e = calloc(1, sizeof(*e));
	if (!e || !(e->path = strdup(x->path))) {
		free(e);
		t->lost++;
		return false;
	}
	e->rule = (uint16_t)rule;
	e->depth = (uint16_t)depth(x->path);
	e->export = (uint8_t)x->export;
	e->changes = (uint8_t)x->changes;
	e->at_ms = x->at_ms;
	b = bucket(t, x->export, x->path);
	e->next = *b;
	*b = e;
	t->counts[rule]++;
	t->entries[t->n++] = e;
	return true;
}

bool touched_add(struct touched *t, const struct touched_entry *x)
{
	struct entry *e = find(t, x->export, x->path);
	bool news;

	assert(x->export < EXPORTS_MAX && !(x->changes & ~(unsigned)FS_CHANGES));
	if (!e)
		return add_new(t, x);
	/* Within a second the same again is no news. */
	news = (x->changes & ~(unsigned)e->changes) || x->at_ms >= e->at_ms + 1000;
	e->changes |= (uint8_t)x->changes;
	if (news && x->at_ms > e->at_ms)
		e->at_ms = x->at_ms;
	return news;
}

size_t touched_len(const struct touched *t)
{
	return t->n;
}

struct touched_entry touched_at(const struct touched *t, size_t i)
{
	const struct entry *e = t->entries[i];

	return (struct touched_entry){.rule = t->rules[e->rule],
		.path = e->path,
		.changes = e->changes,
		.export = e->export,
		.at_ms = e->at_ms};
}

uint64_t touched_lost(const struct touched *t)
{
	return t->lost;
}

/* ---- reading ---- */

static int hex(char c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'A' && c <= 'F' ? c - 'A' + 10
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
				      : -1;
}

/* The next word of a line, unescaped; false when it is too long or malformed. */
static bool word(const char **at, const char *end, char *dst, size_t cap)
{
	size_t n = 0;

	while (*at < end && **at == ' ')
		(*at)++;
	for (; *at < end && **at != ' '; (*at)++) {
		char c = **at;

		if (c == '%') {
			int a = end - *at > 2 ? hex((*at)[1]) : -1, b = a < 0 ? -1 : hex((*at)[2]);

			if (b < 0 || (a == 0 && b == 0))
				return false;
			c = (char)(a << 4 | b);
			*at += 2;
		}
		if (n + 1 >= cap || c == '\0')
			return false;
		dst[n++] = c;
	}
	dst[n] = '\0';
	return true;
}

static bool number(const char **at, const char *end, int base, uint64_t max, uint64_t *ret)
{
	char text[24], *rest;

	if (!word(at, end, text, sizeof(text)) || !text[0] ||
		text[strspn(text, "0123456789abcdefABCDEF")])
		return false;
	errno = 0;
	*ret = strtoull(text, &rest, base);
	return !*rest && errno == 0 && *ret <= max;
}

static void parse_line(struct touched *t, const char *at, const char *end)
{
	char rule[RULE_MAX], path[FS_WATCH_PATH_MAX];
	uint64_t ms, changes, export;
	struct touched_entry e;

	if (!number(&at, end, 10, INT64_MAX / 2, &ms) ||
		!number(&at, end, 16, FS_CHANGES, &changes) ||
		!number(&at, end, 10, EXPORTS_MAX - 1, &export) ||
		!word(&at, end, rule, sizeof(rule)) || !word(&at, end, path, sizeof(path)) ||
		at != end || !rule[0] || !changes)
		return;
	e = (struct touched_entry){.rule = rule,
		.path = path,
		.changes = (unsigned)changes,
		.export = (unsigned)export,
		.at_ms = (int64_t)ms};
	(void)touched_add(t, &e);
}

static int parse_header(const char *bytes, size_t len, uint64_t *ret_gen, uint64_t *ret_lost)
{
	const char *at = bytes + strlen(HEADER), *end = bytes + HEADER_BYTES - 1;

	if (len < HEADER_BYTES || memcmp(bytes, HEADER, strlen(HEADER)) != 0 || *end != '\n' ||
		!number(&at, end, 10, UINT32_MAX, ret_gen) ||
		!number(&at, end, 10, UINT64_MAX, ret_lost) || at != end)
		return -EBADMSG;
	return 0;
}

int touched_parse(struct touched *t, const char *bytes, size_t len)
{
	const char *at = bytes + HEADER_BYTES, *end = bytes + len;
	uint64_t gen, lost;
	int r = parse_header(bytes, len, &gen, &lost);

	if (r < 0)
		return r;
	while (at < end) {
		const char *stop = memchr(at, '\n', (size_t)(end - at));

		if (!stop) /* it is being written */
			break;
		parse_line(t, at, stop);
		at = stop + 1;
	}
	t->lost += lost;
	return 0;
}

static int read_all(int fd, char **ret_bytes, size_t *ret_len)
{
	struct stat st;
	size_t len = 0;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size > TOUCHED_FILE_MAX)
		return -EFBIG;
	AUTO_FREE char *bytes = malloc((size_t)st.st_size + 1);
	if (!bytes)
		return -ENOMEM;
	while (len < (size_t)st.st_size) {
		ssize_t n = pread(fd, bytes + len, (size_t)st.st_size - len, (off_t)len);

		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		len += (size_t)n;
	}
	*ret_bytes = TAKE(bytes);
	*ret_len = len;
	return 0;
}

static bool same_generation(int fd, const char *bytes)
{
	char now[HEADER_BYTES];
	uint64_t a, b, lost;

	return pread(fd, now, sizeof(now), 0) == sizeof(now) &&
	       parse_header(now, sizeof(now), &a, &lost) == 0 &&
	       parse_header(bytes, HEADER_BYTES, &b, &lost) == 0 && a == b;
}

int touched_read(struct touched *t, int fd)
{
	for (int tries = 0;; tries++) {
		AUTO_FREE char *bytes = NULL;
		size_t len;
		int r = read_all(fd, &bytes, &len);

		if (r < 0)
			return r;
		if (len == 0)
			return 0;
		if (len < HEADER_BYTES)
			return -EBADMSG;
		/* Written anew meanwhile: half of each would be no harm, but incomplete. */
		if (tries < READ_TRIES && !same_generation(fd, bytes))
			continue;
		return touched_parse(t, bytes, len);
	}
}
