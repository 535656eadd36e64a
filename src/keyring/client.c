#include "keyring/client.h"
#include "base/clock.h"
#include "base/io.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define GRACE_MS 2000 /* for the helper's own deadline to be told */
#define ENV_MAX	 16

bool keyring_can_ask(void)
{
	const char *x = getenv("DISPLAY"), *wayland = getenv("WAYLAND_DISPLAY");

	return (x && *x) || (wayland && *wayland);
}

/* fill_env() - pointers into our own environment, and no GIO modules that would be loaded for nothing */
static void fill_env(char *env[ENV_MAX])
{
	static const char *const names[] = {"DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR", "HOME",
		"DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY"};
	static char vfs[] = "GIO_USE_VFS=local", lang[] = "LC_ALL=C.UTF-8";
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		char *v = getenv(names[i]);

		/* what getenv() gives stands behind its name in one string */
		if (v)
			env[n++] = v - strlen(names[i]) - 1;
	}
	env[n++] = vfs;
	env[n++] = lang;
	env[n] = NULL;
}

static int start(const char *program, int sock, pid_t *ret_pid)
{
	char name[] = KEYRING_PROGRAM, *argv[] = {name, NULL}, *env[ENV_MAX];
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t at;
	sigset_t none, all;
	int r;

	fill_env(env);
	(void)sigemptyset(&none);
	(void)sigfillset(&all);
	(void)posix_spawn_file_actions_init(&fa);
	(void)posix_spawnattr_init(&at);
	(void)posix_spawnattr_setsigmask(&at, &none);
	(void)posix_spawnattr_setsigdefault(&at, &all);
	(void)posix_spawnattr_setpgroup(&at, 0);
	(void)posix_spawnattr_setflags(
		&at, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
	r = posix_spawn_file_actions_adddup2(&fa, sock, 0);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(&fa, sock, 1);
	if (r == 0)
		r = posix_spawn_file_actions_addopen(&fa, 2, "/dev/null", O_WRONLY, 0);
	if (r == 0)
		r = posix_spawn_file_actions_addclosefrom_np(&fa, 3);
	if (r == 0)
		r = posix_spawn(ret_pid, program, &fa, &at, argv, env);
	(void)posix_spawn_file_actions_destroy(&fa);
	(void)posix_spawnattr_destroy(&at);
	return -r;
}

/* talk() - the whole request, then all that comes until the end; *ret_len bytes of @in */
static int talk(int sock, const uint8_t *out, size_t len, uint8_t in[KEYRING_BYTES_MAX + 1],
	size_t *ret_len, int64_t deadline)
{
	int r = io_set_nonblock(sock, true);
	size_t n = 0;

	/* One send: the request is smaller than any socket's buffer. A helper that is gone is no signal. */
	if (r == 0 && send(sock, out, len, MSG_NOSIGNAL) != (ssize_t)len)
		r = -EIO;
	if (r == 0 && shutdown(sock, SHUT_WR) < 0)
		r = -errno;
	while (r == 0 && n <= KEYRING_BYTES_MAX) {
		ssize_t got;

		r = io_wait(sock, POLLIN, deadline);
		if (r < 0)
			break;
		got = recv(sock, in + n, KEYRING_BYTES_MAX + 1 - n, 0);
		if (got < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (got <= 0) {
			r = got < 0 ? -errno : 0;
			break;
		}
		n += (size_t)got;
	}
	*ret_len = n;
	return r;
}

static int judge(const struct keyring_message *m, struct err *e)
{
	const char *why = m->text[0] ? m->text : "no reason given";

	switch ((enum keyring_result)m->code) {
	case KEYRING_OK:
		return 0;
	case KEYRING_NOT_FOUND:
		return err_set(e, ERR_NOT_FOUND, -ENOENT, "the keyring has no such key");
	case KEYRING_NO_BUS:
		return err_set(e, ERR_UNAVAILABLE, -ENODEV,
			"there is no message bus of a session (%s)", why);
	case KEYRING_NO_SERVICE:
		return err_set(e, ERR_UNAVAILABLE, -ENODEV,
			"no Secret Service on the session's bus (%s)", why);
	case KEYRING_NO_COLLECTION:
		return err_set(
			e, ERR_UNAVAILABLE, -ENODEV, "the Secret Service has no default keyring");
	case KEYRING_LOCKED:
		return err_set(e, ERR_DENIED, -EKEYREJECTED, "the keyring is locked and stayed so");
	case KEYRING_TIMEOUT:
		return err_set(e, ERR_TIMEOUT, -ETIMEDOUT, "the keyring did not answer in time");
	case KEYRING_FAILED:
	case KEYRING_RESULTS:
		break;
	}
	return err_set(e, ERR_UNAVAILABLE, -EIO, "the keyring failed: %s", why);
}

static int run(const char *program, const uint8_t *out, size_t len, int64_t deadline,
	struct keyring_message *ret_m, struct err *e)
{
	uint8_t in[KEYRING_BYTES_MAX + 1];
	AUTO_FD ours = -1;
	AUTO_FD theirs = -1;
	int fds[2], status = 0, r;
	size_t n = 0;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		return err_sys(e, -errno, "ask the keyring");
	ours = fds[0];
	theirs = fds[1];
	r = start(program, theirs, &pid);
	if (r < 0)
		return err_sys(e, r, "start '%s'", program);
	own_close_fd(&theirs);
	r = talk(ours, out, len, in, &n, deadline);
	/* It has said what it had to, or its time is over. */
	(void)kill(-pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (r == -ETIMEDOUT)
		r = err_set(e, ERR_TIMEOUT, r, "the keyring did not answer in time");
	else if (r < 0)
		r = err_sys(e, r, "ask the keyring");
	else if (!keyring_get(in, n, true, ret_m))
		r = err_set(
			e, ERR_UNAVAILABLE, -EIO, "%s ended without an answer", KEYRING_PROGRAM);
	explicit_bzero(in, sizeof(in));
	return r;
}

int keyring_ask(const char *program, enum keyring_op op, const char *id, const char *value,
	struct keyring_message *ret_m, struct err *e)
{
	uint16_t wait = op == KEYRING_PROBE ? KEYRING_PROBE_S : KEYRING_ASK_S;
	struct keyring_message m = {.code = (uint8_t)op, .wait_s = wait};
	uint8_t out[KEYRING_BYTES_MAX];
	size_t len = 0;
	int r;

	*ret_m = (struct keyring_message){0};
	if (snprintf(m.id, sizeof(m.id), "%s", id) < (int)sizeof(m.id) &&
		snprintf(m.value, sizeof(m.value), "%s", value) < (int)sizeof(m.value))
		len = keyring_put(&m, false, out);
	explicit_bzero(&m, sizeof(m));
	if (len == 0)
		return err_set(e, ERR_INTERNAL, -EINVAL, "a key that no keyring can be asked for");
	r = run(program, out, len, clock_ms() + wait * 1000 + GRACE_MS, ret_m, e);
	explicit_bzero(out, sizeof(out));
	if (r == 0)
		r = judge(ret_m, e);
	return r;
}
