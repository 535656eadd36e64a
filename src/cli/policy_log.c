/* sbx policy log: records of the audit log, grouped as a person asks: what was blocked, what was not */
#include "base/clock.h"
#include "base/escape.h"
#include "cli/box.h"
#include "cli/policy.h"
#include "cli/report.h"
#include "cli/verb.h"
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#define LOG_MAX	    (32U << 20)
#define GROUPS_MAX  2000
#define FOLLOW_MS   1000
#define LIMIT_FIRST 1000

/* Records that say the same, but for the time. */
struct group {
	char sandbox[128], event[32], host[400], proxy[32], rule[128], reason[64], last[40];
	bool allowed;
	unsigned long count;
};

struct grouping {
	struct group *v; /* heap, GROUPS_MAX of them */
	size_t n;
	unsigned long lost; /* records that found no room */
	uint64_t seq; /* of the newest record seen */
};

static bool same(const struct group *a, const struct group *b)
{
	return a->allowed == b->allowed && strcmp(a->sandbox, b->sandbox) == 0 &&
	       strcmp(a->event, b->event) == 0 && strcmp(a->host, b->host) == 0 &&
	       strcmp(a->proxy, b->proxy) == 0 && strcmp(a->rule, b->rule) == 0 &&
	       strcmp(a->reason, b->reason) == 0;
}

static void fill(struct group *g, const struct js *rec)
{
	char host[300];
	int64_t port = js_int(js_get(rec, "port"), 0);

	*g = (struct group){.count = 1};
	if (port > 0)
		(void)snprintf(
			host, sizeof(host), "%.260s:%lld", box_str(rec, "host"), (long long)port);
	else
		(void)snprintf(host, sizeof(host), "%.260s", box_str(rec, "host"));
	(void)escape_str(g->host, sizeof(g->host), host);
	(void)escape_str(g->sandbox, sizeof(g->sandbox), box_str(rec, "sandbox"));
	(void)escape_str(g->event, sizeof(g->event), box_str(rec, "event"));
	(void)escape_str(g->proxy, sizeof(g->proxy), box_str(rec, "proxy"));
	(void)escape_str(g->rule, sizeof(g->rule), box_str(rec, "rule"));
	(void)escape_str(g->reason, sizeof(g->reason), box_str(rec, "reason"));
	(void)escape_str(g->last, sizeof(g->last), box_str(rec, "time"));
	g->allowed = strcmp(box_str(rec, "decision"), "allow") == 0;
}

static void add(struct grouping *all, const struct js *rec)
{
	struct group g;

	if (strcmp(box_str(rec, "event"), "admin") == 0)
		return;
	fill(&g, rec);
	for (size_t i = 0; i < all->n; i++)
		if (same(&all->v[i], &g)) {
			all->v[i].count++;
			memcpy(all->v[i].last, g.last, sizeof(g.last));
			return;
		}
	if (all->n < GROUPS_MAX)
		all->v[all->n++] = g;
	else
		all->lost++;
}

static void print_groups(const struct grouping *all, bool allowed)
{
	bool any = false;

	for (size_t i = 0; i < all->n; i++) {
		const struct group *g = &all->v[i];

		if (g->allowed != allowed)
			continue;
		if (!any)
			printf("%s requests:\n%-16s %-9s %-36s %-12s %-16s %-16s %-24s %s\n",
				allowed ? "Allowed" : "Blocked", "SANDBOX", "TYPE", "HOST", "PROXY",
				"RULE", "REASON", "LAST SEEN", "COUNT");
		any = true;
		printf("%-16s %-9s %-36s %-12s %-16s %-16s %-24s %lu\n", g->sandbox, g->event,
			g->host, g->proxy[0] ? g->proxy : "-", g->rule[0] ? g->rule : "-",
			g->reason[0] ? g->reason : "-", g->last, g->count);
	}
	if (!any)
		printf("No %s requests.\n", allowed ? "allowed" : "blocked");
}

