#include "cli/kits_print.h"
#include "base/escape.h"
#include "cli/needs.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define ROW 8192

/* row() - "Label:        text", the label of the first alone */
static void row(bool *first, const char *label, const char *fmt, ...) PRINTF_LIKE(3, 4);
static void row(bool *first, const char *label, const char *fmt, ...)
{
	char text[ROW], shown[2 * ROW];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	printf("%-13s %s\n", *first ? label : "", escape_str(shown, sizeof(shown), text));
	*first = false;
}

/* with() - " (kit lint)", or " (kit lint, while installing)" */
static const char *with(const struct js *item, char dst[192])
{
	const char *phase = box_str(item, "phase");

	(void)snprintf(dst, 192, "  (kit %.120s%s)", box_str(item, "kit"),
		strcmp(phase, "install") == 0	? ", while installing"
		: strcmp(phase, "runtime") == 0 ? ", not while installing"
						: "");
	return dst;
}

static void print_kits(const struct js *plan)
{
	const struct js *list = js_get(plan, "kits");
	bool first = true;

	for (size_t i = 0; i < js_len(list); i++) {
		const struct js *k = js_at(list, i);
		const char *version = box_str(k, "version");

		row(&first, "Kits:", "%s%s%s%s%s  sha256:%.12s", box_str(k, "name"),
			version[0] ? " " : "", version,
			js_bool(js_get(k, "builtin")) ? ", built in" : ", from ",
			js_bool(js_get(k, "builtin")) ? "" : box_str(k, "origin"),
			box_str(k, "digest"));
	}
}

static void print_network(const struct js *plan)
{
	const struct js *list = js_get(plan, "network");
	bool first = true;
	char kit[192];

	for (size_t i = 0; i < js_len(list); i++)
		row(&first, "Hosts:", "%s %s%s", box_str(js_at(list, i), "decision"),
			box_str(js_at(list, i), "resource"), with(js_at(list, i), kit));
}

static void print_credentials(struct api *api, const struct js *box)
{
	const struct js *list = js_get(js_get(box, "plan"), "credentials");
	AUTO_JS secrets = NULL;
	struct err silent = {0};
	bool first = true;
	char kit[192];

	if (js_len(list) == 0)
		return;
	(void)!api_call(api, "GET", "/v1/secrets", NULL, API_CALL_MS, &secrets, &silent);
	for (size_t i = 0; i < js_len(list); i++) {
		const struct js *c = js_at(list, i), *places = js_get(c, "injects");
		bool there =
			secrets && needs_has(secrets, box_str(c, "service"), box_str(box, "name"));

		row(&first, "Credentials:", "%s: %s%s%s", box_str(c, "service"),
			!secrets ? "?"
			: there	 ? "set"
				 : "missing",
			js_bool(js_get(c, "required")) ? ", required" : "", with(c, kit));
		for (size_t k = 0; k < js_len(places); k++)
			row(&first, "", "  to %s %s", box_str(js_at(places, k), "domain"),
				box_str(js_at(places, k), "username")[0]
					? "as Basic"
					: box_str(js_at(places, k), "header"));
	}
}

/* words() - a command as one line */
static const char *words(const struct js *argv, char *dst, size_t cap)
{
	size_t at = 0;

	dst[0] = '\0';
	for (size_t i = 0; i < js_len(argv) && at < cap; i++) {
		const char *s = js_str(js_at(argv, i));

		at += (size_t)snprintf(dst + at, cap - at, "%s%s", i ? " " : "", s ? s : "");
	}
	return dst;
}

static void print_commands(const struct js *plan)
{
	const struct js *install = js_get(plan, "install"), *startup = js_get(plan, "startup");
	bool first = true;
	char kit[192], line[4096];

	for (size_t i = 0; i < js_len(install); i++)
		row(&first, "Install:", "%s: %.4000s%s", box_str(js_at(install, i), "user"),
			box_str(js_at(install, i), "command"), with(js_at(install, i), kit));
	first = true;
	for (size_t i = 0; i < js_len(startup); i++)
		row(&first, "Startup:", "%s: %s%s%s", box_str(js_at(startup, i), "user"),
			words(js_get(js_at(startup, i), "argv"), line, sizeof(line)),
			js_bool(js_get(js_at(startup, i), "background")) ? " &" : "",
			with(js_at(startup, i), kit));
}

static void print_inside(const struct js *plan)
{
	const struct js *volumes = js_get(plan, "volumes"), *ports = js_get(plan, "ports");
	const struct js *text = js_get(plan, "instructions");
	bool first = true;
	char kit[192];

	for (size_t i = 0; i < js_len(volumes); i++) {
		const struct js *v = js_at(volumes, i);

		row(&first, "Volumes:", "%s%s %lld MiB%s", box_str(v, "path"),
			js_bool(js_get(v, "tmpfs")) ? " tmpfs" : "",
			(long long)(js_int(js_get(v, "bytes"), 0) >> 20), with(v, kit));
	}
	first = true;
	for (size_t i = 0; i < js_len(ports); i++) {
		const struct js *p = js_at(ports, i);

		row(&first, "Kit ports:", "%lld/%s %s%s",
			(long long)js_int(js_get(p, "container"), 0),
			box_str(p, "protocol")[0] ? box_str(p, "protocol") : "tcp4",
			box_str(p, "name"), with(p, kit));
	}
	first = true;
	if (text)
		row(&first, "Memory text:", "%s/%s", box_str(text, "dir"), box_str(text, "file"));
}

static void print_files(const struct js *plan)
{
	const struct js *list = js_get(plan, "placed");
	bool first = true;
	char kit[192];

	for (size_t i = 0; i < js_len(list); i++)
		row(&first, "Kit files:", "%s%s", box_str(js_at(list, i), "path"),
			with(js_at(list, i), kit));
}

void kits_print(struct api *api, const struct js *box)
{
	const struct js *plan = js_get(box, "plan"), *gone = js_get(plan, "withheld");

	print_kits(plan);
	print_network(plan);
	print_credentials(api, box);
	print_commands(plan);
	print_files(plan);
	print_inside(plan);
	for (size_t i = 0; i < js_len(gone); i++) {
		const char *s = js_str(js_at(gone, i));

		char shown[ROW];

		printf("%-13s %s\n", i ? "" : "Withheld:", escape_again(shown, sizeof(shown), s));
	}
}
