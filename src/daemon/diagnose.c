#include "daemon/diagnose.h"
#include "daemon/child.h"
#include "daemon/keyring.h"
#include "daemon/policy.h"
#include "base/io.h"
#include "jail/cgroup.h"
#include "jail/landlock.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>

#define DISK_WARN (5ULL << 30)
#define DISK_FAIL (1ULL << 30)

enum verdict { PASS, WARN, FAIL, SKIP };

struct report {
	struct js *list;
	bool bad;
};

static void PRINTF_LIKE(5, 6) say(
	struct report *r, const char *name, enum verdict v, const char *fix, const char *fmt, ...)
{
	static const char *const words[] = {"pass", "warn", "fail", "skip"};
	AUTO_JS o = js_object();
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	r->bad |= js_set_str(o, "name", name);
	r->bad |= js_set_str(o, "status", words[v]);
	r->bad |= js_set_str(o, "message", text);
	r->bad |= js_set_str(o, "fix", fix);
	r->bad |= js_add(r->list, TAKE(o));
}

static void check_program(struct report *r, const char *program, const char *fix, bool needed)
{
	char path[256], name[64];

	(void)snprintf(name, sizeof(name), "program %s", program);
	if (child_find(program, path) == 0)
		say(r, name, PASS, NULL, "%s", path);
	else
		say(r, name, needed ? FAIL : WARN, fix, "not installed%s",
			needed ? "" : ": images cannot be built here");
}

static void check_own(struct report *r, struct daemon *d, const char *program)
{
	char path[PATH_MAX], name[64];

	(void)snprintf(name, sizeof(name), "program %s", program);
	if (paths_join(path, d->paths.libexec, program) == 0 && access(path, X_OK) == 0)
		say(r, name, PASS, NULL, "%s", path);
	else
		say(r, name, FAIL, "make && make install", "not found in '%s'", d->paths.libexec);
}

/* check_userns() - by function: a child tries it */
static void check_userns(struct report *r)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0)
		_exit(syscall(SYS_unshare,
			      CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET) < 0
				? errno
				: 0);
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		say(r, "user namespaces", SKIP, NULL, "could not be tried");
	else if (WEXITSTATUS(status) == 0)
		say(r, "user namespaces", PASS, NULL, "can be made");
	else
		say(r, "user namespaces", FAIL,
			"sysctl -w kernel.unprivileged_userns_clone=1 "
			"kernel.apparmor_restrict_unprivileged_userns=0",
			"cannot be made: %s", strerror(WEXITSTATUS(status)));
}

static void check_seccomp(struct report *r)
{
	unsigned action = SECCOMP_RET_KILL_PROCESS;

	if (syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0)
		say(r, "seccomp", PASS, NULL, "filters with kill-process");
	else
		say(r, "seccomp", FAIL, "use a kernel with CONFIG_SECCOMP_FILTER",
			"not available: %s", strerror(errno));
}

static void check_landlock(struct report *r)
{
	int abi = jail_landlock_abi();

	if (abi > 0)
		say(r, "landlock", PASS, NULL, "ABI %d", abi);
	else
		say(r, "landlock", WARN, "boot with lsm=landlock,… (Linux 5.13 or newer)",
			"the kernel has none: the jail does without this second fence");
}

static void check_cgroup(struct report *r)
{
	struct jail_cgroup g;
	struct err e = {0};
	static const char name[] = "sbx-diagnose";
	int made = jail_cgroup_make(name, &(struct jail_cgroup_limits){.pids = 64}, &g, &e);

	if (made < 0)
		say(r, "cgroup", WARN, NULL, "%s", e.msg);
	else if (g.version == 0 || g.note[0])
		say(r, "cgroup", WARN,
			"systemd-run --user --scope -p Delegate=yes sbx daemon restart", "%s",
			g.note[0] ? g.note : "no writable tree: limits are not in force");
	else
		say(r, "cgroup", PASS, NULL, "version %d", g.version);
	if (made == 0)
		(void)jail_cgroup_remove(&g);
}

static void check_kvm(struct report *r)
{
	if (access("/dev/kvm", R_OK | W_OK) == 0)
		say(r, "kvm", SKIP, NULL, "/dev/kvm is there; this version does not use it");
	else
		say(r, "kvm", SKIP, NULL, "/dev/kvm is not there; this version does not need it");
}

static void check_disk(struct report *r, const char *name, const char *path)
{
	struct statvfs v;
	unsigned long long left;

	if (statvfs(path, &v) < 0) {
		say(r, name, FAIL, NULL, "'%s': %s", path, strerror(errno));
		return;
	}
	left = (unsigned long long)v.f_bavail * v.f_frsize;
	say(r, name,
		left < DISK_FAIL   ? FAIL
		: left < DISK_WARN ? WARN
				   : PASS,
		left < DISK_WARN ? "make room, or set SBX_STATE_DIR and SBX_CACHE_DIR" : NULL,
		"%llu MiB free at '%s'", left >> 20, path);
}

