#include "check.h"
#include "rig.h"
#include "base/clock.h"
#include "base/io.h"
#include "jail/cgroup.h"
#include "link/link.h"
#include "proto/egress.h"
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

static struct js *last;

const char *rig_path(const struct rig *r, const char *below)
{
	static char bufs[4][4096];
	static unsigned i;
	char *b = bufs[i++ % 4];

	(void)snprintf(b, 4096, "%s/%s", r->dir, below);
	return b;
}

static void write_text(const struct rig *r, const char *below, const char *text, size_t len)
{
	FILE *f = fopen(rig_path(r, below), "we");

	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, len, f), len);
	assert_int_equal(fclose(f), 0);
}

#define HEX64 "0000000000000000000000000000000000000000000000000000000000000001"

static void make_image(const struct rig *r)
{
	static const char meta[] =
		"{\"id\":\"00000000000000aa\",\"format\":\"squashfs\",\"kernel_version\":\"6.1\","
		"\"root_bytes\":8,\"root_digest\":\"" HEX64 "\","
		"\"kernel_bytes\":8,\"kernel_digest\":\"" HEX64 "\","
		"\"modules_bytes\":8,\"modules_digest\":\"" HEX64 "\"}";

	assert_int_equal(mkdir(rig_path(r, "cache/images"), 0700), 0);
	assert_int_equal(mkdir(rig_path(r, "cache/images/names"), 0700), 0);
	assert_int_equal(mkdir(rig_path(r, "cache/images/00000000000000aa"), 0700), 0);
	write_text(r, "cache/images/names/default", "00000000000000aa\n", 17);
	write_text(r, "cache/images/00000000000000aa/meta.json", meta, sizeof(meta) - 1);
	write_text(r, "cache/images/00000000000000aa/root.img", "hsqsxxxx", 8);
	write_text(r, "cache/images/00000000000000aa/kernel",
		"\x7f"
		"ELFxxxx",
		8);
	write_text(r, "cache/images/00000000000000aa/modules.cpio", "07070100", 8);
}

static void make_kit(const struct rig *r)
{
	static const char spec[] = "schemaVersion: \"2\"\nkind: sandbox\nname: box\n"
				   "sandbox:\n  entrypoint: [run]\n  command: [me]\n";

	static const char service[] = "name: forge\ndescription: d\nenv: [FORGE_TOKEN]\n"
				      "slots: [{hosts: [forge.test], query: key}]\n";

	assert_int_equal(mkdir(rig_path(r, "data/services"), 0700), 0);
	write_text(r, "data/services/forge.yaml", service, sizeof(service) - 1);
	assert_int_equal(mkdir(rig_path(r, "data/kits"), 0700), 0);
	assert_int_equal(mkdir(rig_path(r, "data/kits/box"), 0700), 0);
	assert_int_equal(mkdir(rig_path(r, "data/kits/box/files"), 0700), 0);
	assert_int_equal(mkdir(rig_path(r, "data/kits/box/files/home"), 0700), 0);
	write_text(r, "data/kits/box/files/home/hello", "hi\n", 3);
	write_text(r, "data/kits/box/spec.yaml", spec, sizeof(spec) - 1);
}

