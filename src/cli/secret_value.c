/* The value of a secret: where it comes from, and sending it. */
#include "base/escape.h"
#include "base/io.h"
#include "cli/box.h"
#include "cli/report.h"
#include "cli/secret.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>

int secret_check_name(const char *name, struct err *e)
{
	size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-");

	if (n > 0 && n <= 64 && name[n] == '\0')
		return 0;
	return err_set(e, ERR_INVALID, -EINVAL, "'%.80s' is no name of a service", name);
}

/* ---- from a person ---- */

static struct termios saved;
static volatile sig_atomic_t hidden;
static const int ends[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};

static void show_again(int sig)
{
	if (hidden)
		(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &saved);
	hidden = 0;
	if (sig) {
		(void)signal(sig, SIG_DFL);
		(void)raise(sig);
	}
}

/* hide() - what is typed is not shown; every way out shows it again. There is no stopping in between. */
static void hide(void)
{
	struct termios t;

	if (tcgetattr(STDIN_FILENO, &saved) < 0)
		return;
	for (size_t i = 0; i < ARRAY_LEN(ends); i++)
		(void)signal(ends[i], show_again);
	(void)signal(SIGTSTP, SIG_IGN);
	hidden = 1;
	t = saved;
	t.c_lflag &= ~(tcflag_t)ECHO;
	(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &t);
}

static void end_hiding(void)
{
	show_again(0);
	for (size_t i = 0; i < ARRAY_LEN(ends); i++)
		(void)signal(ends[i], SIG_DFL);
	(void)signal(SIGTSTP, SIG_DFL);
}

/* read_line() - unbuffered, so that no other copy of it is left */
static int read_line(struct buf *out)
{
	int r = 0;

	while (r == 0) {
		char c;
		ssize_t n = read(STDIN_FILENO, &c, 1);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0 || c == '\n')
			return 0;
		r = buf_add(out, &c, 1);
	}
	return r;
}

int secret_read(const char *service, struct buf *out, struct err *e)
{
	int r;

	if (isatty(STDIN_FILENO)) {
		char shown[300];

		(void)fprintf(stderr,
			"Secret for %s (not shown): ", escape_str(shown, sizeof(shown), service));
		(void)fflush(stderr);
		hide();
		r = read_line(out);
		end_hiding();
		(void)fputc('\n', stderr);
	} else {
		r = io_read_fd(STDIN_FILENO, out);
	}
	if (r == -ENOBUFS || r == -EFBIG)
		return err_set(
			e, ERR_INVALID, r, "a secret has at most %d bytes", SECRET_VALUE_MAX);
	if (r < 0)
		return err_sys(e, r, "read the secret");
	while (out->len > 0 && strchr("\r\n", out->data[out->len - 1]))
		out->data[--out->len] = '\0';
	return out->len > 0 ? 0 : err_set(e, ERR_INVALID, -EINVAL, "the secret is empty");
}

/* ---- from elsewhere, and off ---- */

static int take_value(const struct secret_source *s, struct buf *out, struct err *e)
{
	const char *value = s->value;

	if (!value && !s->from_env)
		return secret_read(s->service, out, e);
	if (!value)
		value = getenv(s->from_env);
	if (!value)
		return err_set(
			e, ERR_NOT_FOUND, -ENOENT, "the variable %.64s is not set", s->from_env);
	if (!*value)
		return err_set(e, ERR_INVALID, -EINVAL, "the secret is empty");
	return buf_add(out, value, strlen(value)) < 0
		       ? err_set(e, ERR_INVALID, -E2BIG, "a secret has at most %d bytes",
				 SECRET_VALUE_MAX)
		       : 0;
}

int secret_send(
	struct api *api, const struct secret_source *s, const void *p, size_t len, struct err *e)
{
	char target[API_TARGET_MAX], refresh[32] = "";
	const char *note, *stand_in;
	AUTO_JS answer = NULL;
	int r;

	if (s->command && s->refresh_s >= 0)
		(void)snprintf(refresh, sizeof(refresh), "&refresh=%ld", s->refresh_s);
	(void)snprintf(target, sizeof(target), "/v1/secrets/%.64s?command=%d%s%s%s", s->service,
		s->command != NULL, refresh, s->sandbox ? "&sandbox=" : "",
		s->sandbox ? s->sandbox : "");
	r = api_put_raw(api, target, p, len, SECRET_MS, &answer, e);
	if (r < 0)
		return r;
	note = js_str(js_get(answer, "note"));
	if (note)
		report_note("%s", note);
	stand_in = js_str(js_get(answer, "stand_in"));
	if (stand_in)
		report_note("inside, %s stands for it", stand_in);
	return 0;
}

int secret_put(struct api *api, const struct secret_source *s, struct err *e)
{
	AUTO(buf) value = {0};
	int r;

	if (s->command)
		return secret_send(api, s, s->command, strlen(s->command), e);
	buf_init(&value, SECRET_VALUE_MAX);
	r = take_value(s, &value, e);
	if (r == 0)
		r = secret_send(api, s, value.data, value.len, e);
	if (value.data)
		explicit_bzero(value.data, value.cap);
	return r;
}
