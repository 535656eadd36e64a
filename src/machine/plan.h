/* plan.h - what sbxd tells sbx-machine: the machine to run and where its descriptors are
 *
 * Written by sbxd into a sealed memfd that sbx-machine finds as descriptor MACHINE_PLAN_FD; every
 * other descriptor is inherited and named by number here. Wire form, versioned; decoded strictly.
 * The paths of host programs in it come from the daemon's own installation, never from a workspace.
 */
#ifndef MACHINE_PLAN_H
#define MACHINE_PLAN_H
#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MACHINE_PLAN_FD	     3
#define MACHINE_PLAN_VERSION 2
#define MACHINE_PLAN_BYTES   (64u << 10) /* no encoded plan is longer */
#define MACHINE_EXPORTS_MAX  64
#define MACHINE_TAIL_MAX     128
#define MACHINE_MASKS_MAX    32
#define MACHINE_MASK_MAX     256

enum machine_engine { MACHINE_EMULATED = 1, MACHINE_KVM = 2 };

/* One shared directory or file. The descriptor is O_PATH and was checked against the plan's
 * (dev, ino) by sbxd; the file server never resolves its path again.
 */
struct machine_export {
	int fd;
	bool read_only;
	bool is_file;
	/* Whole last components of its path on the host, as many as fit: for rules about names. */
	char tail[MACHINE_TAIL_MAX];
};

struct machine_plan {
	char id[33];
	enum machine_engine engine;
	uint32_t cpus;
	uint64_t memory_bytes;
	uint32_t guest_uid, guest_gid; /* whom the guest sees as owner of the daemon user's files */
	int dir_fd; /* sandbox's directory: link.sock is bound in it before the jail closes */
	int lock_fd; /* flock'ed: held as long as machine or engine lives */
	int kernel_fd, initrd_fd;
	int root_fd; /* read-only root image */
	int scratch_fd; /* read-write raw disk */
	int console_fd; /* console log, read-write; machine keeps it within console_max bytes */
	uint64_t console_max_bytes;
	char qemu[256]; /* emulated: the program */
	uint32_t max_open_files; /* host descriptors of the file server */
	struct machine_export exports[MACHINE_EXPORTS_MAX];
	size_t n_exports;
	/* Patterns (virtio/fs_pattern.h) of what no share shows the contents of. */
	char masks[MACHINE_MASKS_MAX][MACHINE_MASK_MAX];
	size_t n_masks;
};

/* machine_tail() - the last components of @path that fit */
void machine_tail(const char *path, char dst[MACHINE_TAIL_MAX]);
/* machine_plan_encode() - into @dst (@cap bytes); returns bytes or -ENOSPC */
long machine_plan_encode(void *dst, size_t cap, const struct machine_plan *p) MUST_USE;
/* machine_plan_decode() - -EBADMSG when malformed or of another version */
int machine_plan_decode(const void *p, size_t len, struct machine_plan *ret_p) MUST_USE;
#endif
