/* sbx run: find or make the sandbox, start it, and give the terminal to its agent
 *
 * The agent is the persistent session "agent": EXEC makes it, ATTACH joins it. Two clients may race,
 * so each answer that says "it is there" or "it is gone" leads to the other request, a few times.
 */
#include "base/clock.h"
#include "base/escape.h"
#include "cli/attach.h"
#include "cli/birth.h"
#include "cli/join.h"
#include "cli/needs.h"
#include "cli/network.h"
#include "cli/report.h"
#include "cli/touched.h"
#include "cli/verb.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

struct run {
	struct run_args *a;
	struct api api;
	struct js *box;
	char agent[PATH_MAX];
	bool is_new;
};

/* ready() - an existing or new box in r->box */
static int ready(struct run *r, struct err *e)
{
	char name[NAME_MAX_LEN + 1];
	int n = birth_find(&r->api, r->a, r->agent, &r->box, name, e);

	if (n == 0 && r->box && !r->a->plan)
		n = birth_compare(&r->api, r->a, r->agent, r->box, e);
	if (n < 0 || r->box)
		return n;
	n = birth_here(r->a, e);
	if (n == 0)
		n = birth_create(&r->api, r->a, r->agent, name, &r->box, e);
	if (n < 0 && e->code == ERR_CONFLICT && !r->a->plan) {
		/* Somebody else made it meanwhile; if it is ours after all, it is found now. */
		struct err again = {0};

		if (birth_find(&r->api, r->a, r->agent, &r->box, name, &again) == 0 && r->box) {
			*e = (struct err){0};
			return 0;
		}
		return n;
	}
	r->is_new = n == 0;
	return n;
}

/* tell_network() - what the sandbox may reach and use; no error when it cannot be told */
static void tell_network(struct run *r)
{
	AUTO_JS box = NULL;
	struct err silent = {0};
	char line[1024];

	if (box_get(&r->api, box_str(r->box, "name"), &box, &silent) < 0)
		return;
	network_line(js_get(box, "network"), line, sizeof(line));
	report_note("network: %s", line);
}

/* tell_needs() - what its kits want of credentials, before it starts and does without */
static void tell_needs(struct run *r)
{
	AUTO_JS box = NULL;
	struct err silent = {0};

	if (box_get(&r->api, box_str(r->box, "name"), &box, &silent) < 0)
		return;
	needs_read(&r->api, box);
	if (!r->a->quiet)
		needs_tell(&r->api, box);
}

static int start(struct run *r, struct err *e)
{
	AUTO_JS started = NULL;
	int64_t began = clock_ms();
	int n;

	if (strcmp(box_str(r->box, "status"), "running") == 0)
		return 0;
	tell_needs(r);
	n = box_start(&r->api, box_str(r->box, "name"), r->a->quiet, &started, e);
	if (n < 0 || r->a->quiet)
		return n;
	report_note("sandbox '%s' %s in %.1f s, isolation: %s", box_str(r->box, "name"),
		r->is_new ? "made and started" : "started", (double)(clock_ms() - began) / 1000,
		box_str(js_get(started, "sandbox"), "isolation"));
	tell_network(r);
	box_tell_notes(js_get(started, "sandbox"));
	return 0;
}

static int prepare(struct run *r, struct err *e)
{
	int n = birth_prepare(r->a, false, r->agent, e);

	if (n == 0)
		n = api_open(&r->api, API_START, e);
	if (n == 0)
		n = ready(r, e);
	if (n == 0 && !r->a->plan)
		n = start(r, e);
	return n;
}

static int tell(const struct run *r)
{
	char name[512];

	if (r->a->json) {
		struct err e = {0};

		if (box_print(r->box, &e) < 0)
			return report_err(&e, CLI_OWN);
	} else {
		puts(escape_str(name, sizeof(name), box_str(r->box, "name")));
	}
	return report_flush();
}

static int run(struct run *r)
{
	struct err e = {0};
	struct join j = {.api = &r->api,
		.keys = r->a->keys,
		.detached = r->a->detached,
		.quiet = r->a->quiet,
		.no_approve = r->a->no_approve,
		.args = r->a->args,
		.n_args = r->a->n_args};
	int64_t began = clock_real_ms();
	int status;

	if (prepare(r, &e) < 0)
		return report_err(&e, CLI_OWN);
	if (r->a->plan && !r->a->quiet && js_get(r->box, "plan"))
		needs_tell(&r->api, r->box); /* it is there already */
	else if (r->a->plan && !r->a->quiet)
		needs_tell_plan(&r->api, r->box);
	if (r->a->plan)
		return box_print(r->box, &e) < 0 ? report_err(&e, CLI_OWN) : report_flush();
	j.box = r->box;
	/* A new sandbox has its variables from its creation. */
	j.env = r->is_new ? NULL : &r->a->env.list;
	status = join_agent(&j);
	if (!r->a->detached && !r->a->quiet)
		touched_tell(&r->api, box_str(r->box, "name"), began);
	return r->a->detached && status == CLI_OK ? tell(r) : status;
}

int verb_run(int argc, char **argv)
{
	AUTO(run_args) a = {0};
	struct run r = {.a = &a, .api.http.fd = -1};
	struct err e = {0};
	int status;

	if (run_args_parse(argc, argv, ARGS_EXIT, false, &a, &e) < 0)
		return report_err(&e, CLI_OWN);
	status = run(&r);
	js_free(r.box);
	api_close(&r.api);
	return status;
}
