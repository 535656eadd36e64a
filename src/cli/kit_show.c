#include "cli/kit_show.h"
#include "base/escape.h"
#include "cli/box.h"
#include <stdio.h>
#include <string.h>

#define WIDTH	   "%-14s"
#define TEXT_SHOWN 1024

static void text(const char *title, const char *value)
{
	char shown[4 * TEXT_SHOWN];

	size_t n;

	if (!value || !value[0])
		return;
	n = strlen(escape_str(shown, sizeof(shown), value));
	while (n && shown[n - 1] == ' ')
		n--;
	printf(WIDTH "%.*s\n", title, (int)n, shown);
}

/* join() - a list of words on one line; JSON's quotes are not shown */
static void join(const struct js *list, char *dst, size_t cap)
{
	size_t at = 0;

	dst[0] = '\0';
	for (size_t i = 0; i < js_len(list) && at < cap; i++) {
		int n = snprintf(dst + at, cap - at, "%s%s", i ? " " : "", js_str(js_at(list, i)));

		at += n > 0 ? (size_t)n : 0;
	}
}

static void words(const char *title, const struct js *list)
{
	char line[TEXT_SHOWN];

	join(list, line, sizeof(line));
	text(title, line);
}

void kit_show_lines(const char *title, const struct js *list)
{
	char shown[4 * TEXT_SHOWN];

	for (size_t i = 0; i < js_len(list); i++)
		printf(WIDTH "%s\n", i ? "" : title,
			escape_again(shown, sizeof(shown), js_str(js_at(list, i))));
}

/* of_kit() - " (NAME)" where several kits are shown together */
static void of_kit(const struct js *item, char *dst, size_t cap)
{
	const char *kit = js_str(js_get(item, "kit"));

	(void)snprintf(dst, cap, kit ? " (%s)" : "%s", kit ? kit : "");
}

typedef void line_fn(const struct js *item, char *dst, size_t cap);

static void each(const char *title, const struct js *list, line_fn *one)
{
	char line[TEXT_SHOWN], kit[128], whole[TEXT_SHOWN + 128];

	for (size_t i = 0; i < js_len(list); i++) {
		one(js_at(list, i), line, sizeof(line));
		of_kit(js_at(list, i), kit, sizeof(kit));
		(void)snprintf(whole, sizeof(whole), "%s%s", line, kit);
		text(i ? "" : title, whole);
	}
}

static void host(const struct js *v, char *dst, size_t cap)
{
	(void)snprintf(dst, cap, "%s", box_str(v, "host"));
}

static void variable(const struct js *v, char *dst, size_t cap)
{
	(void)snprintf(dst, cap, "%s=%s%s", box_str(v, "name"), box_str(v, "value"),
		js_bool(js_get(v, "steers")) ? "  [makes programs load or run something]" : "");
}

static void port(const struct js *v, char *dst, size_t cap)
{
	const char *protocol = box_str(v, "protocol");

	(void)snprintf(dst, cap, "%lld/%s %s", (long long)js_int(js_get(v, "container"), 0),
		protocol[0] ? protocol : "tcp4", box_str(v, "name"));
}

static void volume(const struct js *v, char *dst, size_t cap)
{
	(void)snprintf(dst, cap, "%s %s", box_str(v, "path"), box_str(v, "type"));
}

static void command(const struct js *v, char *dst, size_t cap)
{
	const struct js *c = js_get(v, "command");
	char line[TEXT_SHOWN];

	join(c, line, sizeof(line));
	(void)snprintf(dst, cap, "as %s: %s%s", box_str(v, "user"), js_str(c) ? js_str(c) : line,
		js_bool(js_get(v, "background")) ? " &" : "");
}

static void file(const struct js *v, char *dst, size_t cap)
{
	const char *target = js_str(js_get(v, "target"));

	(void)snprintf(dst, cap, "%s %s%s%s", box_str(v, "mode"), box_str(v, "path"),
		target ? " -> " : "", target ? target : "");
}

static void instructions(const struct js *v, char *dst, size_t cap)
{
	const char *s = box_str(v, "text");

	(void)snprintf(dst, cap, "%.*s", (int)strcspn(s, "\n"), s);
}

