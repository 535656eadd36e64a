#include "machine/emulated.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* Where distributions keep QEMU's parts. The module directory is that of a QEMU built with modules
 * (Debian); elsewhere TCG is part of the program.
 */
static const char *const firmware_dirs[] = {"/usr/share/qemu", "/usr/share/seabios",
	"/usr/local/share/qemu", "/usr/share/qemu-firmware"};
static const char *const module_dirs[] = {"/usr/lib/x86_64-linux-gnu/qemu", "/usr/lib64/qemu",
	"/usr/lib/qemu", "/usr/local/lib/qemu"};
static const char *const firmware[] = {"bios-256k.bin", "linuxboot_dma.bin", "pvh.bin"};

static const char *keep_text(struct emulated_files *f, const char *a, const char *b)
{
	char *at = f->text + f->text_len;
	size_t cap = sizeof(f->text) - f->text_len;
	int n = snprintf(at, cap, "%s/%s", a, b);

	if (n < 0 || (size_t)n >= cap)
		return NULL;
	f->text_len += (size_t)n + 1;
	return at;
}

static int add(struct emulated_files *f, const char *inside, const char *host, int copy_fd)
{
	if (f->n == JAIL_FILES_MAX || !inside)
		return -ENOSPC;
	f->file[f->n++] = (struct jail_file){.inside = inside, .host = host, .copy_fd = copy_fd};
	return 0;
}

/* add_found() - @name from the first of @dirs that has it, as @into/@name; -ENOENT */
static int add_found(struct emulated_files *f, const char *const *dirs, size_t n_dirs,
	const char *name, const char *into)
{
	struct stat st;

	for (size_t i = 0; i < n_dirs; i++) {
		size_t before = f->text_len;
		const char *host = keep_text(f, dirs[i], name);

		if (host && stat(host, &st) == 0)
			return add(f, keep_text(f, into, name), host, -1);
		f->text_len = before;
	}
	return -ENOENT;
}

/* name_lib_dirs() - where the loader shall look: its own cache would name all of the host's libraries */
static int name_lib_dirs(struct emulated_files *f)
{
	char seen[sizeof(f->lib_dirs) - 16] = ":"; /* ":/a:/b:" */
	size_t at = 1;

	for (size_t i = 0; i < f->libs.n; i++) {
		const char *path = f->libs.path[i];
		int len = (int)(strrchr(path, '/') - path);
		char dir[PATH_MAX];

		if (snprintf(dir, sizeof(dir), ":%.*s:", len, path) >= (int)sizeof(dir))
			return -ENAMETOOLONG;
		if (strstr(seen, dir))
			continue;
		if (at + (size_t)len + 32 > sizeof(seen))
			return -ENOSPC;
		at += (size_t)snprintf(seen + at, sizeof(seen) - at, "%s", dir + 1);
	}
	if (at > 1) {
		seen[at - 1] = '\0';
		(void)snprintf(f->lib_dirs, sizeof(f->lib_dirs), "LD_LIBRARY_PATH=%s", seen + 1);
	}
	return 0;
}

int emulated_files_find(struct emulated_files *f, const struct machine_plan *p, struct err *e)
{
	int r;

	r = jail_libs_find(p->qemu, &f->libs, e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < f->libs.n && r == 0; i++)
		r = add(f, f->libs.path[i] + 1, f->libs.path[i], -1);
	if (r == 0)
		r = name_lib_dirs(f);
	for (size_t i = 0; i < ARRAY_LEN(firmware) && r == 0; i++) {
		r = add_found(f, firmware_dirs, ARRAY_LEN(firmware_dirs), firmware[i], "firmware");
		if (r == -ENOENT) {
			(void)err_set(e, ERR_UNAVAILABLE, r, "QEMU's firmware '%s' is missing",
				firmware[i]);
			err_hint(e, "apt-get install qemu-system-x86 seabios");
			return r;
		}
	}
	if (r == 0)
		r = add_found(
			f, module_dirs, ARRAY_LEN(module_dirs), "accel-tcg-x86_64.so", "modules");
	if (r == -ENOENT)
		r = 0;
	/* Copies: the engine's user may not be able to open the originals. */
	if (r == 0)
		r = add(f, "kernel", NULL, p->kernel_fd);
	if (r == 0)
		r = add(f, "initrd", NULL, p->initrd_fd);
	return r < 0 ? err_sys(e, r, "collect the files QEMU needs") : 0;
}

void emulated_files_fini(struct emulated_files *f)
{
	jail_libs_auto(&f->libs);
}
