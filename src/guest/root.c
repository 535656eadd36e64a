#include "guest/root.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "guest/sys.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MODULES		  "/modules"
#define DISK_WAIT_MS	  3000
#define CONTAINERS_WAIT_S 2
#define SQUASHFS_MAGIC	  "hsqs"
#define EROFS_MAGIC	  "\xe2\xe1\xf5\xe0"
#define EROFS_AT	  1024

/* In the initramfs; unreachable once the root has been switched. */
#define LOWER	"/lower"
#define SCRATCH "/scratch"
#define ROOT	"/root"

int root_early(struct err *e)
{
	int r;

	(void)umask(022);
	(void)mkdir("/dev", 0755);
	(void)mkdir("/sys", 0755);
	r = sys_mount("dev", "/dev", "devtmpfs", MS_NOSUID, "mode=755", e);
	return r < 0 ? r
		     : sys_mount("sys", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL, e);
}

enum when { NOW, WITH_EROFS, AFTER_READY };

/* Each costs some 10 to 40 ms of an emulated start. */
static const struct {
	const char *name;
	enum when when;
} waits[] = {
	{"libcrc32c.ko", WITH_EROFS},
	{"erofs.ko", WITH_EROFS},
	{"virtio_balloon.ko", AFTER_READY},
	{"virtio_console.ko", AFTER_READY},
	{"virtio_rng.ko", AFTER_READY},
};

/* Of /modules/later, what the guest's network is made of. */
static const char *const net_modules[] = {"nfnetlink.ko", "nf_tables.ko", "nf_defrag_ipv4.ko",
	"nf_defrag_ipv6.ko", "nf_conntrack.ko", "nf_nat.ko", "nft_chain_nat.ko", "nft_redir.ko"};

static struct {
	int dir; /* of the modules, which has no path any more once the root was switched */
	struct buf order;
} modules = {.dir = -1};

static enum when when_needed(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(waits); i++)
		if (strcmp(waits[i].name, name) == 0)
			return waits[i].when;
	return NOW;
}

