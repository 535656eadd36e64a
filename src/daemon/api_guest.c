#include "daemon/agent.h"
#include "daemon/api.h"
#include "daemon/exec.h"
#include "daemon/files.h"
#include "daemon/watch.h"
#include "base/clock.h"
#include "base/io.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#define PROTOCOL "sbx-agent/1"
#define USAGE_MS 3000

static int no_memory(struct err *e)
{
	return err_set(e, ERR_LIMIT, -ENOMEM, "out of memory");
}

int api_must_run(struct sandbox *s, struct err *e)
{
	enum status st = sandbox_status(s);

	if (st == STATUS_RUNNING)
		return 0;
	(void)err_set(e, ERR_CONFLICT, -EBUSY, "sandbox '%s' is %s", s->name, status_name(st));
	err_hint(e, st == STATUS_PAUSED ? "sbx resume %s" : "start it first: sbx run --name %s",
		s->name);
	return -EBUSY;
}

/* ---- stream ---- */

/* One direction of a relay. Nothing is read while something waits to be written. */
struct flow {
	int from, to;
	char chunk[16384];
	size_t len, done;
};

/* flow_turn() - read what is there, write what goes; false when this direction has ended */
static bool flow_turn(struct flow *f)
{
	ssize_t n;

	if (f->done == f->len) {
		n = recv(f->from, f->chunk, sizeof(f->chunk), MSG_DONTWAIT);
		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		if (n == 0)
			return false;
		f->len = (size_t)n;
		f->done = 0;
	}
	n = send(f->to, f->chunk + f->done, f->len - f->done, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	f->done += (size_t)n;
	return true;
}

/* relay() - both directions until one side ends. A side that does not read slows only what goes to
 * it, and a client that is gone is noticed even then: a guest that never reads must not be able to
 * keep connections of the daemon.
 */
static void relay(int client, int guest)
{
	struct flow up = {.from = client, .to = guest}, down = {.from = guest, .to = client};

	for (;;) {
		bool up_full = up.done < up.len, down_full = down.done < down.len;
		struct pollfd p[] = {
			{.fd = client,
				.events = (short)((up_full ? 0 : POLLIN) |
						  (down_full ? POLLOUT : 0))},
			{.fd = guest,
				.events = (short)((down_full ? 0 : POLLIN) |
						  (up_full ? POLLOUT : 0))},
		};

		if (poll(p, ARRAY_LEN(p), -1) < 0 && errno != EINTR)
			break;
		if (p[0].revents & (POLLHUP | POLLERR) && !(p[0].revents & POLLIN))
			break;
		if (p[1].revents & (POLLHUP | POLLERR) && !(p[1].revents & POLLIN) && !down_full)
			break;
		if (!flow_turn(&down) || !flow_turn(&up))
			break;
	}
	(void)shutdown(guest, SHUT_RDWR);
	(void)shutdown(client, SHUT_RDWR);
}

int api_stream(struct api_call *a, struct err *e)
{
	const char *pass = http_field(a->head, "sbx-pass-fd");
	const char *upgrade = http_field(a->head, "upgrade");
	AUTO_FD guest = -1;
	int r;

	if (!upgrade || strcmp(upgrade, PROTOCOL) != 0)
		return err_set(e, ERR_INVALID, -EPROTONOSUPPORT, "only 'Upgrade: %s' is known here",
			PROTOCOL);
	if (pass && strcmp(pass, "1") != 0)
		return err_set(e, ERR_INVALID, -EINVAL, "Sbx-Pass-Fd must be 1");
	r = api_must_run(a->box, e);
	if (r < 0)
		return r;
	guest = box_open_stream(a->box, FRAME_PORT_AGENT, e);
	if (guest < 0)
		return guest;
	sandbox_touch(a->box);
	r = conn_switch(a->c, PROTOCOL, pass ? guest : -1);
	if (r == 0 && !pass)
		relay(a->c->fd, guest);
	return r;
}

/* ---- exec ---- */

int api_exec(struct api_call *a, struct err *e)
{
	AUTO_JS o = js_object();
	AUTO(exec_result) res;
	bool bad = false;
	int r;

	exec_result_init(&res);
	if (!a->body)
		return err_set(e, ERR_INVALID, -EINVAL, "this request needs a body");
	r = api_must_run(a->box, e);
	if (r == 0)
		r = exec_run(a->box, a->body, a->c->fd, &res, e);
	if (r < 0)
		return r;
	sandbox_touch(a->box);
	bad |= js_set_int(o, "exit_code", res.code);
	if (res.signal)
		bad |= js_set_int(o, "signal", res.signal);
	else
		bad |= js_set_null(o, "signal");
	bad |= js_set_strn(o, "stdout", buf_str(&res.out), res.out.len);
	bad |= js_set_strn(o, "stderr", buf_str(&res.err), res.err.len);
	bad |= js_set_bool(o, "truncated", res.truncated);
	return bad ? no_memory(e) : conn_json(a->c, 200, TAKE(o));
}

/* ---- usage ---- */

static struct js *guest_json(const struct agent_usage *u)
{
	AUTO_JS o = js_object();
	bool bad = false;

	bad |= js_set_int(o, "memory_total_bytes", (int64_t)u->mem_total);
	bad |= js_set_int(o, "memory_available_bytes", (int64_t)u->mem_available);
	bad |= js_set_int(o, "cpu_ms", (int64_t)u->cpu_ms);
	bad |= js_set_int(o, "scratch_total_bytes", (int64_t)u->scratch_total);
	bad |= js_set_int(o, "scratch_free_bytes", (int64_t)u->scratch_free);
	bad |= js_set_int(o, "processes", u->processes);
	bad |= js_set_int(o, "commands", u->commands);
	return bad ? NULL : TAKE(o);
}

static struct js *host_json(const struct link_msg *m)
{
	AUTO_JS o = js_object();
	bool bad = false;

	bad |= js_set_int(o, "machine_bytes", (int64_t)m->n[0]);
	bad |= js_set_int(o, "engine_bytes", (int64_t)m->n[1]);
	bad |= js_set_int(o, "cpu_ms", (int64_t)m->n[2]);
	bad |= js_set_int(o, "streams", (int64_t)m->n[3]);
	bad |= js_set_int(o, "peer_faults", (int64_t)m->n[4]);
	return bad ? NULL : TAKE(o);
}

int api_usage(struct api_call *a, struct err *e)
{
	AUTO_JS o = js_object();
	struct agent_usage usage;
	struct link_msg stats;
	bool bad = false;
	int r = api_must_run(a->box, e);

	if (r == 0)
		r = box_ask(a->box, LINK_STATS, 0, clock_ms() + USAGE_MS, &stats, e);
	if (r == 0)
		r = agent_usage(a->box, clock_ms() + USAGE_MS, &usage, e);
	if (r < 0)
		return r;
	bad |= js_set(o, "guest", guest_json(&usage));
	bad |= js_set(o, "host", host_json(&stats));
	return bad ? no_memory(e) : conn_json(a->c, 200, TAKE(o));
}
