/* ref.h - what an image of others is called, in one form: a registry's reference, or an archive or layout here
 *
 * A registry's reference names its registry: a first part with a dot or a port, or "localhost". What others fill in
 * ("debian", "team/tool") is not guessed. Two spellings of one image have one form: the registry in small letters,
 * docker.io's other names and "library/" filled in, the tag "latest" when there is neither tag nor digest.
 * Archives and layouts are absolute paths with what says that they were not changed since.
 * Thread: any. image_ref_parse() looks at the file system for archives and layouts only.
 */
#ifndef IMAGE_REF_H
#define IMAGE_REF_H
#include "base/err.h"
#include "image/digest.h"
#include <limits.h>
#include <stdbool.h>

#define IMAGE_REF_MAX 220 /* a registry's reference; with a digest of its own */

enum image_ref_kind { IMAGE_REF_REGISTRY, IMAGE_REF_LOCAL };

struct image_ref {
	enum image_ref_kind kind;
	char name[IMAGE_REF_MAX + 1]; /* "host/path:tag", "host/path@sha256:..."; of a file "" */
	char repository[IMAGE_REF_MAX + 1]; /* registry: "host/path" */
	char pin[DIGEST_HEX_LEN + 1]; /* registry: the digest that was asked for; "": none */
	char source[PATH_MAX + 320]; /* as skopeo takes it; a directory with a layout: "oci:..." */
	char layout[PATH_MAX]; /* local: the directory, when it is a layout; else "" */
	char tag[IMAGE_REF_MAX + 1]; /* local: which of them; "": the only one */
	char key[DIGEST_HEX_LEN + 1]; /* under which the store knows it */
};

/* image_ref_is() - can @text be nothing but a reference? Names and ids of the store have neither '/' nor ':'. */
bool image_ref_is(const char *text);
/* image_ref_parse() - -EINVAL with a hint; -ENOENT: no such archive or layout */
int image_ref_parse(const char *text, struct image_ref *ret, struct err *e) MUST_USE;

/* The fault "not on this host, but to be had": who finds out may pull it and try again. */
int image_ref_missing(const char *name, struct err *e);
/* image_ref_of_missing() - which, when @e is such a fault (also one that came over the API); "" else */
void image_ref_of_missing(const struct err *e, char ret_name[IMAGE_REF_MAX + 1]);
#endif
