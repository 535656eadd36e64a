#include "cli/report.h"
#include "base/buf.h"
#include "base/escape.h"
#include "json/apierr.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Escaping may turn a byte into ten; what is cut says so with "...". */
#define SHOWN_MAX (4 * ERR_MSG_MAX)

static bool as_json, quiet;

void report_json(bool on)
{
	as_json = on;
}

void report_quiet(bool on)
{
	quiet = on;
}

static void print_json(const struct err *e)
{
	struct buf out;

	buf_init(&out, 16 * SHOWN_MAX);
	if (apierr_print(e, &out) == 0)
		puts(buf_str(&out));
	(void)fflush(stdout);
	buf_fini(&out);
}

int report_err(const struct err *e, int status)
{
	char text[SHOWN_MAX];

	(void)fflush(stdout);
	if (as_json) {
		print_json(e);
		return status;
	}
	fprintf(stderr, "sbx: %s\n", escape_str(text, sizeof(text), e->msg));
	if (e->hint[0])
		fprintf(stderr, "hint: %s\n", escape_str(text, sizeof(text), e->hint));
	return status;
}

void report_note(const char *fmt, ...)
{
	char raw[ERR_MSG_MAX], text[SHOWN_MAX];
	va_list ap;

	if (quiet)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(raw, sizeof(raw), fmt, ap);
	va_end(ap);
	fprintf(stderr, "sbx: %s\n", escape_str(text, sizeof(text), raw));
}

int report_flush(void)
{
	struct err e = {0};

	if (fflush(stdout) == 0 && !ferror(stdout))
		return CLI_OK;
	as_json = false; /* stdout is what failed */
	(void)err_sys(&e, errno ? -errno : -EIO, "write to stdout");
	return report_err(&e, CLI_FAIL);
}

bool report_colour(int fd)
{
	const char *term = getenv("TERM"), *no = getenv("NO_COLOR");

	return (!no || !no[0]) && term && strcmp(term, "dumb") != 0 && isatty(fd);
}
