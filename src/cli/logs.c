#include "base/escape.h"
#include "cli/box.h"
#include "cli/report.h"
#include "cli/verb.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define LOGS_MAX (64U << 20)
#define PIECE	 256 /* bytes escaped at a time */

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

static void print_escaped(const char *s, size_t len)
{
	while (len > 0) {
		const char *nl = memchr(s, '\n', len);
		size_t n = nl ? (size_t)(nl - s) : len, full = nl ? n + 1 : n;

		if (n > 0 && s[n - 1] == '\r')
			n--;
		print_line(s, n);
		s += full;
		len -= full;
	}
}

static int fetch(struct api *api, const struct plain_args *a, struct buf *out, struct err *e)
{
	char target[API_TARGET_MAX], rest[64];
	AUTO_JS box = NULL;
	int n = snprintf(
		rest, sizeof(rest), "/logs?kind=%s", a->given & OPT_CONSOLE ? "console" : "agent");
	int r;

	if (a->tail >= 0)
		(void)snprintf(rest + n, sizeof(rest) - (size_t)n, "&tail=%ld", a->tail);
	api_target(target, a->words[0], rest);
	r = api_text(api, target, out, e);
	if (r < 0 && e->code == ERR_NOT_FOUND)
		return box_get(api, a->words[0], &box, e) < 0
			       ? e->num
			       : err_set(e, ERR_NOT_FOUND, -ENOENT, "sandbox '%s' has no log yet",
					 a->words[0]);
	return r;
}

int verb_logs(int argc, char **argv)
{
	static const struct plain_form form = {
		.options = OPT_CONSOLE | OPT_TAIL | OPT_RAW | OPT_JSON,
		.min_words = 1,
		.max_words = 1,
		.words = "NAME",
		.doc = "Show what the agent's terminal printed, or with --console the kernel. "
		       "Control "
		       "characters are shown as escapes.",
		.names = true};
	AUTO(plain_args) a = {0};
	AUTO(api) api = {0};
	AUTO(buf) text = {0};
	struct err e = {0};
	int r = verb_plain(argc, argv, &form, &a);

	if (r)
		return r;
	if ((a.given & OPT_RAW) && isatty(STDOUT_FILENO)) {
		(void)err_set(&e, ERR_DENIED, -EPERM, "logs: --raw bytes do not go to a terminal");
		err_hint(&e, "send them to a file or a pipe");
		return report_err(&e, CLI_USAGE);
	}
	buf_init(&text, LOGS_MAX);
	if (api_open(&api, API_START, &e) < 0 || fetch(&api, &a, &text, &e) < 0)
		return report_err(&e, CLI_FAIL);
	if (a.given & OPT_RAW)
		(void)fwrite(buf_str(&text), 1, text.len, stdout);
	else
		print_escaped(buf_str(&text), text.len);
	return report_flush();
}