static void credentials(const struct js *list)
{
	char line[TEXT_SHOWN], kit[128], vars[256];

	for (size_t i = 0; i < js_len(list); i++) {
		const struct js *c = js_at(list, i), *in = js_get(c, "inject");

		join(js_get(c, "variables"), vars, sizeof(vars));
		of_kit(c, kit, sizeof(kit));
		(void)snprintf(line, sizeof(line), "%s%s%s%s%s%s%s%s", box_str(c, "service"),
			vars[0] ? ", stand-in in " : "", vars,
			box_str(c, "phase")[0] ? ", only at " : "", box_str(c, "phase"),
			js_bool(js_get(c, "required")) ? ", required" : "",
			js_get(c, "oauth") ? ", by login" : "", kit);
		text(i ? "" : "CREDENTIALS", line);
		for (size_t j = 0; j < js_len(in); j++) {
			const struct js *to = js_at(in, j);
			const char *user = js_str(js_get(to, "username"));

			(void)snprintf(line, sizeof(line), "  to %s %s %s", box_str(to, "domain"),
				user ? "Basic" : box_str(to, "header"),
				user ? user : box_str(to, "format"));
			text("", line);
		}
	}
}

static void kits(const struct js *list)
{
	char line[TEXT_SHOWN];

	for (size_t i = 0; i < js_len(list); i++) {
		const struct js *k = js_at(list, i);

		(void)snprintf(line, sizeof(line), "%s %s (%s, schema %lld) from %s",
			box_str(k, "name"), box_str(k, "version"), box_str(k, "kind"),
			(long long)js_int(js_get(k, "schema"), 0), box_str(k, "origin"));
		text(i ? "" : "KITS", line);
	}
}

static void sizes(const struct js *kit)
{
	char line[128];
	int64_t cpu = js_int(js_get(kit, "cpu_milli"), 0);
	int64_t memory = js_int(js_get(kit, "memory_bytes"), 0);

	if (cpu) {
		(void)snprintf(line, sizeof(line), "%g", (double)cpu / 1000);
		text("CPUS", line);
	}
	if (memory) {
		(void)snprintf(line, sizeof(line), "%lld MiB", (long long)(memory >> 20));
		text("MEMORY", line);
	}
}

void kit_show(const struct js *kit)
{
	text("NAME", js_str(js_get(kit, "name")));
	text("AGENT", js_str(js_get(kit, "agent")));
	text("KIND", js_str(js_get(kit, "kind")));
	text("VERSION", js_str(js_get(kit, "version")));
	text("DESCRIPTION", js_str(js_get(kit, "description")));
	text("SOURCE", js_str(js_get(kit, "source_url")));
	text("EXTENDS", js_str(js_get(kit, "extends")));
	text("FOR AGENT", js_str(js_get(kit, "requires_agent")));
	kits(js_get(kit, "kits"));
	text("IMAGE", js_str(js_get(kit, "image")));
	words("ENTRYPOINT", js_get(kit, "entrypoint"));
	words("COMMAND", js_get(kit, "command"));
	words("INTERACTIVE", js_get(kit, "interactive"));
	sizes(kit);
	if (js_bool(js_get(kit, "privileged")))
		text("PRIVILEGED", "yes");
	each("ALLOWS", js_get(kit, "allow"), host);
	each("INSTALL HOSTS", js_get(kit, "install_allow"), host);
	each("DENIES", js_get(kit, "deny"), host);
	credentials(js_get(kit, "credentials"));
	each("VARIABLES", js_get(kit, "variables"), variable);
	each("INSTALL", js_get(kit, "install"), command);
	each("STARTUP", js_get(kit, "startup"), command);
	each("FILES", js_get(kit, "files"), file);
	each("HOME", js_get(kit, "home"), file);
	each("WORKSPACE", js_get(kit, "workspace"), file);
	each("VOLUMES", js_get(kit, "volumes"), volume);
	each("PORTS", js_get(kit, "ports"), port);
	text("READS", js_str(js_get(kit, "instructions_file")));
	each("INSTRUCTIONS", js_get(kit, "instructions"), instructions);
}
