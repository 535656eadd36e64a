#include "cli/prompt.h"
#include "base/escape.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define ROWS_MIN   10 /* a smaller window could hide what is asked */
#define COLS_MIN   40
#define LINES_MAX  24
#define HOST_LINES 11 /* the longest name in the narrowest window: its end says whose it is */
#define ROOM	   256
#define TOLD_MS	   5000 /* for the daemon to take an answer */

/* What a guest may have left half done or switched on. CAN and ST end a sequence, "ESC <" leaves the mode
 * in which there are none. The cursor with its attributes is kept first (by 1049 or ESC 7), then: letters
 * are letters, no protected cells, no margins left and right, colours as they were, keys unencoded, no
 * reports of mouse, focus and paste.
 */
#define CLEAN_BEGIN "\x18\x1b\\\x1b<"
#define CLEAN                                                                                      \
	"\x0f\x1b(B\x1b[0m\x1b[0\"q\x1bW\x1b[?6l\x1b[?69l\x1b[4l\x1b]104\x07\x1b]110\x07\x1b]"     \
	"111\x07"                                                                                  \
	"\x1b[>0u\x1b[?9l\x1b[?1000l\x1b[?1001l\x1b[?1002l\x1b[?1003l\x1b[?1004l\x1b[?2004l\x1b[?" \
	"25l"

struct lines {
	char text[LINES_MAX][ROOM];
	size_t n;
};

static const struct question *current(const struct prompt *p)
{
	for (size_t i = 0; i < p->news.n; i++)
		if (p->news.q[i].id > p->done)
			return &p->news.q[i];
	return NULL;
}

static const struct question *on_screen(const struct prompt *p)
{
	for (size_t i = 0; i < p->news.n; i++)
		if (p->news.q[i].id == p->shown)
			return &p->news.q[i];
	return NULL;
}

/* plain() - escaped, and of ASCII alone: nothing is wider, or looks like something else */
static const char *plain(char *dst, size_t cap, const char *src)
{
	(void)escape_str(dst, cap, src);
	for (char *c = dst; *c; c++)
		if ((unsigned char)*c < 0x20 || (unsigned char)*c > 0x7e)
			*c = '?';
	return dst;
}

static void add_line(struct lines *l, const char *text, size_t len)
{
	if (l->n < LINES_MAX)
		(void)snprintf(l->text[l->n++], ROOM, "%.*s", (int)len, text);
}

/* add_wrapped() - over as many lines as it takes, @most; the rest is cut and says so */
static void add_wrapped(
	struct lines *l, const char *label, const char *text, size_t cols, unsigned most)
{
	size_t width = (cols < ROOM ? cols : ROOM - 1) - 14, at = 0, len = strlen(text);

	for (unsigned i = 0; i == 0 || (at < len && i < most); i++) {
		char line[ROOM + 32];
		size_t n = len - at < width ? len - at : width;
		bool cut = i + 1 == most && at + n < len;

		(void)snprintf(line, sizeof(line), "  %-9s %.*s%s", i == 0 ? label : "",
			(int)(cut ? n - 3 : n), text + at, cut ? "..." : "");
		add_line(l, line, strlen(line));
		at += n;
	}
}

static void describe(
	const struct prompt *p, const struct question *q, struct lines *l, size_t cols, int64_t now)
{
	char text[2600], word[2100];
	int left = p->until > now ? (int)((p->until - now + 999) / 1000) : 0;

	(void)snprintf(text, sizeof(text), "%s:%u", plain(word, sizeof(word), q->host), q->port);
	add_wrapped(l, "host", text, cols, HOST_LINES);
	if (q->method[0]) {
		(void)snprintf(text, sizeof(text), "%s", plain(word, 140, q->method));
		(void)snprintf(text + strlen(text), sizeof(text) - strlen(text), " %s",
			plain(word, sizeof(word), q->path));
		add_wrapped(
			l, strcmp(q->method, "DNS") == 0 ? "look-up" : "request", text, cols, 4);
	} else {
		add_wrapped(l, "request", "a connection (what goes through it is not looked into)",
			cols, 2);
	}
	add_wrapped(l, "rule", plain(word, sizeof(word), q->rule), cols, 1);
	(void)snprintf(text, sizeof(text), "refused in %d s without an answer", left);
	add_wrapped(l, "time", text, cols, 1);
}

