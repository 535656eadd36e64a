#include "cli/asker.h"
#include "base/clock.h"
#include "cli/api.h"
#include "cli/box.h"
#include "cli/question.h"
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define TRY_MS 3000 /* until a daemon that is not there is looked for again */

struct asker {
	int fd;
	enum asker_when when;
	bool checked; /* the setting */
	struct api api;
	struct ask_news news, before;
};

static void copy(char *dst, size_t cap, const char *src)
{
	if (snprintf(dst, cap, "%s", src) >= (int)cap)
		memcpy(dst + cap - 4, "...", 4); /* what is cut says so */
}

static void take(struct ask_news *news, const struct js *w)
{
	struct question *q;

	if (strcmp(box_str(w, "sandbox"), news->sandbox) != 0)
		return;
	if (news->n == QUESTIONS_MAX) {
		news->more++;
		return;
	}
	q = &news->q[news->n++];
	q->id = (uint64_t)js_int(js_get(w, "id"), 0);
	q->port = (uint16_t)js_int(js_get(w, "port"), 0);
	q->until = clock_ms() + js_int(js_get(w, "seconds_left"), 0) * 1000;
	copy(q->host, sizeof(q->host), box_str(w, "host"));
	copy(q->method, sizeof(q->method), box_str(w, "method"));
	copy(q->path, sizeof(q->path), box_str(w, "path"));
	copy(q->rule, sizeof(q->rule), box_str(w, "rule"));
}

static bool is_off(struct api *api, struct err *e)
{
	AUTO_JS all = NULL;
	const struct js *list;

	if (api_call(api, "GET", "/v1/settings", NULL, API_CALL_MS, &all, e) < 0)
		return false;
	list = js_get(all, "settings");
	for (size_t i = 0; i < js_len(list); i++)
		if (strcmp(box_str(js_at(list, i), "key"), "approve.terminal") == 0)
			return strcmp(box_str(js_at(list, i), "value"), "off") == 0;
	return false;
}

/* look() - -ECANCELED: the user does not want to be asked here */
static int look(struct asker *a, struct err *e)
{
	AUTO_JS all = NULL;
	const struct js *list;
	int r = a->api.open ? 0 : api_open(&a->api, API_NO_START, e);

	if (r == 0 && !a->checked && a->when == ASKER_SETTING && is_off(&a->api, e))
		return -ECANCELED;
	if (r == 0)
		r = api_call(&a->api, "GET", "/v1/approvals", NULL, API_CALL_MS, &all, e);
	if (r < 0)
		return r;
	a->checked = true;
	a->news.n = a->news.more = 0;
	list = js_get(all, "approvals");
	for (size_t i = 0; i < js_len(list); i++)
		take(&a->news, js_at(list, i));
	return 0;
}

static bool same(const struct ask_news *x, const struct ask_news *y)
{
	bool is = x->n == y->n && x->more == y->more;

	for (size_t i = 0; is && i < x->n; i++)
		is = x->q[i].id == y->q[i].id;
	return is;
}

static void answer(struct asker *a, const struct ask_reply *reply)
{
	AUTO_JS body = js_object();
	char target[API_TARGET_MAX];
	struct err e = {0};
	bool deny = reply->answer == ASK_DENY, bad = false;

	bad |= js_set_str(body, "decision", deny ? "deny" : "allow");
	if (reply->answer == ASK_ALWAYS)
		bad |= js_set_str(body, "remember", "sandbox");
	(void)snprintf(target, sizeof(target), "/v1/approvals/%" PRIu64, reply->id);
	if (bad || api_call(&a->api, "POST", target, body, API_CALL_MS, NULL, &e) < 0)
		copy(a->news.trouble, sizeof(a->news.trouble), bad ? "out of memory" : e.msg);
}

/* tell() - what changed; @always: an answer was given, and that is an end to it */
static bool tell(struct asker *a, bool always)
{
	if (!always && same(&a->news, &a->before))
		return true;
	if (send(a->fd, &a->news, sizeof(a->news), MSG_NOSIGNAL) < 0)
		return false;
	a->news.trouble[0] = '\0';
	a->before = a->news;
	return true;
}

static void *asker_main(void *arg)
{
	struct asker *a = arg;
	bool open = true, always = false;

	while (open) {
		struct pollfd p = {.fd = a->fd, .events = POLLIN};
		struct ask_reply reply;
		struct err e = {0};
		int r = look(a, &e);

		if (r == -ECANCELED)
			break;
		if (r < 0) {
			api_close(&a->api);
			a->news.n = a->news.more = 0;
		}
		open = tell(a, always);
		always = false;
		if (!open || poll(&p, 1, r < 0 ? TRY_MS : ASKER_MS) <= 0)
			continue;
		open = recv(a->fd, &reply, sizeof(reply), MSG_DONTWAIT) == (ssize_t)sizeof(reply);
		if (open)
			answer(a, &reply);
		always = open;
	}
	api_close(&a->api);
	own_close_fd(&a->fd);
	free(a);
	return NULL;
}

int asker_start(const char *name, enum asker_when when, struct err *e)
{
	struct asker *a = calloc(1, sizeof(*a));
	pthread_t thread;
	sigset_t all, old;
	int pair[2], r;

	if (!a || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		free(a);
		return err_sys(e, -ENOMEM, "ask what waits for an answer");
	}
	a->fd = pair[1];
	a->when = when;
	a->api.http.fd = -1;
	copy(a->news.sandbox, sizeof(a->news.sandbox), name);
	sigfillset(&all);
	(void)pthread_sigmask(SIG_BLOCK, &all, &old); /* a terminal's signals are the session's */
	r = -pthread_create(&thread, NULL, asker_main, a);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r < 0) {
		own_close_fd(&pair[0]);
		own_close_fd(&pair[1]);
		free(a);
		return err_sys(e, r, "ask what waits for an answer");
	}
	(void)pthread_detach(thread);
	return pair[0];
}
