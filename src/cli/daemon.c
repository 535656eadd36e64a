/* sbx daemon start|stop|restart|status */
#include "base/clock.h"
#include "base/escape.h"
#include "cli/box.h"
#include "cli/launch.h"
#include "cli/report.h"
#include "cli/verb.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>

#define STOP_WAIT_MS 15000

/* holds_lock() - does a daemon still hold the state directory? It closes its socket first. */
static bool holds_lock(const struct paths *p)
{
	struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	AUTO_FD dir = open(p->state, O_PATH | O_DIRECTORY | O_CLOEXEC);
	AUTO_FD fd = dir < 0 ? -1 : openat(dir, PATHS_LOCK, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	return fd >= 0 && fcntl(fd, F_GETLK, &l) == 0 && l.l_type != F_UNLCK;
}

/* stop_daemon() - 1: it was stopped; 0: none ran */
static int stop_daemon(struct err *e)
{
	int64_t deadline = clock_ms() + STOP_WAIT_MS;
	AUTO(api) api = {0};
	int r = api_open_any(&api, e);

	if (r == -ENOENT || r == -ECONNREFUSED) {
		*e = (struct err){0};
		return 0;
	}
	if (r == 0)
		r = api_call(&api, "POST", "/v1/daemon/stop", NULL, API_CALL_MS, NULL, e);
	if (r < 0)
		return err_wrap(e, r, "stop the daemon");
	api_close(&api);
	for (;;) {
		struct err gone = {0};
		AUTO_FD fd = launch_connect(&api.paths, &gone);

		if ((fd == -ENOENT || fd == -ECONNREFUSED) && !holds_lock(&api.paths))
			return 1;
		if (clock_ms() > deadline)
			return err_set(e, ERR_TIMEOUT, -ETIMEDOUT,
				"the daemon still runs %d s after it was told to stop",
				STOP_WAIT_MS / 1000);
		(void)poll(NULL, 0, 20);
	}
}

static int parse(int argc, char **argv, unsigned options, const char *doc, struct plain_args *a)
{
	const struct plain_form form = {.options = options, .words = "", .doc = doc};

	return verb_plain(argc, argv, &form, a);
}

static int daemon_start(int argc, char **argv)
{
	AUTO(plain_args) a = {0};
	AUTO(api) api = {0};
	struct err e = {0};
	int r = parse(
		argc, argv, OPT_JSON | OPT_DETACHED, "Start the daemon if it does not run.", &a);

	if (r)
		return r;
	return api_open(&api, API_START, &e) < 0 ? report_err(&e, CLI_FAIL) : CLI_OK;
}

static int daemon_stop(int argc, char **argv)
{
	AUTO(plain_args) a = {0};
	struct err e = {0};
	int r = parse(argc, argv, OPT_JSON, "Stop the daemon; sandboxes go on.", &a);

	if (r)
		return r;
	r = stop_daemon(&e);
	if (r < 0)
		return report_err(&e, CLI_FAIL);
	if (r == 0)
		report_note("the daemon was not running");
	return CLI_OK;
}

static int daemon_restart(int argc, char **argv)
{
	AUTO(plain_args) a = {0};
	AUTO(api) api = {0};
	struct err e = {0};
	int r = parse(argc, argv, OPT_JSON, "Restart the daemon; sandboxes go on.", &a);

	if (r)
		return r;
	if (stop_daemon(&e) < 0 || api_open(&api, API_START, &e) < 0)
		return report_err(&e, CLI_FAIL);
	return CLI_OK;
}

static int print_status(const struct js *v, bool json)
{
	AUTO_JS out = js_object();
	struct err e = {0};
	char text[256], since[256];
	bool bad;

	if (!json) {
		if (v)
			printf("running, version %s, pid %lld, since %s\n",
				escape_str(text, sizeof(text), box_str(v, "version")),
				(long long)js_int(js_get(v, "pid"), 0),
				escape_str(since, sizeof(since), box_str(v, "started_at")));
		else
			puts("stopped");
		return 0;
	}
	bad = js_set_str(out, "state", v ? "running" : "stopped");
	if (v) {
		bad |= js_set_copy(out, "version", js_get(v, "version"));
		bad |= js_set_copy(out, "api", js_get(v, "api"));
		bad |= js_set_copy(out, "pid", js_get(v, "pid"));
		bad |= js_set_copy(out, "started_at", js_get(v, "started_at"));
	}
	if (bad)
		(void)err_sys(&e, -ENOMEM, "print the status");
	return bad || box_print(out, &e) < 0 ? report_err(&e, CLI_FAIL) : 0;
}

static int daemon_status(int argc, char **argv)
{
	AUTO(plain_args) a = {0};
	AUTO(api) api = {0};
	AUTO_JS v = NULL;
	struct err e = {0};
	int r = parse(argc, argv, OPT_JSON, "Does the daemon run? Exit status 1 when not.", &a);

	if (r)
		return r;
	r = api_open_any(&api, &e);
	if (r == 0)
		r = api_call(&api, "GET", "/v1/version", NULL, API_CALL_MS, &v, &e);
	if (r < 0 && r != -ENOENT && r != -ECONNREFUSED && r != -ECONNRESET)
		return report_err(&e, CLI_FAIL);
	r = print_status(v, a.given & OPT_JSON);
	if (r == 0)
		r = report_flush();
	return r ? r : (v ? CLI_OK : CLI_FAIL);
}

int verb_daemon(int argc, char **argv)
{
	static const struct verb subs[] = {
		{"start", daemon_start, "start the daemon if it does not run"},
		{"stop", daemon_stop, "stop it; sandboxes go on"},
		{"restart", daemon_restart, "stop it and start it; sandboxes go on"},
		{"status", daemon_status, "does it run?"},
	};

	return verb_sub(subs, ARRAY_LEN(subs), argc, argv);
}