static void fill(struct prompt *p, struct lines *l, int64_t now)
{
	const struct question *q = on_screen(p);
	size_t cols = p->size.cols, more = 0;
	char line[ROOM], word[200];

	for (size_t i = 0; i < p->news.n; i++)
		more += p->news.q[i].id > p->shown;
	(void)snprintf(line, sizeof(line), " sbx: sandbox '%s' asks%s",
		plain(word, sizeof(word), p->news.sandbox), "");
	if (more + p->news.more > 0)
		(void)snprintf(line + strlen(line), sizeof(line) - strlen(line),
			" (%zu more after this)", more + p->news.more);
	add_line(l, line, cols - 2);
	if (p->state == PROMPT_SAID || !q) {
		add_wrapped(l, "", p->said, cols, 4);
		return;
	}
	p->fits = p->size.rows >= ROWS_MIN && cols >= COLS_MIN;
	if (!p->fits) {
		add_line(l, " window too small", cols - 2);
		add_line(l, " n: no   s: later", cols - 2);
		return;
	}
	describe(p, q, l, cols, now);
	add_line(l, "", 0);
	add_line(l,
		now < p->quiet_until
			? "  (keys are ignored until none was pressed for a second)"
			: "  y: yes   a: always, here   n: no   s: later, by sbx approve",
		cols - 2);
}

/* draw() - every cell is written, since some would survive being cleared */
static int draw(struct prompt *p, int64_t now, struct buf *out)
{
	struct lines l = {0};
	int r = 0;

	fill(p, &l, now);
	if (l.n >= p->size.rows)
		p->fits = false; /* who cannot see it all cannot say yes */
	p->drawn_at = now;
	for (size_t row = 0; row < p->size.rows && r == 0; row++) {
		const char *text = row >= 1 && row - 1 < l.n ? l.text[row - 1] : "";
		size_t len = strlen(text), width = p->size.cols;

		if (len > width)
			len = width;
		r = buf_addf(out, "\x1b[%zu;1H%s%.*s%*s\x1b[0m", row + 1,
			row == 1 ? "\x1b[1;7m" : "", (int)len, text, (int)(width - len), "");
	}
	return r;
}

static void show(struct prompt *p, const struct question *q, int64_t now)
{
	p->state = PROMPT_UP;
	p->shown = q->id;
	p->until = q->until;
	p->quiet_until = now + PROMPT_QUIET_MS;
	p->key = 0;
	p->typed = (struct scan){0};
}

void prompt_news(struct prompt *p, const struct ask_news *news, int64_t now)
{
	p->news = *news;
	if (p->told && !news->trouble[0])
		p->said_until = now;
	p->told = false;
	if (p->state == PROMPT_OFF && current(p)) {
		p->state = PROMPT_WANTED;
		p->wanted_at = now;
	} else if (p->state == PROMPT_WANTED && !current(p)) {
		p->state = PROMPT_OFF;
	}
}

int prompt_enter(struct prompt *p, const struct term_modes *m, struct agent_size size, int64_t now,
	struct buf *out)
{
	const struct question *q = current(p);
	int r;

	if (!q) {
		p->state = PROMPT_OFF;
		return 0;
	}
	show(p, q, now);
	p->size = size;
	p->full = term_modes_alternate(m);
	p->entered = true;
	r = buf_addf(out, "%s", CLEAN_BEGIN);
	if (r == 0)
		r = buf_addf(out, "%s", p->full ? "\0337" : "\x1b[?1049h");
	if (r == 0)
		r = buf_addf(out, "%s", CLEAN "\x1b[2J\x07");
	return r == 0 ? draw(p, now, out) : r;
}

int prompt_leave(struct prompt *p, const struct term_modes *m, struct buf *out)
{
	char again[160];
	size_t n;
	int r;

	p->state = PROMPT_OFF;
	if (!p->entered)
		return 0;
	p->entered = false;
	n = term_modes_redo(m, again, sizeof(again));
	r = buf_addf(out, "%s", "\x1b[0m\x1b[2J\x1b[<u");
	if (r == 0)
		r = buf_addf(out, "%s", p->full ? "\0338" : "\x1b[?1049l");
	return r == 0 ? buf_add(out, again, n) : r;
}

