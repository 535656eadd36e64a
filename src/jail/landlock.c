#include "jail/landlock.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* Rights that came after the headers we are built with; by ABI. */
#define ACCESS_REFER	 (1ULL << 13) /* 2 */
#define ACCESS_TRUNCATE	 (1ULL << 14) /* 3 */
#define ACCESS_IOCTL_DEV (1ULL << 15) /* 5 */
#define NET_BIND_TCP	 (1ULL << 0) /* 4 */
#define NET_CONNECT_TCP	 (1ULL << 1)

#define FS_READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
/* No device nodes, sockets or pipes: the file server makes none. */
#define FS_WRITE                                                                                   \
	(LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |                           \
		LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_DIR |                     \
		LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SYM | ACCESS_REFER |         \
		ACCESS_TRUNCATE)
#define FS_FILE_ONLY                                                                               \
	(LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE |                            \
		LANDLOCK_ACCESS_FS_EXECUTE | ACCESS_TRUNCATE)

/* The kernel's struct as of ABI 4; older ones take a prefix. Scopes (ABI 6) are not asked for: the
 * pid and net namespaces keep signals and abstract sockets in, and the machine must end its engine.
 */
struct ruleset {
	uint64_t fs, net;
};

int jail_landlock_abi(void)
{
	long r = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

	return r > 0 ? (int)r : 0;
}

static uint64_t fs_rights(int abi)
{
	uint64_t all = (1ULL << 13) - 1;

	if (abi >= 2)
		all |= ACCESS_REFER;
	if (abi >= 3)
		all |= ACCESS_TRUNCATE;
	if (abi >= 5)
		all |= ACCESS_IOCTL_DEV;
	return all;
}

static int add(int ruleset, int fd, uint64_t rights)
{
	struct landlock_path_beneath_attr a = {.parent_fd = fd, .allowed_access = rights};
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISDIR(st.st_mode))
		a.allowed_access &= FS_FILE_ONLY;
	if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &a, 0) < 0)
		return -errno;
	return 0;
}

static int new_ruleset(int abi)
{
	struct ruleset rs = {.fs = fs_rights(abi)};
	int fd;

	if (abi == 0)
		return -EOPNOTSUPP;
	if (abi >= 4)
		rs.net = NET_BIND_TCP | NET_CONNECT_TCP;
	fd = (int)syscall(SYS_landlock_create_ruleset, &rs, abi >= 4 ? 16 : 8, 0);
	return fd < 0 ? -errno : fd;
}

int jail_landlock_dialling(void)
{
	int abi = jail_landlock_abi();
	struct ruleset rs = {.fs = fs_rights(abi), .net = abi >= 4 ? NET_BIND_TCP : 0};
	int fd;

	if (abi == 0)
		return -EOPNOTSUPP;
	fd = (int)syscall(
		SYS_landlock_create_ruleset, &rs, abi >= 4 ? sizeof(rs) : sizeof(rs.fs), 0);
	return fd < 0 ? -errno : fd;
}

int jail_landlock_make(const struct jail_beneath *list, size_t n)
{
	int abi = jail_landlock_abi();
	AUTO_FD fd = new_ruleset(abi);

	if (fd < 0)
		return fd;
	for (size_t i = 0; i < n; i++) {
		int r = add(fd, list[i].fd,
			(FS_READ | (list[i].write ? FS_WRITE : 0)) & fs_rights(abi));

		if (r < 0)
			return r;
	}
	return TAKE_FD(fd);
}

int jail_landlock_root(int program)
{
	AUTO_FD fd = new_ruleset(jail_landlock_abi());
	AUTO_FD root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int r;

	if (fd < 0)
		return fd;
	if (root < 0)
		return -errno;
	r = add(fd, root, FS_READ | LANDLOCK_ACCESS_FS_EXECUTE);
	if (r == 0)
		r = add(fd, program, FS_READ | LANDLOCK_ACCESS_FS_EXECUTE);
	return r < 0 ? r : jail_landlock_enter(fd);
}

int jail_landlock_enter(int ruleset)
{
	return syscall(SYS_landlock_restrict_self, ruleset, 0) < 0 ? -errno : 0;
}
