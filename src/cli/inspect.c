#include "base/escape.h"
#include "cli/box.h"
#include "cli/kits_print.h"
#include "cli/network.h"
#include "cli/report.h"
#include "cli/touched.h"
#include "cli/verb.h"
#include <stdio.h>
#include <string.h>

static void field(const char *label, const char *value)
{
	char text[4 * PATH_MAX];

	printf("%-13s %s\n", label, value[0] ? escape_str(text, sizeof(text), value) : "-");
}

static void size_field(const char *label, const struct js *box, const char *key)
{
	char text[32];

	(void)snprintf(text, sizeof(text), "%.1f MiB",
		(double)js_int(js_get(box, key), 0) / (double)(1 << 20));
	field(label, text);
}

static void print_workspaces(const struct js *box)
{
	const struct js *list = js_get(box, "workspaces");
	char text[PATH_MAX + 8];

	for (size_t i = 0; i < js_len(list); i++) {
		const struct js *ws = js_at(list, i);

		(void)snprintf(text, sizeof(text), "%.*s%s", PATH_MAX, box_str(ws, "path"),
			js_bool(js_get(ws, "read_only")) ? ":ro" : "");
		field(i == 0 ? "Workspace:" : "", text);
	}
	if (js_len(list) == 0)
		field("Workspace:", "");
}

static void print_list(const char *label, const struct js *list)
{
	for (size_t i = 0; i < js_len(list); i++) {
		const char *s = js_str(js_at(list, i));

		field(i == 0 ? label : "", s ? s : "?");
	}
}

/* print_egress() - "running (pid 17, started anew 2 times)" */
static void print_egress(const char *label, const struct js *x)
{
	char text[96];

	(void)snprintf(text, sizeof(text), "%s", box_str(x, "state"));
	if (js_int(js_get(x, "pid"), 0) > 0)
		(void)snprintf(text, sizeof(text), "%.20s (pid %lld, started anew %lld times)",
			box_str(x, "state"), (long long)js_int(js_get(x, "pid"), 0),
			(long long)js_int(js_get(x, "restarts"), 0));
	field(label, text);
}

/* print_counts() - "3 preset, 1 sandbox" */
static void print_counts(const char *label, const struct js *counts)
{
	static const char *const sorts[] = {"org", "user", "preset", "sandbox", "kit"};
	char text[160] = "";

	for (size_t i = 0; i < ARRAY_LEN(sorts); i++) {
		long long n = js_int(js_get(counts, sorts[i]), 0);
		size_t len = strlen(text);

		if (n > 0)
			(void)snprintf(text + len, sizeof(text) - len, "%s%lld %s", len ? ", " : "",
				n, sorts[i]);
	}
	field(label, text);
}

static void print_ports(const struct js *ports)
{
	for (size_t i = 0; i < js_len(ports); i++)
		field(i ? "" : "Ports:", box_str(js_at(ports, i), "label"));
}

static void print_network(const struct js *network)
{
	const struct js *policy = js_get(network, "policy");
	char text[1024];

	network_line(network, text, sizeof(text));
	field("Network:", text);
	print_counts("Rules:", js_get(policy, "rules_by_source"));
	print_egress("Front:", js_get(network, "front"));
	print_egress("Vault:", js_get(network, "vault"));
}

/* print_digest() - of what was pulled: the registry's own, else that of the image's manifest */
static void print_digest(const struct js *image)
{
	const char *digest = box_str(image, box_str(image, "pin")[0] ? "pin" : "manifest");
	char text[80];

	if (!digest[0])
		return;
	(void)snprintf(text, sizeof(text), "sha256:%.64s", digest);
	field("Image digest:", text);
}

static void print_text(struct api *api, const struct js *box)
{
	char cpus[24];

	field("Name:", box_str(box, "name"));
	field("Id:", box_str(box, "id"));
	field("Agent:", box_str(box, "agent"));
	field("State:", box_str(box, "status"));
	if (box_str(box, "reason")[0])
		field("Reason:", box_str(box, "reason"));
	field("Isolation:", box_str(box, "isolation"));
	field("Image:", box_str(box, "image"));
	print_digest(js_get(js_get(box, "plan"), "image"));
	print_workspaces(box);
	(void)snprintf(cpus, sizeof(cpus), "%lld", (long long)js_int(js_get(box, "cpus"), 0));
	field("Processors:", cpus);
	size_field("Memory:", box, "memory_bytes");
	size_field("Disk:", box, "disk_bytes");
	field("Created:", box_str(box, "created_at"));
	field("Started:", box_str(box, "started_at"));
	field("Stopped:", box_str(box, "stopped_at"));
	field("Last used:", box_str(box, "last_used_at"));
	if (box_str(box, "idle_stop_at")[0]) {
		field("Idle since:", box_str(box, "idle_since"));
		field("Stops at:", box_str(box, "idle_stop_at"));
	}
	print_ports(js_get(box, "ports"));
	print_network(js_get(box, "network"));
	kits_print(api, box);
	field("Plan:", box_str(box, "plan_hash"));
	print_list("Notes:", js_get(box, "notes"));
	touched_print(box);
}

int verb_inspect(int argc, char **argv)
{
	static const struct plain_form form = {.options = OPT_JSON,
		.min_words = 1,
		.max_words = 1,
		.words = "NAME",
		.doc = "Show one sandbox.",
		.names = true};
	AUTO(plain_args) a = {0};
	AUTO(api) api = {0};
	AUTO_JS box = NULL;
	struct err e = {0};
	int r = verb_plain(argc, argv, &form, &a);

	if (r)
		return r;
	if (api_open(&api, API_START, &e) < 0 || box_get(&api, a.words[0], &box, &e) < 0)
		return report_err(&e, CLI_FAIL);
	if (!(a.given & OPT_JSON))
		print_text(&api, box);
	else if (box_print(box, &e) < 0)
		return report_err(&e, CLI_FAIL);
	return report_flush();
}
