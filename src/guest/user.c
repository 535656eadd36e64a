#include "guest/user.h"
#include "base/io.h"
#include "guest/sys.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define FILE_MAX (1 << 20)

/* next_line() - the next line of @text, terminated in place; NULL at the end */
static char *next_line(char **text)
{
	char *line = *text, *end;

	if (!line || !*line)
		return NULL;
	end = strchr(line, '\n');
	*text = end ? end + 1 : NULL;
	if (end)
		*end = '\0';
	return line;
}

/* split() - cut @line at colons into up to @max fields; returns how many there are */
static size_t split(char *line, char **fields, size_t max)
{
	size_t n = 0;

	while (n < max) {
		fields[n++] = line;
		line = strchr(line, ':');
		if (!line)
			break;
		*line++ = '\0';
	}
	return n;
}

static bool get_id(const char *s, unsigned *ret)
{
	unsigned long v = 0;

	if (!*s || strlen(s) > 10)
		return false;
	for (; *s; s++) {
		if (*s < '0' || *s > '9')
			return false;
		v = v * 10 + (unsigned long)(*s - '0');
	}
	if (v > 0xfffffffeul)
		return false;
	*ret = (unsigned)v;
	return true;
}

static int read_etc(const char *etc, const char *name, struct buf *out)
{
	char path[PATH_MAX];

	buf_init(out, FILE_MAX);
	if (snprintf(path, sizeof(path), "%s/%s", etc, name) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	return io_read_file(AT_FDCWD, path, out);
}

static void copy(char *dst, size_t cap, const char *src)
{
	(void)snprintf(dst, cap, "%s", src);
}

/* by_entry() - fill @u from the passwd line of @name, or when it is NULL of number @uid */
static bool by_entry(const char *etc, const char *name, uid_t uid, struct user *u)
{
	char *text, *line, *f[7];
	unsigned id, gid;
	AUTO(buf) b;

	if (read_etc(etc, "passwd", &b) < 0 || b.len == 0)
		return false;
	text = b.data;
	while ((line = next_line(&text))) {
		if (split(line, f, 7) < 7 || !get_id(f[2], &id) || !get_id(f[3], &gid))
			continue;
		if (name ? strcmp(f[0], name) != 0 : id != uid)
			continue;
		copy(u->name, sizeof(u->name), f[0]);
		copy(u->home, sizeof(u->home), f[5][0] == '/' ? f[5] : "/");
		copy(u->shell, sizeof(u->shell), f[6][0] == '/' ? f[6] : "/bin/sh");
		u->uid = id;
		u->gid = gid;
		return true;
	}
	return false;
}

static bool is_member(char *members, const char *name)
{
	size_t len = strlen(name);

	while (*members) {
		size_t n = strcspn(members, ",");

		if (n == len && memcmp(members, name, n) == 0)
			return true;
		members += n + (members[n] == ',');
	}
	return false;
}

static void add_groups(const char *etc, struct user *u)
{
	char *text, *line, *f[4];
	unsigned gid;
	AUTO(buf) b;
	int r = read_etc(etc, "group", &b);

	u->groups[0] = u->gid;
	u->n_groups = 1;
	if (r < 0 || b.len == 0 || !u->name[0])
		return;
	text = b.data;
	while ((line = next_line(&text)) && u->n_groups < SPAWN_GROUPS_MAX) {
		if (split(line, f, 4) < 4 || !get_id(f[2], &gid) || gid == u->gid)
			continue;
		if (is_member(f[3], u->name))
			u->groups[u->n_groups++] = gid;
	}
}

static bool group_exists(const char *etc, gid_t gid)
{
	char *text, *line, *f[4];
	unsigned id;
	AUTO(buf) b;

	if (read_etc(etc, "group", &b) < 0 || b.len == 0)
		return false;
	text = b.data;
	while ((line = next_line(&text)))
		if (split(line, f, 4) >= 3 && get_id(f[2], &id) && id == gid)
			return true;
	return false;
}

static void from_setup(const struct agent_setup *setup, struct user *u)
{
	copy(u->name, sizeof(u->name), setup->user);
	copy(u->home, sizeof(u->home), setup->home[0] ? setup->home : "/");
	copy(u->shell, sizeof(u->shell), "/bin/sh");
	u->uid = setup->uid;
	u->gid = setup->gid;
}

static int by_number(const char *etc, const char *spec, const struct agent_setup *setup,
	struct user *u, struct err *e)
{
	const char *colon = strchr(spec, ':');
	char first[16];
	unsigned uid, gid;

	(void)snprintf(first, sizeof(first), "%.*s", colon ? (int)(colon - spec) : 15, spec);
	if (!get_id(first, &uid) || (colon && !get_id(colon + 1, &gid)))
		return err_set(e, ERR_INVALID, -EINVAL,
			"user '%s' is neither a name nor uid or uid:gid", spec);
	if (!by_entry(etc, NULL, uid, u)) {
		if (setup->user[0] && uid == setup->uid) {
			from_setup(setup, u);
		} else {
			copy(u->home, sizeof(u->home), "/");
			copy(u->shell, sizeof(u->shell), "/bin/sh");
			u->uid = u->gid = uid;
		}
	}
	if (colon)
		u->gid = gid;
	return 0;
}

int user_find(const char *etc, const char *spec, const struct agent_setup *setup,
	struct user *ret_u, struct err *e)
{
	const char *name = spec[0] ? spec : setup->user;
	struct user u = {0};
	int r;

	if (name[0] >= '0' && name[0] <= '9') {
		r = by_number(etc, name, setup, &u, e);
		if (r < 0)
			return r;
	} else if (!name[0]) {
		from_setup(setup, &u); /* before any set-up: tests */
	} else if (!by_entry(etc, name, 0, &u)) {
		if (strcmp(name, setup->user) == 0)
			from_setup(setup, &u);
		else if (strcmp(name, "root") == 0)
			u = (struct user){.name = "root", .home = "/root", .shell = "/bin/sh"};
		else
			return err_set(
				e, ERR_NOT_FOUND, -ENOENT, "no user '%s' in the sandbox", name);
	}
	add_groups(etc, &u);
	*ret_u = u;
	return 0;
}

/* add_line() - append to a file of /etc, which is made when it is missing */
static int add_line(const char *path, mode_t mode, const char *line)
{
	AUTO_FD fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, mode);
	char last = '\n';
	off_t size;

	if (fd < 0 && (errno == ENOENT || errno == ELOOP) && unlink(path) == 0) /* it led nowhere */
		fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, mode);
	if (fd < 0)
		return -errno;
	size = lseek(fd, 0, SEEK_END);
	if (size > 0 && pread(fd, &last, 1, size - 1) == 1 && last != '\n' &&
		io_write_full(fd, "\n", 1, IO_FOREVER) < 0)
		return -EIO;
	return io_write_full(fd, line, strlen(line), IO_FOREVER);
}

