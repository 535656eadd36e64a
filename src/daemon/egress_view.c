#include "base/io.h"
#include "daemon/network_view.h"
#include "daemon/sandbox.h"
#include "egress/spawn.h"
#include "json/json.h"
#include <stdio.h>
#include <string.h>

#define JAIL_TEXT_MAX 4096

/* jail_lines() - what the process wrote down when its jail had closed */
static struct js *jail_lines(int dir, const char *file)
{
	AUTO_JS list = js_array();
	AUTO(buf) b = {0};
	char *rest, *line;
	bool bad = false;

	buf_init(&b, JAIL_TEXT_MAX);
	if (dir >= 0 && io_read_file(dir, file, &b) == 0)
		for (rest = b.data; rest && (line = strsep(&rest, "\n"));)
			if (line[0])
				bad |= js_add_str(list, line);
	return bad ? NULL : TAKE(list);
}

static struct js *view_end(const struct egress_end *x, int dir)
{
	AUTO_JS o = js_object();
	bool front = x->who == EGRESS_FRONT, bad = false;

	bad |= js_set_str(o, "state", x->fd >= 0 ? "running" : "ended");
	bad |= x->pid > 0 ? js_set_int(o, "pid", x->pid) : js_set_null(o, "pid");
	bad |= js_set_int(o, "restarts", (int64_t)x->restarts);
	bad |= js_set_int(o, "faults", (int64_t)x->faults);
	bad |= js_set(o, "jail",
		jail_lines(dir, front ? EGRESS_FRONT_JAIL_FILE : EGRESS_VAULT_JAIL_FILE));
	return bad ? NULL : TAKE(o);
}

struct js *egress_view(struct sandbox *s)
{
	AUTO_FD dir = sandbox_dir(s, NULL);
	AUTO_JS o = js_object();
	struct egress_end ends[EGRESS_ENDS];
	char trouble[sizeof(s->egress.trouble)];
	bool bad = false;

	(void)pthread_mutex_lock(&s->lock);
	memcpy(ends, s->egress.end, sizeof(ends));
	memcpy(trouble, s->egress.trouble, sizeof(trouble));
	(void)pthread_mutex_unlock(&s->lock);
	bad |= js_set(o, "front", view_end(&ends[0], dir));
	bad |= js_set(o, "vault", view_end(&ends[1], dir));
	bad |= js_set_str(o, "trouble", trouble[0] ? trouble : NULL);
	bad |= network_view_add(o, s);
	return bad ? NULL : TAKE(o);
}
