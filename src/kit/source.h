/* source.h - where kits come from: built in, a directory, a ZIP file, a git repository
 *
 *   claude                      built in
 *   ./k  /abs/k  .              a directory
 *   ./k.zip                     a ZIP file
 *   git+https://HOST/PATH.git#ref=COMMIT&dir=SUB     (also git+ssh://USER@HOST/PATH; ref is a commit, a
 *                               tag or a branch, HEAD without; dir a directory of the repository)
 *   oci://REGISTRY/REPOSITORY:TAG[@sha256:HEX], or without "oci://" where it has a tag or digest
 *                               in a registry: recognised here, fetched by dist/
 * Whatever the source, the result is the tree of tree.h, whole and in memory; nothing of it is ever
 * extracted onto the host's file system. A source is untrusted, the server of a repository too.
 */
#ifndef KIT_SOURCE_H
#define KIT_SOURCE_H
#include "kit/spec.h"
#include "kit/tree.h"
#include <limits.h>

enum kit_source_kind { KIT_BUILTIN, KIT_DIRECTORY, KIT_ZIP, KIT_GIT, KIT_OCI };

#define KIT_REF_MAX    2048
#define KIT_COMMIT_MAX 65
#define KIT_BUNDLE     "kit.sig.bundle" /* who signed it, beside spec.yaml; no part of the kit */
#define KIT_BUNDLE_MAX (1U << 20)

struct kit_ref {
	enum kit_source_kind kind;
	char path[PATH_MAX]; /* name; path of the directory or file; URL without "git+" */
	char ref[256]; /* git: "HEAD" when none was given */
	char dir[KIT_TREE_PATH_MAX + 1]; /* git: "" is the top */
};

/* kit_ref_parse() - pure. Whether a path exists is not looked at: what has a '/' and no scheme is one. */
int kit_ref_parse(const char *text, struct kit_ref *ret_ref, struct err *e) MUST_USE;

struct kit_source {
	enum kit_source_kind kind;
	struct kit_tree tree;
	char origin
		[KIT_REF_MAX]; /* canonical and, for git, pinned: what an approval is bound to beside the
				   * tree's digest */
	char file[PATH_MAX]; /* how errors name spec.yaml */
	char commit[KIT_COMMIT_MAX]; /* git: what ref was; else "" */
	struct buf bundle; /* git: KIT_BUNDLE of the same commit; empty: there is none */
};

/* kit_source_read() - @tmp is a directory of this user's for what git needs meanwhile (NULL: git kits are
 * refused). -ENOENT for a built-in that there is not, with what there is.
 */
int kit_source_read(const char *ref, const char *data_dir, const char *tmp,
	struct kit_source *ret_source, struct err *e) MUST_USE;
void kit_source_fini(struct kit_source *s);
void kit_source_auto(struct kit_source *s);

/* kit_source_check_name() - a kit from elsewhere must not be called like one that is built in */
int kit_source_check_name(const struct kit_source *source, const struct kit_spec *spec,
	const char *data_dir, struct err *e) MUST_USE;
#endif