/* copy_program() - a copy, so that "mode" can lie beside it */
static bool copy_program(const struct rig *r, const char *from, const char *to)
{
	AUTO_FD in = open(from, O_RDONLY | O_CLOEXEC);
	AUTO_FD out = open(rig_path(r, to), O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
	char chunk[65536];
	ssize_t n;

	if (in < 0 || out < 0)
		return false;
	while ((n = read(in, chunk, sizeof(chunk))) > 0)
		if (write(out, chunk, (size_t)n) != n)
			return false;
	return n == 0;
}

/* built() - a program of this build, by its place relative to the test's own */
static const char *built(const char *below)
{
	static char bufs[2][4096];
	static unsigned i;
	char *b = bufs[i++ % 2], *slash;
	ssize_t n = readlink("/proc/self/exe", b, 4000);

	assert_true(n > 0);
	b[n] = '\0';
	slash = strrchr(b, '/');
	(void)snprintf(slash + 1, 4096 - (size_t)(slash + 1 - b), "%s", below);
	return b;
}

struct rig *rig_new(void)
{
	static const char *const dirs[] = {"state", "cache", "libexec", "data", "ws"};
	struct rig *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	strcpy(r->dir, "/tmp/sbx-test-daemon-XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	for (size_t i = 0; i < ARRAY_LEN(dirs); i++)
		assert_int_equal(mkdir(rig_path(r, dirs[i]), 0700), 0);
	(void)snprintf(r->workspace, sizeof(r->workspace), "%s/ws", r->dir);
	make_image(r);
	make_kit(r);
	if (!copy_program(r, built("daemon/fake_machine"), "libexec/sbx-machine") ||
		!copy_program(r, built("daemon/fake_egress"), "libexec/sbx-front") ||
		!copy_program(r, built("daemon/fake_egress"), "libexec/sbx-vault") ||
		!copy_program(r, "/bin/true", "libexec/sbx-guest") ||
		access(built("../../src/sbxd"), X_OK) < 0) {
		(void)rig_free(r);
		print_message("not in a build directory\n");
		return NULL;
	}
	return r;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)st;
	(void)kind;
	(void)ftw;
	(void)remove(path);
	return 0;
}

/* forget_cgroup() - no daemon is left to do it; the machine in it was killed a moment ago */
static void forget_cgroup(const char *id)
{
	struct jail_cgroup g;

	jail_cgroup_find(id, &g);
	for (unsigned i = 0; i < 100 && jail_cgroup_remove(&g) == -EBUSY; i++)
		(void)poll(NULL, 0, 10);
}

/* log_is_clean() - a sanitizer speaks in the daemon's log; its exit status tells nothing when it is
 * killed in every test
 */
static bool log_is_clean(const struct rig *r)
{
	static const char *const words[] = {"Sanitizer", "runtime error:", "Assertion"};
	bool clean = true;
	AUTO(buf) b;

	buf_init(&b, 16U << 20);
	if (io_read_file(AT_FDCWD, rig_path(r, "log"), &b) < 0)
		return true; /* never started */
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		clean &= strstr(buf_str(&b), words[i]) == NULL;
	if (!clean)
		print_error("%s\n", buf_str(&b));
	return clean;
}

static void end_listener(int dir, const char *name)
{
	AUTO_FD link = link_connect(dir, name);
	struct ucred c = {0};
	socklen_t len = sizeof(c);

	if (link >= 0 && getsockopt(link, SOL_SOCKET, SO_PEERCRED, &c, &len) == 0 && c.pid > 1 &&
		c.pid != getpid())
		(void)kill(c.pid, SIGKILL);
}

int rig_free(struct rig *r)
{
	bool clean;

	if (!r)
		return 0;
	js_free(last);
	last = NULL;
	rig_kill(r);
	/* Machines, fronts and vaults outlive their daemon: end those that are left. */
	{
		DIR *d = opendir(rig_path(r, "state/sandboxes"));
		struct dirent *de;

		while (d && (de = readdir(d))) {
			AUTO_FD dir =
				openat(dirfd(d), de->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
			static const char *const sockets[] = {
				LINK_SOCKET, EGRESS_FRONT_SOCKET, EGRESS_VAULT_SOCKET};

			for (size_t i = 0; dir >= 0 && i < ARRAY_LEN(sockets); i++)
				end_listener(dir, sockets[i]);
			if (de->d_name[0] != '.')
				forget_cgroup(de->d_name);
		}
		if (d)
			closedir(d);
	}
	clean = log_is_clean(r);
	(void)nftw(r->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(r);
	return clean ? 0 : -1;
}

static void child(const struct rig *r, int ready)
{
	char number[16];

	(void)snprintf(number, sizeof(number), "%d", ready);
	(void)setenv("SBX_STATE_DIR", rig_path(r, "state"), 1);
	(void)setenv("SBX_CACHE_DIR", rig_path(r, "cache"), 1);
	(void)setenv("SBX_CONFIG_DIR", rig_path(r, "config"), 1);
	(void)setenv("SBX_LIBEXEC_DIR", rig_path(r, "libexec"), 1);
	(void)setenv("SBX_SECRETS_STORE", "file", 0); /* not the keyring of whoever runs it */
	(void)setenv("SBX_DATA_DIR", rig_path(r, "data"), 1);
	{
		int log = open(rig_path(r, "log"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

		if (log >= 0)
			(void)dup2(log, 2);
	}
	(void)execl(built("../../src/sbxd"), "sbxd", "--foreground", "--ready-fd", number,
		(char *)NULL);
	_exit(99);
}

/* launch() - the line of the ready pipe */
static void launch(struct rig *r, char *said, size_t cap)
{
	int fds[2];
	size_t n = 0;

	assert_int_equal(r->sbxd, 0);
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(fcntl(fds[0], F_SETFD, FD_CLOEXEC), 0);
	r->sbxd = fork();
	assert_true(r->sbxd >= 0);
	if (r->sbxd == 0)
		child(r, fds[1]);
	close(fds[1]);
	while (n < cap - 1 && io_wait(fds[0], POLLIN, clock_ms() + 20000) == 0) {
		ssize_t got = read(fds[0], said + n, cap - 1 - n);

		if (got <= 0)
			break;
		n += (size_t)got;
	}
	said[n] = '\0';
	said[strcspn(said, "\n")] = '\0';
	close(fds[0]);
}

void rig_up(struct rig *r)
{
	char said[512];

	launch(r, said, sizeof(said));
	assert_string_equal(said, "ok");
}

int rig_try_up(struct rig *r, char *said, size_t cap)
{
	int status = 0;

	launch(r, said, cap);
	assert_string_not_equal(said, "ok");
	assert_int_equal(waitpid(r->sbxd, &status, 0), r->sbxd);
	r->sbxd = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void rig_kill(struct rig *r)
{
	if (r->sbxd <= 0)
		return;
	(void)kill(r->sbxd, SIGKILL);
	(void)waitpid(r->sbxd, NULL, 0);
	r->sbxd = 0;
}

void rig_mode(const struct rig *r, const char *mode)
{
	write_text(r, "libexec/mode", mode, strlen(mode));
}

int rig_connect(const struct rig *r)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/state/sbxd.sock", r->dir);
	assert_true(fd >= 0);
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

int rig_ask(struct rig *r, const char *method, const char *target, const char *body,
	const struct js **ret)
{
	return rig_ask_as(r, method, target, NULL, body, ret);
}

int rig_ask_as(struct rig *r, const char *method, const char *target, const char *type,
	const char *body, const struct js **ret)
{
	struct http_ask ask = {.method = method,
		.target = target,
		.type = type,
		.body = body,
		.body_len = body ? strlen(body) : 0};
	AUTO(http_client) c = {.fd = -1};
	AUTO(http_reply) reply = {0};
	struct err e = {0};

	js_free(last);
	last = NULL;
	assert_int_equal(http_client_init(&c, rig_connect(r)), 0);
	if (http_call(&c, &ask, 8 << 20, clock_ms() + 40000, &reply, &e) < 0) {
		print_error("%s %s: %s\n", method, target, e.msg);
		fail();
	}
	if (strcmp(reply.type, "application/json") == 0)
		assert_int_equal(js_parse(reply.body.data, reply.body.len, 8 << 20, &last, &e), 0);
	if (ret)
		*ret = last;
	return reply.status;
}

const char *rig_str(const struct js *v, const char *key)
{
	const char *s = js_str(js_get(v, key));

	return s ? s : "";
}

void rig_create(struct rig *r, const char *name)
{
	char body[512];

	(void)snprintf(body, sizeof(body),
		"{\"agent\":\"box\",\"name\":\"%s\",\"memory_bytes\":268435456,"
		"\"disk_bytes\":1073741824,\"workspaces\":[{\"path\":\"%s\"}],\"env\":{\"A\":\"b\"}"
		"}",
		name, r->workspace);
	if (rig_ask(r, "POST", "/v1/sandboxes", body, NULL) != 201) {
		print_error("create: %s\n", rig_str(js_get(last, "error"), "message"));
		fail();
	}
	assert_string_equal(rig_str(last, "status"), "stopped");
}

void rig_start(struct rig *r, const char *name)
{
	char target[128];

	(void)snprintf(target, sizeof(target), "/v1/sandboxes/%s/start", name);
	if (rig_ask(r, "POST", target, NULL, NULL) != 200) {
		print_error("start: %s\n", rig_str(js_get(last, "error"), "message"));
		fail();
	}
	assert_string_equal(rig_str(last, "status"), "running");
}

const char *rig_status(struct rig *r, const char *name)
{
	static char word[32];
	char target[128];

	(void)snprintf(target, sizeof(target), "/v1/sandboxes/%s", name);
	if (rig_ask(r, "GET", target, NULL, NULL) == 404)
		return "gone";
	(void)snprintf(word, sizeof(word), "%s", rig_str(last, "status"));
	return word;
}

void rig_wait_status(struct rig *r, const char *name, const char *status)
{
	int64_t deadline = clock_ms() + 5000;

	while (strcmp(rig_status(r, name), status) != 0 && clock_ms() < deadline)
		(void)poll(NULL, 0, 10);
	assert_string_equal(rig_status(r, name), status);
}

const char *rig_id(struct rig *r, const char *name)
{
	static char id[40];
	char target[128];

	(void)snprintf(target, sizeof(target), "/v1/sandboxes/%s", name);
	assert_int_equal(rig_ask(r, "GET", target, NULL, NULL), 200);
	(void)snprintf(id, sizeof(id), "%s", rig_str(last, "id"));
	return id;
}

/* has_open() - does the process have that file open? */
static bool has_open(const char *pid, const struct stat *want)
{
	char fds[300];
	struct dirent *de;
	bool found = false;
	DIR *d;

	(void)snprintf(fds, sizeof(fds), "/proc/%s/fd", pid);
	d = opendir(fds);
	while (d && (de = readdir(d))) {
		struct stat have;

		found |= fstatat(dirfd(d), de->d_name, &have, 0) == 0 &&
			 have.st_ino == want->st_ino && have.st_dev == want->st_dev;
	}
	if (d)
		closedir(d);
	return found;
}

pid_t rig_machine(struct rig *r, const char *name)
{
	char path[256];
	struct dirent *de;
	struct stat want;
	pid_t pid = 0;
	DIR *proc;

	(void)snprintf(
		path, sizeof(path), "%s/state/sandboxes/%s/machine.lock", r->dir, rig_id(r, name));
	if (stat(path, &want) < 0)
		return 0; /* never started */
	proc = opendir("/proc");
	while (proc && (de = readdir(proc)))
		if (de->d_name[0] >= '1' && de->d_name[0] <= '9' &&
			atol(de->d_name) != (long)r->sbxd && has_open(de->d_name, &want))
			pid = (pid_t)atol(de->d_name);
	if (proc)
		closedir(proc);
	return pid;
}