static void check_image(struct report *r, struct daemon *d)
{
	AUTO_FREE struct image *img = malloc(sizeof(*img));
	struct image_store store;
	struct err e = {0};

	if (img && image_store_open(d->paths.cache, &store, &e) == 0 &&
		image_store_lookup(&store, IMAGE_DEFAULT, img, &e) == 0)
		say(r, "default image", PASS, NULL, "%s, kernel %s", img->id, img->kernel_version);
	else
		say(r, "default image", FAIL, "sbx image build", "%s", e.msg);
}

static void check_state(struct report *r, struct daemon *d)
{
	if (d->report.quarantine[0])
		say(r, "state", WARN, NULL,
			"the database was damaged (%.120s) and is now '%.200s'; sandboxes were "
			"found "
			"again by their directories",
			d->report.why, d->report.quarantine);
	else
		say(r, "state", PASS, NULL, "'%s'", d->paths.state);
}

static void check_policy(struct report *r, struct daemon *d)
{
	struct daemon_policy_state *st = malloc(sizeof(*st));
	struct err e = {0};

	if (!st || daemon_policy_state(d, st, &e) < 0)
		say(r, "policy", FAIL, NULL, "cannot be read: %s", e.msg);
	else if (st->lost)
		say(r, "policy", FAIL, "sbx policy init balanced",
			"lost with a damaged database; everything is denied");
	else if (st->org_fault[0])
		say(r, "policy", FAIL, NULL,
			"the organisation's file is invalid, everything is denied: %s",
			st->org_fault);
	else
		say(r, "policy", PASS, NULL, "%s%s%s", st->preset,
			st->governed ? ", governed by " : "", st->org_path);
	free(st);
}

static void check_secrets(struct report *r, struct daemon *d)
{
	static const char move[] = "sbx settings set secrets.store keyring";
	struct daemon_keyring_state *st = calloc(1, sizeof(*st));
	struct err e = {0};

	if (!st || daemon_keyring_state(d, st, &e) < 0)
		say(r, "secrets", FAIL, NULL, "cannot be read: %s", e.msg);
	else if (st->place == SECRET_IN_KEYRING && !st->usable)
		say(r, "secrets", WARN,
			"log in to a session with your keyring, then: sbx daemon restart",
			"their key is in the keyring, which cannot be reached: %s", st->why);
	else if (st->place == SECRET_IN_KEYRING)
		say(r, "secrets", PASS, NULL, "their key is in the keyring of this session%s",
			st->locked ? ", which is locked and will ask" : "");
	else if (strcmp(st->setting, "keyring") == 0 && !st->usable)
		say(r, "secrets", WARN, "sbx settings set secrets.store file",
			"secrets.store is keyring, but: %s", st->why);
	else if (st->place == SECRET_IN_FILE)
		say(r, "secrets", PASS, NULL, "their key is in a file that only you can read%s%s",
			st->usable ? "; a keyring is there: " : "", st->usable ? move : "");
	else
		say(r, "secrets", PASS, NULL, "none yet; %s%s",
			st->usable ? "a keyring is there" : "no keyring: ",
			st->usable ? "" : st->why);
	free(st);
}

struct js *diagnose(struct daemon *d)
{
	struct report r = {.list = js_array()};
	AUTO_JS o = js_object();
	struct utsname u;

	if (uname(&u) == 0)
		say(&r, "versions", PASS, NULL, "sbx %s, Linux %s", SBX_VERSION, u.release);
	check_own(&r, d, "sbx-machine");
	check_own(&r, d, "sbx-guest");
	check_own(&r, d, "sbx-keyring");
	check_program(&r, "qemu-system-x86_64", "apt-get install qemu-system-x86", true);
	check_program(&r, "mkfs.ext4", "apt-get install e2fsprogs", true);
	check_program(&r, "mmdebstrap", "apt-get install mmdebstrap", false);
	check_program(&r, "tar2sqfs", "apt-get install squashfs-tools-ng", false);
	check_userns(&r);
	check_seccomp(&r);
	check_landlock(&r);
	check_cgroup(&r);
	check_kvm(&r);
	check_disk(&r, "disk space (state)", d->paths.state);
	check_disk(&r, "disk space (cache)", d->paths.cache);
	check_image(&r, d);
	check_state(&r, d);
	check_policy(&r, d);
	check_secrets(&r, d);
	r.bad |= js_set(o, "checks", TAKE(r.list));
	return r.bad ? NULL : TAKE(o);
}