static int add_entries(const struct agent_setup *m, const struct user *known)
{
	const char *shell = access("/bin/bash", X_OK) == 0 ? "/bin/bash" : "/bin/sh";
	char line[512];
	struct user u;
	int r = 0;

	if (!known) {
		(void)snprintf(line, sizeof(line), "%s:x:%u:%u::%s:%s\n", m->user, m->uid, m->gid,
			m->home, shell);
		r = add_line("/etc/passwd", 0644, line);
		if (r == 0 && access("/etc/shadow", F_OK) == 0) {
			(void)snprintf(line, sizeof(line), "%s:*:19000:0:99999:7:::\n", m->user);
			r = add_line("/etc/shadow", 0640, line);
		}
	}
	if (r == 0 && !group_exists("/etc", m->gid)) {
		(void)snprintf(line, sizeof(line), "%s:x:%u:\n", m->user, m->gid);
		r = add_line("/etc/group", 0644, line);
	}
	if (r == 0 && !by_entry("/etc", "root", 0, &u))
		r = add_line("/etc/passwd", 0644, "root:x:0:0:root:/root:/bin/sh\n");
	return r;
}

static int let_sudo(const struct agent_setup *m)
{
	char path[128], line[192];

	if (access("/usr/bin/sudo", F_OK) < 0)
		return 0;
	(void)snprintf(path, sizeof(path), "/etc/sudoers.d/sbx-%s", m->user);
	if (access(path, F_OK) == 0)
		return 0;
	(void)mkdir("/etc/sudoers.d", 0750);
	/* By number, too: an image may know the number under another name, which sudo finds first. */
	(void)snprintf(line, sizeof(line),
		"%s ALL=(ALL:ALL) NOPASSWD: ALL\n#%u ALL=(ALL:ALL) NOPASSWD: ALL\n", m->user,
		m->uid);
	return sys_write_file(path, line, 0440);
}

int user_add(const struct agent_setup *m, struct err *e)
{
	struct user u;
	bool known;
	int r;

	if (!m->user[0] || strcmp(m->user, "root") == 0)
		return 0;
	if (strpbrk(m->user, ":\n/") || strpbrk(m->home, ":\n") || m->home[0] != '/')
		return err_set(e, ERR_INVALID, -EINVAL, "the user's name or home is malformed");
	(void)mkdir("/etc", 0755);
	known = by_entry("/etc", m->user, 0, &u);
	if (known && u.uid != m->uid)
		return err_set(e, ERR_CONFLICT, -EEXIST,
			"the image has a user '%s' with uid %u instead of %u", m->user, u.uid,
			m->uid);
	r = add_entries(m, known ? &u : NULL);
	if (r == 0)
		r = sys_mkdirs(m->home, m->home, m->uid, m->gid);
	if (r == 0)
		r = let_sudo(m);
	return r < 0 ? err_sys(e, r, "make user '%s'", m->user) : 0;
}
