/* plan.h - what was asked, resolved once into an immutable, hashed plan
 *
 * plan_resolve() reads kits, image, workspaces and defaults; plan_load() reads the JSON that came out
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

/* ---- what the kits say, in plan_kits.c ----
 * Every list is in the order of the composition and may be empty; plans of older versions have none of
 * it. Texts are borrowed from the JSON, lists are the plan's.
 */
#define PLAN_KITS_MAX	     38
#define PLAN_SURFACE_MAX     8192
#define PLAN_NETWORK_MAX     4096
#define PLAN_CREDENTIALS_MAX 256
#define PLAN_INJECTS_MAX     256
#define PLAN_NAMES_MAX	     64
#define PLAN_COMMANDS_MAX    512
#define PLAN_VOLUMES_MAX     64
#define PLAN_PLACED_MAX	     256
#define PLAN_PORTS_MAX	     64
#define PLAN_COMMAND_MAX     (256U << 10)

/* When a thing holds: always, only while the sandbox installs, or only after that. */
enum plan_phase { PLAN_ALWAYS, PLAN_INSTALL, PLAN_RUNTIME };

struct plan_kit {
	const char *name, *version, *origin, *digest; /* version NULL: not said */
	bool builtin;
};

/* A rule for POLICY_SOURCE_KIT. */
struct plan_network {
	const char *resource, *kit;
	bool deny;
	enum plan_phase phase; /* PLAN_RUNTIME does not occur */
};

/* Where a value goes: a header with a format that has one %s, or Basic with a username; neither:
 * where services/SERVICE.yaml puts it.
 */
struct plan_inject {
	const char *domain, *kit;
	const char *header, *format, *username; /* NULL: not said */
};

struct plan_oauth {
	const char *host, *path; /* of the token endpoint */
	const char *access, *refresh; /* stand-ins; NULL: ours */
	const char *credential_file, *structure, *template_text; /* NULL: none */
	const struct js *hosts; /* array of strings */
	const struct js *fields; /* object of strings */
	bool passthrough;
};

struct plan_credential {
	const char *service, *kit;
	const char *description; /* NULL: not said */
	bool required;
	enum plan_phase phase;
	const struct js *variables; /* array of names: hold the stand-in inside */
	struct plan_inject *injects;
	size_t n_injects;
	struct plan_oauth *oauth; /* NULL: none */
	/* schema 1: where the client finds the value; the daemon does not act on it */
	const struct js *env; /* array of names; NULL: none */
	const char *file, *parser; /* NULL: none; parser NULL: the whole file */
	bool file_first;
};

struct plan_install {
	const char *command; /* for sh -c */
	const char *user; /* number or name */
	const char *description; /* NULL: not said */
	const char *kit;
	uint32_t line; /* in its spec.yaml; 0: not known */
};

struct plan_startup {
	const struct js *argv; /* array of strings, at least one */
	const char *user, *description, *kit; /* description NULL: not said */
	bool background; /* else those after it wait for it */
};

struct plan_volume {
	const char *path; /* absolute */
	bool tmpfs;
	uint64_t bytes; /* 0: not said */
	uint32_t mode; /* 0: not said */
	const char *kit;
};

/* A file that a kit puts in, to be shown: the bytes are in the tars. PLAN_PLACED_MAX of them at most. */
struct plan_placed {
	const char *path; /* absolute, "~/..." or, in the first workspace, "./..." */
	const char *kit;
};

struct plan_port {
	uint16_t container;
	uint16_t host; /* 0: any that is free */
	const char *protocol; /* "" (TCP, IPv4 only), "tcp", "udp" */
	const char *address; /* of the host; "": both loopback addresses; NULL: as protocol says */
	const char *name; /* NULL: none */
	const char *kit; /* NULL: the user's own */
};

struct plan {
	struct js *json;
	char hash[HASH_HEX]; /* SHA-256 of the canonical JSON */
	const char *name, *agent, *isolation;
	const char *image_id, *image_name, *root_digest, *kernel_digest;
	const char *image_reference,
		*image_pin; /* as it was pulled, and its digest there; "": it was not */
	const char *image_workdir, *image_user; /* what the image says; "": nothing */
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
	/* of the kits */
	struct plan_kit *kits;
	struct plan_network *network;
	struct plan_credential *credentials;
	struct plan_install *install;
	struct plan_startup *startup;
	struct plan_volume *volumes;
	struct plan_port *ports;
	struct plan_placed *placed;
	size_t n_kits, n_network, n_credentials, n_install, n_startup, n_volumes, n_ports, n_placed;
	const char *kits_digest; /* what an approval is bound to; NULL: an older plan */
	/* Lines of kit/plan.h's surface, arrays of strings, NULL: none. All that kits from outside ask for;
	 * what of it nobody had approved when the plan was made; what therefore is not part of the plan.
	 */
	const struct js *surface, *asks, *withheld;
	const char
		*approval; /* id of what was approved (kit_approvals.h); NULL: all are built in */
	/* the agent's file of instructions and its directory in the guest; NULL: it reads none */
	const char *instructions_file, *instructions_dir;
};

/* What the kits put into the guest on the first start, all of them together in the order of composition;
 * not part of the JSON but of its digests. Empty: nothing.
 */
struct plan_files {
	struct buf home; /* relative to the user's home, before anything is installed */
	struct buf setup; /* relative to "/" */
	struct buf missing; /* the same; what is there stays as it is. After setup. */
	struct buf workspace; /* relative to the first workspace, last */
	struct buf memory; /* relative to plan.instructions_dir */
	struct buf
		asked; /* the Create itself, as JSON: what further kits are added to (kit_add.h) */
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

struct store;
/* plan_resolve() - @create: the API's Create. Makes nothing on disk. @approvals may be NULL: nothing of
 * kits was ever approved. @files may be NULL.
 */
int plan_resolve(const struct js *create, const struct paths *paths, const struct plan_host *host,
	struct store *approvals, struct plan **ret, struct plan_files *files,
	struct err *e) MUST_USE;
/* plan_resolve_add() - for a sandbox that is there: @create is what it was made by with further kits behind.
 * Its image stays; its kits have to be what they were. @started: only what the further ones install and
 * put is in plan->install and @files.
 */
int plan_resolve_add(const struct js *create, const struct paths *paths,
	const struct plan_host *host, struct store *approvals, const struct plan *old, bool started,
	struct plan **ret, struct plan_files *files, struct err *e) MUST_USE;
/* plan_load() - from its canonical JSON; -EINVAL, -EBADMSG */
int plan_load(const char *text, size_t len, struct plan **ret, struct err *e) MUST_USE;
/* plan_from() - takes @json, also on failure */
int plan_from(struct js *json, struct plan **ret, struct err *e) MUST_USE;
/* plan_text() - append the canonical JSON */
int plan_text(const struct plan *p, struct buf *out) MUST_USE;
void plan_free(struct plan *p);

/* ---- plan_kits.c ---- */
struct js_reader;
/* plan_kits_take() - the keys of the kits out of @rd; plan_kits_load(): check them, after js_done() */
struct plan_kits_json {
	const struct js *kits, *network, *credentials, *install, *startup, *volumes, *ports,
		*placed;
	const struct js *instructions;
};
void plan_kits_take(struct plan *p, struct js_reader *rd, struct plan_kits_json *ret);
int plan_kits_load(struct plan *p, const struct plan_kits_json *from, struct err *e) MUST_USE;
void plan_kits_fini(struct plan *p);

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
