#include "daemon/idle.h"
#include "daemon/ports.h"
#include "daemon/sandbox.h"
#include "daemon/view.h"
#include <stdio.h>
#include <string.h>
#include <time.h>

bool view_time(struct js *o, const char *key, int64_t ms)
{
	time_t s = (time_t)(ms / 1000);
	char day[32], text[48];
	struct tm tm;

	if (ms == 0)
		return js_set_null(o, key);
	if (!gmtime_r(&s, &tm) || strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm) == 0)
		return true;
	(void)snprintf(text, sizeof(text), "%s.%03dZ", day, (int)(ms % 1000));
	return js_set_str(o, key, text);
}

static bool view_workspaces(struct js *o, const struct plan *p)
{
	AUTO_JS list = js_array();
	bool bad = false;

	for (size_t i = 0; i < p->n_workspaces; i++) {
		const struct plan_workspace *w = &p->workspaces[i];
		AUTO_JS v = js_object();

		bad |= js_set_str(v, "path", w->path);
		bad |= js_set_bool(v, "read_only", w->read_only);
		bad |= js_set_str(v, "kind", w->is_file ? "file" : "directory");
		bad |= js_add(list, TAKE(v));
	}
	return bad | js_set(o, "workspaces", TAKE(list));
}

/* view_notes() - of the plan, what the last start could not put in force, what is broken now */
static bool view_notes(struct sandbox *s, struct js *o, const char *const *more, size_t n)
{
	AUTO_JS list = js_array();
	bool bad = false;

	for (size_t i = 0; i < js_len(s->plan->notes); i++)
		bad |= js_add_str(list, js_str(js_at(s->plan->notes, i)));
	bad |= ports_notes(s, list);
	for (size_t i = 0; i < n; i++)
		if (more[i][0])
			bad |= js_add_str(list, more[i]);
	return bad | js_set(o, "notes", TAKE(list));
}

struct js *sandbox_view(struct sandbox *s, bool with_plan)
{
	const struct plan *p = s->plan;
	AUTO_JS o = js_object();
	struct store_sandbox row;
	char trouble[LINK_TEXT] = "", egress[sizeof(s->egress.trouble)];
	char startup[sizeof(s->startup_note)];
	const char *const notes[] = {row.note, startup, trouble, egress};
	enum status status;
	bool bad = false, silent;

	(void)pthread_mutex_lock(&s->lock);
	row = s->row;
	status = s->status;
	silent = s->silent && (status == STATUS_RUNNING || status == STATUS_PAUSED);
	memcpy(egress, s->egress.trouble, sizeof(egress));
	memcpy(startup, s->startup_note, sizeof(startup));
	if (with_plan)
		memcpy(trouble, s->trouble, sizeof(trouble));
	(void)pthread_mutex_unlock(&s->lock);
	bad |= js_set_str(o, "id", s->id);
	bad |= js_set_str(o, "name", s->name);
	bad |= js_set_str(o, "agent", p->agent);
	bad |= js_set_str(o, "status", silent ? "unresponsive" : status_name(status));
	bad |= js_set_str(o, "reason", row.reason[0] ? row.reason : NULL);
	bad |= js_set_str(o, "isolation", p->isolation);
	bad |= view_time(o, "created_at", row.created_ms);
	bad |= view_time(o, "started_at", row.started_ms);
	bad |= view_time(o, "stopped_at", row.stopped_ms);
	bad |= view_time(o, "last_used_at", row.last_used_ms);
	bad |= idle_view(s, o);
	bad |= view_workspaces(o, p);
	bad |= js_set_int(o, "cpus", p->cpus);
	bad |= js_set_int(o, "memory_bytes", (int64_t)p->memory_bytes);
	bad |= js_set_int(o, "disk_bytes", (int64_t)p->disk_bytes);
	bad |= js_set_str(o, "image",
		p->image_name[0]	? p->image_name
		: p->image_reference[0] ? p->image_reference
					: p->image_id);
	bad |= js_set_str(o, "plan_hash", p->hash);
	bad |= js_set_copy(o, "argv", p->argv);
	bad |= js_set_copy(o, "argv_interactive", p->argv_interactive);
	bad |= js_set_copy(o, "env", p->env);
	bad |= js_set_str(o, "cwd", p->cwd);
	bad |= js_set_str(o, "user", p->user);
	bad |= ports_view(s, o);
	bad |= view_notes(s, o, notes, ARRAY_LEN(notes));
	if (with_plan) {
		AUTO_FD dir = sandbox_dir(s, NULL);

		bad |= js_set_copy(o, "plan", p->json);
		bad |= js_set(o, "network", egress_view(s));
		bad |= view_touched(o, p, dir);
	}
	return bad ? NULL : TAKE(o);
}