void prompt_typed(struct prompt *p, const void *bytes, size_t len, int64_t now)
{
	char c = *(const char *)bytes;
	bool early = now < p->quiet_until || p->state != PROMPT_UP;

	if (now >= p->quiet_until)
		p->typed = (struct scan){0}; /* a lone Escape begins nothing */
	if (len == 1 && !early && !p->key && scan_whole(&p->typed) && c >= 0x20 && c < 0x7f) {
		p->key = c;
		p->key_at = now;
		return;
	}
	scan_feed(&p->typed, bytes, len);
	p->key = 0;
	p->quiet_until = now + PROMPT_QUIET_MS;
	p->drawn_at = 0;
}

static enum ask_answer meant(const struct prompt *p, char key)
{
	switch (key) {
	case 'y':
	case 'Y':
		return p->fits ? ASK_ALLOW : ASK_NONE;
	case 'a':
	case 'A':
		return p->fits ? ASK_ALWAYS : ASK_NONE;
	case 'n':
	case 'N':
		return ASK_DENY;
	case 's':
	case 'S':
		return ASK_LATER;
	default:
		return ASK_NONE;
	}
}

static void say(struct prompt *p, const char *text, int64_t now)
{
	char word[sizeof(p->said)];

	(void)snprintf(p->said, sizeof(p->said), "%s", plain(word, sizeof(word), text));
	p->state = PROMPT_SAID;
	p->told = false;
	p->said_until = now + PROMPT_SAID_MS;
	p->drawn_at = 0;
}

/* judge() - what the time has brought: a key that stayed alone, a question that is gone */
static void judge(struct prompt *p, int64_t now, struct ask_reply *ret_reply)
{
	if (p->state != PROMPT_UP)
		return;
	if (!on_screen(p)) {
		p->done = p->shown;
		p->key = 0;
		say(p,
			now + 1500 >= p->until
				? "nobody answered in time: refused"
				: "it was answered elsewhere, or is not asked any more",
			now);
		return;
	}
	if (p->key && now - p->key_at >= PROMPT_ALONE_MS) {
		ret_reply->answer = meant(p, p->key);
		ret_reply->id = p->shown;
		p->key = 0;
		if (ret_reply->answer == ASK_NONE)
			return;
		p->done = p->shown;
		p->state = PROMPT_SAID;
		p->told = ret_reply->answer != ASK_LATER;
		p->said_until = p->told ? now + TOLD_MS : now;
		p->said[0] = '\0';
	}
}

int prompt_turn(struct prompt *p, const struct term_modes *m, struct agent_size size, int64_t now,
	struct ask_reply *ret_reply, struct buf *out)
{
	const struct question *q;

	*ret_reply = (struct ask_reply){.answer = ASK_NONE};
	if (!p->entered)
		return 0;
	judge(p, now, ret_reply);
	if (p->news.trouble[0]) {
		say(p, p->news.trouble, now);
		p->news.trouble[0] = '\0';
	}
	if (p->state == PROMPT_SAID && now >= p->said_until) {
		q = current(p);
		if (!q)
			return prompt_leave(p, m, out);
		show(p, q, now);
		p->drawn_at = 0;
	}
	if (size.rows != p->size.rows || size.cols != p->size.cols) {
		p->size = size;
		p->drawn_at = 0;
	}
	if (p->drawn_at == 0 || now - p->drawn_at >= 1000 ||
		(p->drawn_at < p->quiet_until && now >= p->quiet_until))
		return draw(p, now, out);
	return 0;
}

static int64_t sooner(int64_t a, int64_t b)
{
	return b < a ? b : a;
}

int64_t prompt_next(const struct prompt *p)
{
	int64_t next;

	switch (p->state) {
	case PROMPT_WANTED:
		return p->wanted_at + PROMPT_BEGIN_MS;
	case PROMPT_SAID:
		return p->said_until;
	case PROMPT_UP:
		next = p->drawn_at == 0 ? 0 : p->drawn_at + 1000;
		if (p->drawn_at < p->quiet_until)
			next = sooner(next, p->quiet_until);
		return p->key ? sooner(next, p->key_at + PROMPT_ALONE_MS) : next;
	case PROMPT_OFF:
	default:
		return -1;
	}
}

bool prompt_holds(const struct prompt *p)
{
	return p->entered;
}
