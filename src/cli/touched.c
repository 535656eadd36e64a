#include "cli/touched.h"
#include "base/escape.h"
#include "cli/box.h"
#include "cli/report.h"
#include <stdio.h>
#include <string.h>
#include <time.h>

#define TELL_LINES 20
#define LINE_BYTES 300

static void changes_text(const struct js *file, char *dst, size_t cap)
{
	const struct js *list = js_get(file, "changes");
	size_t at = 0;

	dst[0] = '\0';
	for (size_t i = 0; i < js_len(list) && at < cap; i++) {
		const char *s = js_str(js_at(list, i));

		at += (size_t)snprintf(dst + at, cap - at, "%s%s", i ? ", " : "", s ? s : "?");
	}
}

void touched_print(const struct js *box)
{
	const struct js *t = js_get(box, "touched"), *files = js_get(t, "files");
	char changes[80], path[4 * PATH_MAX], why[512];

	for (size_t i = 0; i < js_len(files); i++) {
		const struct js *f = js_at(files, i);

		changes_text(f, changes, sizeof(changes));
		printf("%-13s %s (%s): %s\n", i == 0 ? "Changed:" : "",
			escape_str(path, sizeof(path), box_str(f, "path")), ESC(changes),
			escape_str(why, sizeof(why), box_str(f, "why")));
	}
	if (js_int(js_get(t, "more"), 0) > 0)
		printf("%-13s and %lld changes that are not listed\n",
			js_len(files) ? "" : "Changed:", (long long)js_int(js_get(t, "more"), 0));
	if (t && !js_bool(js_get(t, "complete")))
		printf("%-13s the record of changes could not be read\n", "Changed:");
}

/* As the API writes times: texts of one form compare as the times do. */
static void time_text(int64_t ms, char dst[64])
{
	time_t s = (time_t)(ms / 1000);
	struct tm tm;
	size_t n;

	dst[0] = '\0';
	if (!gmtime_r(&s, &tm))
		return;
	n = strftime(dst, 32, "%Y-%m-%dT%H:%M:%S", &tm);
	(void)snprintf(dst + n, 64 - n, ".%03dZ", (int)(ms % 1000));
}

void touched_tell(struct api *api, const char *name, int64_t since_ms)
{
	const struct js *t, *files;
	AUTO_JS box = NULL;
	struct err e = {0};
	char since[64];
	size_t n = 0;

	if ((!api->open && api_open(api, API_START, &e) < 0) || box_get(api, name, &box, &e) < 0)
		return;
	time_text(since_ms, since);
	t = js_get(box, "touched");
	files = js_get(t, "files");
	for (size_t i = 0; i < js_len(files); i++)
		n += strcmp(box_str(js_at(files, i), "at"), since) >= 0;
	if (n > 0)
		report_note("the agent changed %zu file%s that tools on this host execute or obey:",
			n, n == 1 ? "" : "s");
	n = 0;
	for (size_t i = 0; i < js_len(files); i++) {
		const struct js *f = js_at(files, i);

		if (strcmp(box_str(f, "at"), since) < 0 || ++n > TELL_LINES)
			continue;
		report_note("  %.*s: %s", LINE_BYTES, box_str(f, "path"), box_str(f, "why"));
	}
	if (n > TELL_LINES)
		report_note("  and %zu more", n - TELL_LINES);
	if (js_int(js_get(t, "more"), 0) > 0)
		report_note("changes that found no room in the list: %lld",
			(long long)js_int(js_get(t, "more"), 0));
	if (t && !js_bool(js_get(t, "complete")))
		report_note("the record of such changes could not be read");
	if (n > 0)
		report_note("look at them before you use them: sbx inspect %s", name);
}