/* print_record() - one line, for --follow */
static void print_record(const struct js *rec)
{
	struct group g;
	char method[64], path[800];

	if (strcmp(box_str(rec, "event"), "admin") == 0)
		return;
	fill(&g, rec);
	printf("%s %s %s %s %s%s%s%s %s\n", g.last, g.sandbox, g.allowed ? "allowed" : "blocked",
		g.event, escape_str(method, sizeof(method), box_str(rec, "method")),
		method[0] ? " " : "", g.host, escape_str(path, sizeof(path), box_str(rec, "path")),
		g.rule[0] ? g.rule : g.reason);
}

enum show { SHOW_GROUPS, SHOW_LINES, SHOW_JSON };

/* take_lines() - each record of the answer; a line that cannot be read is told as an error */
static int take_lines(struct grouping *all, char *text, enum show show, struct err *e)
{
	while (*text) {
		size_t len = strcspn(text, "\n");
		AUTO_JS rec = NULL;
		int r = js_parse(text, len, LOG_MAX, &rec, e);
		int64_t seq;

		if (r < 0)
			return err_wrap(e, r, "read the log");
		seq = js_int(js_get(rec, "seq"), 0);
		if (seq > 0 && (uint64_t)seq > all->seq)
			all->seq = (uint64_t)seq;
		if (show == SHOW_JSON)
			printf("%.*s\n", (int)len, text);
		else if (show == SHOW_LINES)
			print_record(rec);
		else
			add(all, rec);
		text += len;
		text += *text == '\n';
	}
	return 0;
}

static int get(struct api *api, const char *sandbox, uint64_t after, long limit, struct buf *out,
	struct err *e)
{
	char target[API_TARGET_MAX];

	(void)snprintf(target, sizeof(target), "/v1/audit?limit=%ld&after=%llu%s%s", limit,
		(unsigned long long)after, sandbox ? "&sandbox=" : "", sandbox ? sandbox : "");
	return api_text(api, target, out, e);
}

static int follow(
	struct api *api, const char *sandbox, struct grouping *all, enum show show, struct err *e)
{
	for (;;) {
		AUTO(buf) text = {0};
		char none = '\0';
		int r;

		if (report_flush() != CLI_OK)
			return -EPIPE;
		(void)poll(NULL, 0, FOLLOW_MS);
		buf_init(&text, LOG_MAX);
		r = get(api, sandbox, all->seq, LIMIT_FIRST, &text, e);
		if (r == 0)
			r = take_lines(all, text.len ? text.data : &none, show, e);
		if (r < 0)
			return r;
	}
}

int policy_log(int argc, char **argv)
{
	static const struct plain_form form = {
		.options = OPT_JSON | OPT_FOLLOW | OPT_LIMIT | OPT_SANDBOX,
		.max_words = 1,
		.words = "[SANDBOX]",
		.names = true,
		.doc = "Show what was decided, of one sandbox or of all: grouped, or with --follow "
		       "and "
		       "--json each record."};
	AUTO(plain_args) a = {0};
	AUTO(api) api = {0};
	AUTO(buf) text = {0};
	struct grouping all = {0};
	struct err e = {0};
	char none = '\0';
	const char *box;
	enum show show;
	int r = verb_plain(argc, argv, &form, &a);

	if (r)
		return r;
	box = a.n_words ? a.words[0] : a.sandbox;
	show = a.given & OPT_JSON ? SHOW_JSON : a.given & OPT_FOLLOW ? SHOW_LINES : SHOW_GROUPS;
	all.v = calloc(GROUPS_MAX, sizeof(*all.v));
	buf_init(&text, LOG_MAX);
	if (!all.v)
		r = err_sys(&e, -ENOMEM, "read the log");
	if (r == 0)
		r = api_open(&api, API_START, &e);
	if (r == 0)
		r = get(&api, box, 0, a.limit > 0 ? a.limit : LIMIT_FIRST, &text, &e);
	if (r == 0)
		r = take_lines(&all, text.len ? text.data : &none, show, &e);
	if (r == 0 && show == SHOW_GROUPS) {
		print_groups(&all, false);
		print_groups(&all, true);
		if (all.lost)
			report_note("%lu records more", all.lost);
	} else if (r == 0 && (a.given & OPT_FOLLOW))
		r = follow(&api, box, &all, show, &e);
	free(all.v);
	if (r == -EPIPE)
		return CLI_FAIL;
	return r < 0 ? report_err(&e, CLI_FAIL) : report_flush();
}
