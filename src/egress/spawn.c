#include "egress/spawn.h"
#include "jail/spawn.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/resource.h>

#define ENV_MAX	   2
#define FILES_MAX  4096 /* streams, channels and connections have caps of their own */
#define FRONT_LOCK 6
#define VAULT_LOCK 4

static int open_in(int dir_fd, const char *name, mode_t mode, struct err *e)
{
	int fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, mode);

	return fd < 0 ? err_sys(e, -errno, "open '%s'", name) : fd;
}

/* take_lock() - shared: front and vault each have a descriptor of their own */
static int take_lock(int dir_fd, struct err *e)
{
	AUTO_FD fd = open_in(dir_fd, EGRESS_LOCK_FILE, 0600, e);

	if (fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) < 0)
		return err_set(e, ERR_CONFLICT, -EBUSY,
			"the lock of front and vault is held by something else");
	return TAKE_FD(fd);
}

bool egress_all_gone(int dir_fd)
{
	AUTO_FD fd = openat(dir_fd, EGRESS_LOCK_FILE, O_RDWR | O_CLOEXEC | O_NOFOLLOW);

	return fd < 0 ? errno == ENOENT : flock(fd, LOCK_EX | LOCK_NB) == 0;
}

/* operator_env() - the log level and what the operator allowed to be missing; nothing else */
static void operator_env(char text[ENV_MAX][256], char *envp[ENV_MAX + 1])
{
	static const char *const names[ENV_MAX] = {"SBX_LOG_LEVEL", "SBX_JAIL_ALLOW_MISSING"};
	size_t n = 0;

	for (size_t i = 0; i < ENV_MAX; i++) {
		const char *value = getenv(names[i]);

		if (value && snprintf(text[n], 256, "%s=%s", names[i], value) < 256) {
			envp[n] = text[n];
			n++;
		}
	}
	envp[n] = NULL;
}

int egress_spawn(enum egress_who who, const char *id, const char *program, int dir_fd, int log_fd,
	pid_t *ret_pid, int *ret_pidfd, struct err *e)
{
	bool front = who == EGRESS_FRONT;
	char name[16], own_id[64], env_text[ENV_MAX][256], *envp[ENV_MAX + 1];
	char *const argv[] = {name, own_id, NULL};
	const struct jail_rlimit limits[] = {{RLIMIT_CORE, 0}, {RLIMIT_NOFILE, FILES_MAX}};
	AUTO_FD key = front ? open_in(dir_fd, EGRESS_KEY_FILE, 0600, e) : -1;
	AUTO_FD cert = front ? open_in(dir_fd, EGRESS_CERT_FILE, 0600, e) : -1;
	AUTO_FD lock = take_lock(dir_fd, e);
	const int fds[] = {-1, log_fd, log_fd, dir_fd, front ? key : lock, cert, lock};
	struct jail_child c = {.path = program,
		.argv = argv,
		.envp = envp,
		.fds = fds,
		.n_fds = front ? FRONT_LOCK + 1 : VAULT_LOCK + 1,
		.map = {{geteuid(), geteuid(), getegid(), getegid()}},
		.n_maps = 1,
		.limit = limits,
		.n_limits = ARRAY_LEN(limits),
		.keep_caps = true,
		.host_net = !front};
	int r;

	if (lock < 0 || (front && (key < 0 || cert < 0)))
		return err_wrap(e, -EIO, "start %s", front ? "sbx-front" : "sbx-vault");
	(void)snprintf(name, sizeof(name), "%s", front ? "sbx-front" : "sbx-vault");
	(void)snprintf(own_id, sizeof(own_id), "%s", id);
	operator_env(env_text, envp);
	r = jail_spawn(&c, ret_pid, ret_pidfd, e);
	return r < 0 ? err_wrap(e, r, "start %s", name) : 0;
}