static void load_module(const char *name, const char *options)
{
	AUTO_FD fd = openat(modules.dir, name, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (syscall(SYS_finit_module, fd, options, 0) < 0 && errno != EEXIST)
		log_warn("module %s: %s", name, strerror(errno));
	(void)unlinkat(modules.dir, name, 0); /* the initramfs is memory */
}

static void load_list(const struct buf *list, enum when when)
{
	char name[128];

	for (const char *line = buf_str(list); *line;) {
		size_t n = strcspn(line, "\n");

		(void)snprintf(name, sizeof(name), "%.*s", (int)n, line);
		if (name[0] && name[0] != '#' && !strchr(name, '/') && when_needed(name) == when)
			load_module(name, "");
		line += n + (line[n] == '\n');
	}
}

static void load_those(enum when when)
{
	load_list(&modules.order, when);
}

int root_load_modules(struct err *e)
{
	int r;

	buf_init(&modules.order, 65536);
	modules.dir = open(MODULES, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (modules.dir < 0)
		return errno == ENOENT ? 0 : err_sys(e, -errno, "open '%s'", MODULES);
	r = io_read_file(modules.dir, "order", &modules.order);
	if (r < 0)
		return r == -ENOENT ? 0 : err_sys(e, r, "read the list of modules");
	load_those(NOW);
	return 0;
}

/* In the order in which they depend on each other, which /modules/later is in, too. */
void root_load_net(void)
{
	if (modules.dir < 0)
		return;
	load_module("libcrc32c.ko", "");
	for (size_t i = 0; i < ARRAY_LEN(net_modules); i++)
		load_module(net_modules[i], "");
	load_module("dummy.ko", "numdummies=0");
}

/* load_containers() - bridges, veth pairs and what iptables asks for: programs inside cannot load them,
 * the files are not theirs. Not in the first moments, which belong to what the sandbox was started for.
 */
static void load_containers(void)
{
	AUTO(buf) later = {0};

	buf_init(&later, 65536);
	sleep(CONTAINERS_WAIT_S);
	sys_try(nice(19));
	if (io_read_file(modules.dir, "later", &later) == 0)
		load_list(&later, NOW);
}

void root_load_rest(void)
{
	if (modules.dir < 0 || fork() != 0)
		return;
	load_those(AFTER_READY);
	load_containers();
	_exit(0);
}

static bool has_serial(const char *disk, const char *serial)
{
	char path[PATH_MAX];
	AUTO(buf) b;

	buf_init(&b, 64);
	(void)snprintf(path, sizeof(path), "/sys/block/%.64s/serial", disk);
	if (io_read_file(AT_FDCWD, path, &b) < 0 || b.len == 0)
		return false;
	while (b.len && (b.data[b.len - 1] == '\n' || b.data[b.len - 1] == ' '))
		b.data[--b.len] = '\0';
	return strcmp(b.data, serial) == 0;
}

static bool look_for_disk(const char *serial, char dst[64])
{
	DIR *d = opendir("/sys/block");
	struct dirent *entry;
	bool found = false;

	while (d && !found && (entry = readdir(d))) {
		if (strncmp(entry->d_name, "vd", 2) != 0 || !has_serial(entry->d_name, serial))
			continue;
		(void)snprintf(dst, 64, "/dev/%.50s", entry->d_name);
		found = access(dst, F_OK) == 0;
	}
	if (d)
		closedir(d);
	return found;
}

static int find_disk(const char *serial, char dst[64], struct err *e)
{
	int64_t deadline = clock_ms() + DISK_WAIT_MS;

	while (!look_for_disk(serial, dst)) {
		if (clock_left(deadline) == 0)
			return err_set(e, ERR_NOT_FOUND, -ENOENT,
				"there is no disk with the serial '%s'", serial);
		usleep(10000);
	}
	return 0;
}

/* image_type() - NULL when the disk holds neither of the two */
static const char *image_type(const char *disk)
{
	AUTO_FD fd = open(disk, O_RDONLY | O_CLOEXEC);
	char start[EROFS_AT + 4] = {0};

	if (fd < 0 || pread(fd, start, sizeof(start), 0) != (ssize_t)sizeof(start))
		return NULL;
	if (memcmp(start, SQUASHFS_MAGIC, 4) == 0)
		return "squashfs";
	return memcmp(start + EROFS_AT, EROFS_MAGIC, 4) == 0 ? "erofs" : NULL;
}

static int mount_disks(struct err *e)
{
	const char *type;
	char disk[64];
	int r;

	(void)mkdir(LOWER, 0755);
	(void)mkdir(SCRATCH, 0755);
	(void)mkdir(ROOT, 0755);
	r = find_disk("root", disk, e);
	if (r < 0)
		return r;
	type = image_type(disk);
	if (!type)
		return err_set(e, ERR_INVALID, -EINVAL,
			"the root image is neither squashfs nor erofs: it is damaged");
	if (strcmp(type, "erofs") == 0)
		load_those(WITH_EROFS);
	r = sys_mount(disk, LOWER, type, MS_RDONLY | MS_NOATIME, NULL, e);
	if (r == 0)
		r = find_disk("scratch", disk, e);
	/* Tables are written as they are used: an idle sandbox has nothing to do. */
	return r < 0 ? r : sys_mount(disk, SCRATCH, "ext4", MS_NOATIME, "noinit_itable", e);
}

static int mount_overlay(struct err *e)
{
	if ((mkdir(SCRATCH "/upper", 0755) < 0 && errno != EEXIST) ||
		(mkdir(SCRATCH "/work", 0755) < 0 && errno != EEXIST))
		return err_sys(e, -errno, "prepare the scratch disk");
	return sys_mount("root", ROOT, "overlay", MS_NOATIME,
		"lowerdir=" LOWER ",upperdir=" SCRATCH "/upper,workdir=" SCRATCH
		"/work,redirect_dir=on",
		e);
}

struct mounted {
	const char *what, *where, *type, *options;
	unsigned long flags;
	bool needed;
};

/* Made in the new root before it is entered. Order: a mount point lies in what stands above. */
static const struct mounted mounts[] = {
	{"proc", ROOT "/proc", "proc", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC, true},
	{"/sys", ROOT "/sys", NULL, NULL, MS_MOVE, true},
	{"/dev", ROOT "/dev", NULL, NULL, MS_MOVE, true},
	{"pts", ROOT "/dev/pts", "devpts", "gid=5,mode=620,ptmxmode=666", MS_NOSUID | MS_NOEXEC,
		true},
	{"shm", ROOT "/dev/shm", "tmpfs", "mode=1777", MS_NOSUID | MS_NODEV, true},
	{"run", ROOT "/run", "tmpfs", "mode=755", MS_NOSUID | MS_NODEV, true},
	{"cgroup", ROOT "/sys/fs/cgroup", "cgroup2", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC, false},
};

static int mount_all(struct err *e)
{
	for (size_t i = 0; i < ARRAY_LEN(mounts); i++) {
		const struct mounted *m = &mounts[i];
		int r;

		if (mkdir(m->where, 0755) < 0 && errno != EEXIST && m->needed)
			return err_sys(e, -errno, "make '%s'", m->where + strlen(ROOT));
		r = sys_mount(
			m->what, m->where, m->type, m->flags, m->options, m->needed ? e : NULL);
		if (r < 0 && m->needed)
			return r;
	}
	return 0;
}

static int switch_root(struct err *e)
{
	if (chdir(ROOT) < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 ||
		chdir("/") < 0)
		return err_sys(e, -errno, "enter the new root");
	return 0;
}

static int make_places(struct guest *g, struct err *e)
{
	static const char *const links[][2] = {{"/proc/self/fd", "/dev/fd"},
		{"/proc/self/fd/0", "/dev/stdin"}, {"/proc/self/fd/1", "/dev/stdout"},
		{"/proc/self/fd/2", "/dev/stderr"}, {"pts/ptmx", "/dev/ptmx"}};

	(void)unlink("/dev/ptmx"); /* the kernel's own node works too, but only by luck of place */
	for (size_t i = 0; i < ARRAY_LEN(links); i++)
		if (symlink(links[i][0], links[i][1]) < 0 && errno != EEXIST)
			return err_sys(e, -errno, "make '%s'", links[i][1]);
	(void)chmod("/dev/fuse", 0666); /* what distributions do by udev */
	if (mkdir("/tmp", 01777) == 0)
		(void)chmod("/tmp", 01777);
	(void)mkdir("/run/lock", 0755);
	(void)chmod("/run/lock", 01777);
	g->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	g->pts_fd = open("/dev/pts", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (g->null_fd < 0 || g->pts_fd < 0)
		return err_sys(e, -errno, "open '/dev/null' and '/dev/pts'");
	return 0;
}

int root_enter(struct guest *g, struct err *e)
{
	int r = mount_disks(e);

	if (r == 0)
		r = mount_overlay(e);
	if (r < 0)
		return r;
	g->scratch_fd = open(SCRATCH, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (g->scratch_fd < 0)
		return err_sys(e, -errno, "open the scratch disk");
	r = mount_all(e);
	if (r == 0)
		r = switch_root(e);
	return r < 0 ? r : make_places(g, e);
}
