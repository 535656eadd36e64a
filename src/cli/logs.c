#include "base/escape.h"
#include "cli/box.h"
#include "cli/report.h"
#include "cli/verb.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define LOGS_MAX       (64U << 20)
#define PIECE	       256 /* bytes escaped at a time */
#define LINE_MAX_BYTES (64U << 10) /* of --follow: a longer one is shown in parts */

enum form { FORM_TEXT, FORM_JSON, FORM_RAW };

/* What --follow has of a line whose end has not come. */
struct tail {
	enum form form;
	struct buf line;
};

/* print_line() - a line of the sandbox, escaped but for its tabs */
static void print_line(const char *s, size_t len)
{
	char shown[PIECE * 10 + 8];

	while (len > 0) {
		size_t n = 0;

		while (n < len && n < PIECE && s[n] != '\t') {
			unsigned cp;
			size_t k = utf8_decode(s + n, len - n, &cp);

			n += k ? k : 1;
		}
		fputs(escape_text(shown, sizeof(shown), s, n), stdout);
		if (n < len && s[n] == '\t') {
			putchar('\t');
			n++;
		}
		s += n;
		len -= n;
	}
	putchar('\n');
}

static int print_json_line(const char *s, size_t len)
{
	AUTO_JS o = js_object();
	struct err e = {0};

	return js_set_strn(o, "line", s, len) ? -ENOMEM : box_print(o, &e);
}

static int show_line(enum form form, const char *s, size_t len)
{
	if (len > 0 && s[len - 1] == '\r')
		len--;
	if (form == FORM_JSON)
		return print_json_line(s, len);
	print_line(s, len);
	return 0;
}

/* show() - whole lines, and with @all what is left without an end; *ret_used bytes were shown */
static int show(enum form form, const char *s, size_t len, bool all, size_t *ret_used)
{
	size_t used = 0;
	int r = 0;

	while (used < len && r == 0) {
		const char *nl = memchr(s + used, '\n', len - used);
		size_t n = nl ? (size_t)(nl - s) - used : len - used;

		if (!nl && !all)
			break;
		r = show_line(form, s + used, n);
		used += nl ? n + 1 : n;
	}
	*ret_used = used;
	return r;
}

/* on_piece() - of --follow */
static int on_piece(void *ctx, const char *p, size_t len)
{
	struct tail *t = ctx;
	size_t used;
	int r;

	if (t->form == FORM_RAW)
		(void)fwrite(p, 1, len, stdout);
	else {
		r = buf_add(&t->line, p, len);
		if (r == 0)
			r = show(t->form, buf_str(&t->line), t->line.len,
				t->line.len > LINE_MAX_BYTES, &used);
		if (r < 0)
			return r;
		buf_eat(&t->line, used);
	}
	return fflush(stdout) == 0 ? 0 : -EPIPE;
}

static void target_of(const struct plain_args *a, char target[API_TARGET_MAX])
{
	char rest[80];
	int n = snprintf(rest, sizeof(rest), "/logs?kind=%s%s",
		a->given & OPT_CONSOLE ? "console"
		: a->given & OPT_SETUP ? "setup"
				       : "agent",
		a->given & OPT_FOLLOW ? "&follow=1" : "");

	if (a->tail >= 0)
		(void)snprintf(rest + n, sizeof(rest) - (size_t)n, "&tail=%ld", a->tail);
	api_target(target, a->words[0], rest);
}

/* no_log() - not found: the sandbox, or only its log? */
static int no_log(struct api *api, const char *name, struct err *e)
{
	AUTO_JS box = NULL;

	return box_get(api, name, &box, e) < 0
		       ? e->num
		       : err_set(e, ERR_NOT_FOUND, -ENOENT, "sandbox '%s' has no log yet", name);
}

static int follow(struct api *api, const struct plain_args *a, enum form form, struct err *e)
{
	struct tail t = {.form = form};
	char target[API_TARGET_MAX];
	size_t used;
	int r;

	buf_init(&t.line, LOGS_MAX);
	target_of(a, target);
	r = api_follow(api, target, on_piece, &t, e);
	if (r == 0)
		r = show(form, buf_str(&t.line), t.line.len, true, &used);
	buf_fini(&t.line);
	return r;
}

static int print_now(struct api *api, const struct plain_args *a, enum form form, struct err *e)
{
	char target[API_TARGET_MAX];
	AUTO(buf) text = {0};
	size_t used;
	int r;

	buf_init(&text, LOGS_MAX);
	target_of(a, target);
	r = api_text(api, target, &text, e);
	if (r < 0)
		return e->code == ERR_NOT_FOUND ? no_log(api, a->words[0], e) : r;
	if (form != FORM_RAW)
		return show(form, buf_str(&text), text.len, true, &used);
	(void)fwrite(buf_str(&text), 1, text.len, stdout);
	return 0;
}

int verb_logs(int argc, char **argv)
{
	static const struct plain_form form = {
		.options = OPT_CONSOLE | OPT_SETUP | OPT_FOLLOW | OPT_TAIL | OPT_RAW | OPT_JSON,
		.min_words = 1,
		.max_words = 1,
		.words = "NAME",
		.doc = "Show what the agent's terminal printed, with --console the kernel, with "
		       "--setup "
		       "the commands of kits; with "
		       "--follow what comes, too, until the sandbox ends. Control characters are "
		       "shown as escapes; with --json each line is an object.",
		.names = true};
	AUTO(plain_args) a = {0};
	AUTO(api) api = {0};
	enum form how;
	struct err e = {0};
	int r = verb_plain(argc, argv, &form, &a);

	if (r)
		return r;
	if ((a.given & OPT_CONSOLE) && (a.given & OPT_SETUP)) {
		(void)err_set(&e, ERR_INVALID, -EINVAL, "logs: --console and --setup are two logs");
		return report_err(&e, CLI_USAGE);
	}
	how = a.given & OPT_RAW ? FORM_RAW : a.given & OPT_JSON ? FORM_JSON : FORM_TEXT;
	if (how == FORM_RAW && isatty(STDOUT_FILENO)) {
		(void)err_set(&e, ERR_DENIED, -EPERM, "logs: --raw bytes do not go to a terminal");
		err_hint(&e, "send them to a file or a pipe");
		return report_err(&e, CLI_USAGE);
	}
	r = api_open(&api, API_START, &e);
	if (r == 0)
		r = (a.given & OPT_FOLLOW ? follow : print_now)(&api, &a, how, &e);
	if (r < 0 && ferror(stdout))
		return report_flush();
	return r < 0 ? report_err(&e, CLI_FAIL) : report_flush();
}
