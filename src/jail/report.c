#include "jail/report.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void jail_report_add(struct jail_report *r, const char *program, const char *what, bool in_force,
	const char *fmt, ...)
{
	struct jail_report_line *l;
	va_list ap;

	if (r->n == JAIL_REPORT_LINES)
		return;
	l = &r->line[r->n++];
	l->program = program;
	l->what = what;
	l->in_force = in_force;
	va_start(ap, fmt);
	(void)vsnprintf(l->text, sizeof(l->text), fmt, ap);
	va_end(ap);
}

bool jail_may_miss(const char *what)
{
	const char *list = getenv("SBX_JAIL_ALLOW_MISSING");
	size_t len = strlen(what);

	if (strcmp(what, "landlock") == 0)
		return true;
	while (list && *list) {
		size_t n = strcspn(list, ",");

		if (n == len && memcmp(list, what, n) == 0)
			return true;
		list += n + (list[n] == ',');
	}
	return false;
}

void jail_report_print(const struct jail_report *r, char *dst, size_t cap)
{
	size_t at = 0;

	dst[0] = 0;
	for (unsigned i = 0; i < r->n && at < cap; i++) {
		const struct jail_report_line *l = &r->line[i];

		at += (size_t)snprintf(dst + at, cap - at, "%s %s %s %s\n", l->program, l->what,
			l->in_force ? "yes" : "no", l->text);
	}
}
