#include "machine/spawn.h"
#include "machine/engine.h"
#include "base/io.h"
#include "jail/spawn.h"
#include "link/link.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <linux/magic.h>

#define ENV_MAX	  2
#define HOST_PIDS 256
/* The engine's user when root starts it: 24 bits of the sandbox's id above every range that
 * distributions hand out (systemd's table of ids calls it unused).
 */
#define ENGINE_UID_BASE 0x70000000u
#define NOBODY		65534u

/* Numbers the machine's descriptors from MACHINE_PLAN_FD + 1 on. */
struct numbering {
	int fds[JAIL_FDS_MAX];
	size_t n;
};

static int give(struct numbering *t, int fd)
{
	t->fds[t->n] = fd;
	return (int)t->n++;
}

static int seal_plan(const struct machine_plan *p)
{
	AUTO_FREE uint8_t *bytes = malloc(MACHINE_PLAN_BYTES);
	long len = bytes ? machine_plan_encode(bytes, MACHINE_PLAN_BYTES, p) : -ENOMEM;
	AUTO_FD fd = -1;
	int r;

	if (len < 0)
		return (int)len;
	fd = memfd_create("sbx-plan", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	r = io_write_full(fd, bytes, (size_t)len, IO_FOREVER);
	if (r < 0)
		return r;
	if (lseek(fd, 0, SEEK_SET) < 0 ||
		fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) <
			0)
		return -errno;
	return TAKE_FD(fd);
}

static uint32_t id_hash(const char *id)
{
	uint32_t h = 2166136261u;

	for (; *id; id++)
		h = (h ^ (uint8_t)*id) * 16777619u;
	return h;
}

/* map[0]: ourselves, so that the workspace's files stay ours. As root a second user
 * without any files is added, for the engine.
 */
size_t machine_users(const char *id, struct jail_map map[JAIL_MAPS_MAX])
{
	uid_t uid = geteuid();
	gid_t gid = getegid();

	map[0] = (struct jail_map){uid, uid, gid, gid};
	if (uid != 0)
		return 1;
	uid = ENGINE_UID_BASE + (id_hash(id) & 0xffffff);
	map[1] = (struct jail_map){NOBODY, uid, NOBODY, uid};
	return 2;
}

/* in_memory() - what the file system of @fd may put into memory: its whole size if it lives there. What is
 * written to it counts as ours, and without this a workspace in such a place would end the machine.
 */
static uint64_t in_memory(int fd, dev_t seen[], size_t *n_seen)
{
	struct statfs fs;
	struct stat st;

	if (fd < 0 || fstatfs(fd, &fs) < 0 || fs.f_type != TMPFS_MAGIC || fstat(fd, &st) < 0)
		return 0;
	for (size_t i = 0; i < *n_seen; i++)
		if (seen[i] == st.st_dev)
			return 0;
	seen[(*n_seen)++] = st.st_dev;
	return (uint64_t)fs.f_blocks * (uint64_t)fs.f_bsize;
}

static uint64_t memory_limit(const struct machine_plan *p)
{
	uint64_t sum = p->memory_bytes + ((uint64_t)ENGINE_CODE_MB << 20) + ENGINE_OTHER_BYTES;
	dev_t seen[MACHINE_EXPORTS_MAX + 1];
	size_t n = 0;

	sum += in_memory(p->scratch_fd, seen, &n);
	for (size_t i = 0; i < p->n_exports; i++)
		sum += in_memory(p->exports[i].fd, seen, &n);
	return sum;
}

static int make_cgroup(const struct machine_plan *p, struct jail_cgroup *ret, struct err *e)
{
	const struct jail_cgroup_limits l = {
		/* one more: the file server and the engine's own thread */
		.cpu_percent = p->cpus * 100 + 100,
		.memory_bytes = memory_limit(p),
		.pids = HOST_PIDS,
	};

	return jail_cgroup_make(p->id, &l, ret, e);
}

/* operator_env() - of our environment the machine gets the log level and what the operator allowed to
 * be missing; nothing else
 */
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

int machine_spawn(const struct machine_plan *p, const char *program, int log_fd, char ret_note[160],
	pid_t *ret_pid, int *ret_pidfd, struct err *e)
{
	char *const argv[] = {(char[]){"sbx-machine"}, NULL};
	struct numbering t = {.fds = {-1, log_fd, log_fd, -1}, .n = MACHINE_PLAN_FD + 1};
	struct machine_plan inside = *p;
	struct jail_cgroup group;
	struct jail_child c = {.path = program, .argv = argv, .keep_caps = true};
	char env_text[ENV_MAX][256], *envp[ENV_MAX + 1];
	AUTO_FD plan = -1;
	int r;

	operator_env(env_text, envp);
	c.envp = envp;
	inside.dir_fd = give(&t, p->dir_fd);
	inside.lock_fd = give(&t, p->lock_fd);
	inside.kernel_fd = give(&t, p->kernel_fd);
	inside.initrd_fd = give(&t, p->initrd_fd);
	inside.root_fd = give(&t, p->root_fd);
	inside.scratch_fd = give(&t, p->scratch_fd);
	inside.console_fd = give(&t, p->console_fd);
	for (size_t i = 0; i < p->n_exports; i++)
		inside.exports[i].fd = give(&t, p->exports[i].fd);
	plan = seal_plan(&inside);
	if (plan < 0)
		return err_sys(e, plan, "write the machine's plan");
	t.fds[MACHINE_PLAN_FD] = plan;
	r = make_cgroup(p, &group, e);
	if (r < 0)
		return r;
	c.fds = t.fds;
	c.n_fds = t.n;
	c.n_maps = machine_users(p->id, c.map);
	c.cgroup = &group;
	r = jail_spawn(&c, ret_pid, ret_pidfd, e);
	if (r < 0) {
		(void)jail_cgroup_remove(&group);
		return err_wrap(e, r, "start the machine");
	}
	if (ret_note)
		(void)snprintf(ret_note, 160, "%s", group.note);
	return 0;
}

bool machine_starved(const char *id)
{
	struct jail_cgroup group;

	jail_cgroup_find(id, &group);
	return jail_cgroup_oom_kills(&group) > 0;
}

void machine_forget(const char *id)
{
	struct jail_cgroup group;

	jail_cgroup_find(id, &group);
	(void)jail_cgroup_remove(&group);
}
