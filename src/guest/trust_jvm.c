/* Where JVMs keep their stores: those of distributions in one place for all, others each in a directory
 * of its own. Only those that are there are written, links not (what they lead to is in the list).
 */
#include "guest/trust.h"
#include "base/io.h"
#include "base/log.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define STORE	 "cacerts"
#define HOMES	 "/home"
#define DIRS_MAX 1024 /* looked into at a start, whatever lies there */

static const char *const shared[] = {"/etc/ssl/certs/java", "/etc/ssl/certs/adoptium",
	"/etc/pki/java", "/etc/pki/ca-trust/extracted/java"};

/* Where JVMs lie, in it or (@deep) one directory further down. */
static const struct place {
	const char *dir;
	bool deep;
} places[] = {{"/usr/lib/jvm", false}, {"/usr/java", false}, {"/usr/local", true},
	{"/usr/local/lib/jvm", false}, {"/opt", true}},
  at_home[] = {{".sdkman/candidates/java", false}, {".jdks", false},
	  {".local/share/mise/installs/java", false}, {".asdf/installs/java", false}};

static const char *const below_jvm[] = {"lib/security", "jre/lib/security"};

struct search {
	const char *pem;
	unsigned looked; /* directories so far */
	size_t done; /* stores that are as they have to be */
};

static int rewrite(int dir, const char *pem)
{
	AUTO_FD fd = openat(dir, STORE, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	AUTO(buf) old = {0};
	AUTO(buf) new = {0};
	struct stat st;
	int r;

	if (fd < 0)
		return errno == ELOOP ? -ENOENT : -errno;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return -EBADMSG;
	buf_init(&old, TRUST_JAVA_MAX);
	buf_init(&new, TRUST_JAVA_MAX);
	r = io_read_fd(fd, &old);
	if (r == 0)
		r = trust_java_store(buf_str(&old), old.len, pem, &new);
	if (r < 0 || (old.len == new.len &&memcmp(old.data, new.data, new.len) == 0))
		return r;
	r = io_replace_file(dir, STORE, new.data, new.len, st.st_mode & 0777);
	return r < 0 || fchownat(dir, STORE, st.st_uid, st.st_gid, AT_SYMLINK_NOFOLLOW) == 0
		       ? r
		       : -errno;
}

static void store_in(struct search *s, int dir, const char *name)
{
	int r = rewrite(dir, s->pem);

	if (r == 0)
		s->done++;
	else if (r != -ENOENT)
		log_warn("the trust store of the JVM '%s' stays as it is: %s", name,
			r == -EKEYREJECTED ? "it has a password of its own" : strerror(-r));
}

static int open_dir(int at, const char *name)
{
	return openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static void look_at(struct search *s, int dir, const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(below_jvm); i++) {
		AUTO_FD security = open_dir(dir, below_jvm[i]);

		if (security >= 0)
			store_in(s, security, name);
	}
}

/* each_below() - @act for the directories in @dir, which is taken; links are none */
static void each_below(
	struct search *s, int dir, void (*act)(struct search *s, int dir, const char *name))
{
	DIR *d = dir < 0 ? NULL : fdopendir(dir);
	struct dirent *e;

	if (!d && dir >= 0)
		close(dir);
	while (d && s->looked < DIRS_MAX && (e = readdir(d))) {
		if (e->d_name[0] == '.' || (e->d_type != DT_DIR && e->d_type != DT_UNKNOWN))
			continue;
		AUTO_FD below = open_dir(dirfd(d), e->d_name);

		s->looked++;
		if (below >= 0)
			act(s, below, e->d_name);
	}
	if (d)
		closedir(d);
}

static void look_deep(struct search *s, int dir, const char *name)
{
	look_at(s, dir, name);
	each_below(s, open_dir(dir, "."), look_at);
}

static void look_home(struct search *s, int dir, const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(at_home); i++)
		each_below(s, open_dir(dir, at_home[i].dir), look_at);
	(void)name; /* stores are told apart by their JVM's */
}

static int open_below(const char *root, const char *path)
{
	char full[PATH_MAX];

	if (snprintf(full, sizeof(full), "%s%s", root, path) >= (int)sizeof(full))
		return -ENAMETOOLONG;
	return open_dir(AT_FDCWD, full);
}

size_t trust_java(const char *root, const char *pem)
{
	struct search s = {.pem = pem};

	for (size_t i = 0; i < ARRAY_LEN(shared); i++) {
		AUTO_FD dir = open_below(root, shared[i]);

		if (dir >= 0)
			store_in(&s, dir, shared[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(places); i++)
		each_below(
			&s, open_below(root, places[i].dir), places[i].deep ? look_deep : look_at);
	AUTO_FD own = open_below(root, "/root");

	if (own >= 0)
		look_home(&s, own, "/root");
	each_below(&s, open_below(root, HOMES), look_home);
	return s.done;
}
