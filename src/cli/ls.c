#include "base/escape.h"
#include "cli/box.h"
#include "cli/report.h"
#include "cli/verb.h"
#include <stdio.h>
#include <string.h>

#define LS_MS 1000 /* whatever hangs */

enum { COLUMNS = 6 };
static const char *const heads[COLUMNS] = {
	"SANDBOX", "AGENT", "STATUS", "ISOLATION", "PORTS", "WORKSPACE"};

/* The longest text of a cell is a path, each byte of which may grow when it is escaped. */
struct cell {
	char text[4 * PATH_MAX];
};

static void ports_cell(struct cell *c, const struct js *box)
{
	const struct js *ports = js_get(box, "ports");
	char raw[512] = "";
	size_t pos = 0;

	for (size_t i = 0; i < js_len(ports) && pos < sizeof(raw); i++) {
		const struct js *p = js_at(ports, i);
		const char *s = box_str(p, "label");

		if (s[0])
			pos += (size_t)snprintf(
				raw + pos, sizeof(raw) - pos, "%s%s", pos ? ", " : "", s);
	}
	(void)escape_str(c->text, sizeof(c->text), raw);
}

static void workspace_cell(struct cell *c, const struct js *box)
{
	const struct js *list = js_get(box, "workspaces"), *first = js_at(list, 0);
	size_t more = js_len(list), len;

	(void)escape_str(c->text, sizeof(c->text) - 32, box_str(first, "path"));
	len = strlen(c->text);
	if (js_bool(js_get(first, "read_only")))
		len += (size_t)snprintf(c->text + len, sizeof(c->text) - len, ":ro");
	if (more > 1)
		(void)snprintf(c->text + len, sizeof(c->text) - len, " +%zu", more - 1);
}

/* status_cell() - "running", or "running (idle)" where the daemon will stop it if that goes on */
static void status_cell(struct cell *c, const struct js *box)
{
	char status[64];

	(void)snprintf(c->text, sizeof(c->text), "%s%s",
		escape_str(status, sizeof(status), box_str(box, "status")),
		box_str(box, "idle_stop_at")[0] ? " (idle)" : "");
}

static void fill(struct cell row[COLUMNS], const struct js *box)
{
	(void)escape_str(row[0].text, sizeof(row[0].text), box_str(box, "name"));
	(void)escape_str(row[1].text, sizeof(row[1].text), box_str(box, "agent"));
	status_cell(&row[2], box);
	(void)escape_str(row[3].text, sizeof(row[3].text), box_str(box, "isolation"));
	ports_cell(&row[4], box);
	workspace_cell(&row[5], box);
	for (int i = 0; i < COLUMNS; i++)
		if (!row[i].text[0])
			memcpy(row[i].text, "-", 2);
}

static void print_table(const struct js *boxes)
{
	static struct cell row[COLUMNS];
	int width[COLUMNS];

	for (int c = 0; c < COLUMNS; c++)
		width[c] = (int)strlen(heads[c]);
	for (size_t i = 0; i < js_len(boxes); i++) {
		fill(row, js_at(boxes, i));
		for (int c = 0; c < COLUMNS; c++)
			if ((int)strlen(row[c].text) > width[c])
				width[c] = (int)strlen(row[c].text);
	}
	for (int c = 0; c < COLUMNS; c++)
		printf(c + 1 < COLUMNS ? "%-*s  " : "%.*s\n", width[c], heads[c]);
	for (size_t i = 0; i < js_len(boxes); i++) {
		fill(row, js_at(boxes, i));
		for (int c = 0; c < COLUMNS - 1; c++)
			printf("%-*s  ", width[c], row[c].text);
		puts(row[COLUMNS - 1].text);
	}
}

static void print_names(const struct js *boxes)
{
	char name[1024];

	for (size_t i = 0; i < js_len(boxes); i++)
		puts(escape_str(name, sizeof(name), box_str(js_at(boxes, i), "name")));
}

int verb_ls(int argc, char **argv)
{
	static const struct plain_form form = {
		.options = OPT_JSON | OPT_QUIET, .words = "", .doc = "List sandboxes."};
	AUTO(plain_args) a = {0};
	AUTO(api) api = {0};
	AUTO_JS all = NULL;
	const struct js *boxes = NULL;
	struct err e = {0};
	int r = verb_plain(argc, argv, &form, &a);

	if (r)
		return r;
	api.within_ms = LS_MS;
	if (api_open(&api, API_START, &e) < 0 || box_list(&api, &all, &boxes, &e) < 0)
		return report_err(&e, CLI_FAIL);
	if ((a.given & OPT_JSON) && box_print(all, &e) < 0)
		return report_err(&e, CLI_FAIL);
	if (!(a.given & OPT_JSON) && (a.given & OPT_QUIET))
		print_names(boxes);
	else if (!(a.given & OPT_JSON))
		print_table(boxes);
	return report_flush();
}
