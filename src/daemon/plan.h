/* plan.h - what was asked, resolved once into an immutable, hashed plan
 *
 * plan_resolve() reads kit, image, workspaces and defaults; plan_load() reads the JSON that came out
 * of it, strictly, and is the only way to a struct plan: what runs is what was written down. All
 * strings are borrowed from the JSON, which the plan owns. Never changed after it was made: any
 * thread may read it.
 */
#ifndef DAEMON_PLAN_H
#define DAEMON_PLAN_H
#include "base/buf.h"
#include "base/paths.h"
#include "image/store.h"
#include "json/json.h"
#include "machine/plan.h"
#include "store/hash.h"
#include <stdbool.h>
#include <stdint.h>

#define PLAN_TEXT_MAX	    (1U << 20)
#define PLAN_ENV_MAX	    512
#define PLAN_ARGV_MAX	    1024
#define PLAN_GUEST_USER	    "agent"
#define PLAN_GUEST_UID	    1000
#define PLAN_GUEST_HOME	    "/home/agent"
#define PLAN_CPUS_DEFAULT   4
#define PLAN_MEMORY_MIN	    (256ULL << 20)
#define PLAN_MEMORY_DEFAULT (2ULL << 30)
#define PLAN_DISK_MIN	    (1ULL << 30)
#define PLAN_DISK_MAX	    (4ULL << 40)
#define PLAN_DISK_DEFAULT   (20ULL << 30)

struct plan_workspace {
	const char *path; /* as asked: where it appears in the guest */
	const char *host; /* without symbolic links: what is opened at each start */
	bool read_only, is_file;
	uint64_t dev, ino, fsid; /* what stood there when it was approved */
};

struct plan {
	struct js *json;
	char hash[HASH_HEX]; /* SHA-256 of the canonical JSON */
	const char *name, *agent, *isolation;
	const char *image_id, *image_name, *root_digest, *kernel_digest;
	uint32_t cpus;
	uint64_t memory_bytes, disk_bytes;
	struct plan_workspace workspaces[MACHINE_EXPORTS_MAX];
	size_t n_workspaces;
	const char *masks[MACHINE_MASKS_MAX]; /* names whose contents no share shows */
	size_t n_masks;
	const char *cwd, *user, *home;
	uint32_t uid, gid;
	const struct js *env; /* object of strings */
	const struct js *argv, *argv_interactive, *notes; /* arrays of strings */
	const struct js *policy; /* array of rules (rules.h); NULL: none */
};

/* What the kit puts into the guest on the first start; not part of the JSON but of its digests. */
struct plan_files {
	struct buf home_tar, setup_tar;
};
void plan_files_init(struct plan_files *f);
void plan_files_fini(struct plan_files *f);
void plan_files_auto(struct plan_files *f);

/* What the host has; separate, so that tests can choose. */
struct plan_host {
	uint32_t cpus;
	uint64_t memory_bytes;
};
void plan_host_find(struct plan_host *ret);

/* plan_resolve() - @create: the API's Create. Makes nothing on disk. @files may be NULL. */
int plan_resolve(const struct js *create, const struct paths *paths, const struct plan_host *host,
	struct plan **ret, struct plan_files *files, struct err *e) MUST_USE;
/* plan_load() - from its canonical JSON; -EINVAL, -EBADMSG */
int plan_load(const char *text, size_t len, struct plan **ret, struct err *e) MUST_USE;
/* plan_from() - takes @json, also on failure */
int plan_from(struct js *json, struct plan **ret, struct err *e) MUST_USE;
/* plan_text() - append the canonical JSON */
int plan_text(const struct plan *p, struct buf *out) MUST_USE;
void plan_free(struct plan *p);

/* ---- workspace.c ---- */

/* What plan_workspace_check() found out about a path that somebody wants to share. */
struct plan_place {
	char host[PATH_MAX];
	bool is_file;
	uint64_t dev, ino, fsid;
	char note[256]; /* what the person should know; "" mostly */
};
/* plan_within() - is @path @dir or beneath it? Both absolute and clean. */
bool plan_within(const char *path, const char *dir);
/* plan_workspace_check() - open, look, and judge: absolute, there, directory or regular file, local
 * file system, not a directory of the system, not around, inside or equal to the state or cache
 */
int plan_workspace_check(const char *path, const struct paths *paths, struct plan_place *ret,
	struct err *e) MUST_USE;
/* plan_workspace_open() - O_PATH descriptor, only if the very same object still stands there */
int plan_workspace_open(const struct plan_workspace *w, struct err *e) MUST_USE;
#endif
