/* kit.h - an agent as data, as far as a start acts on it: <kit>/spec.yaml and <kit>/files/home/
 *
 * Built-in kits are <data>/kits/<name>; a reference with '/' is a directory. kit_load() reads the
 * kit once, whole: what is changed on disk afterwards changes nothing. The whole schema is spec.h's;
 * here a field that a start does not act on is refused as "not supported yet by run", so that
 * nothing is promised and not done. Every message starts with FILE:LINE:COLUMN. Spec at most
 * 256 KiB, 32 levels; anchors, aliases, tags, several documents and duplicate keys are refused. A
 * kit is untrusted input.
 * Thread: any. All strings belong to the kit.
 */
#ifndef KIT_KIT_H
#define KIT_KIT_H
#include "base/buf.h"
#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KIT_SPEC_MAX (256U << 10)
#define KIT_HOME_MAX (16U << 20) /* bytes of files/home as a tar stream */

struct kit_strv {
	char **v; /* NULL-terminated; NULL while empty */
	size_t n;
};

struct kit_var {
	char *name, *value;
};

struct kit_file {
	char *path; /* absolute, no dot segments */
	char *content; /* ${WORKDIR} not yet expanded */
	size_t len;
	uint32_t mode; /* permission bits, no set-id */
};

struct kit {
	char *name, *version, *display_name, *description; /* name never NULL, others may be */
	char *dir; /* where it was loaded from, absolute: a directory or a ZIP file */
	char *image; /* sandbox.image; NULL: the default image */
	struct kit_strv entrypoint, command, interactive;
	bool has_interactive; /* else command serves terminals too */
	uint32_t cpus; /* 0: not said */
	uint64_t memory_bytes; /* 0: not said */
	struct kit_var *vars;
	size_t n_vars;
	struct kit_file *files; /* setup.files */
	size_t n_files;
	char *instructions_file, *instructions; /* agentInstructions; NULL when absent */
	struct buf spec; /* spec.yaml as read: input of the plan's digest */
	struct buf home_tar; /* files/home as a deterministic tar stream (ustar), empty when absent;
			      * for PUT into the user's home; input of the plan's digest too */
};

/* kit_load() - @ref: name of a built-in kit, or the path of a directory or ZIP file, relative ones to
 * the working directory (source.h). -ENOENT with a hint that lists the built-in kits; -EINVAL with
 * the place in the file; -ENOTSUP: a field that a start does not act on.
 */
int kit_load(const char *ref, const char *data_dir, struct kit **ret_kit, struct err *e) MUST_USE;
void kit_free(struct kit *k); /* NULL is fine */
void kit_freep(struct kit **k);
#define AUTO_KIT __attribute__((cleanup(kit_freep))) struct kit /* AUTO_KIT *k = NULL; */

/* kit_parse() - spec text alone, no I/O; @file is how errors name it */
int kit_parse(const char *file, const char *text, size_t len, struct kit **ret_kit,
	struct err *e) MUST_USE;

/* kit_argv() - what to run: entrypoint + (tty ? interactive : default) command, then @args:
 * appended when the first begins with '-', else in place of the command (n = 0: nothing changes).
 * The result is one allocation per string plus the array: kit_strv_fini().
 */
int kit_argv(const struct kit *k, bool tty, char *const *args, size_t n,
	struct kit_strv *ret_argv) MUST_USE;
void kit_strv_fini(struct kit_strv *s);

/* kit_setup_tar() - setup.files as a tar stream for PUT into "/", ${WORKDIR} expanded; owned by
 * @uid:@gid. Nothing is added when there are none.
 */
int kit_setup_tar(const struct kit *k, const char *workdir, uint32_t uid, uint32_t gid,
	struct buf *out, struct err *e) MUST_USE;

/* kit_name_ok() - may a kit be called that? Such a name is one harmless path component. */
bool kit_name_ok(const char *s);

/* kit_not_found() - -ENOENT: says what there is instead */
int kit_not_found(const char *ref, const char *data_dir, struct err *e);
/* kit_list() - names of the built-in kits, sorted; kit_strv_fini() */
int kit_list(const char *data_dir, struct kit_strv *ret_names, struct err *e) MUST_USE;
#endif
