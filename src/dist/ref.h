/* ref.h - what a kit in a registry is called, and which places kits may come from
 *
 *   oci://HOST[:PORT]/REPOSITORY[:TAG][@sha256:HEX]   and the same without "oci://" where it has a tag or digest
 * A reference has one canonical form: small letters, no default port, "docker.io" for all names of that
 * registry, "library/" for its one-word repositories. A host is ASCII; names with "xn--" are refused, since
 * they look like other names where they are shown. A place is HOST[:PORT]/PATH of a registry or a git
 * server, canonical; a list of places that are allowed is JSON text: ["docker.io/", "ghcr.io/acme"], and
 * each allows what stands beneath it, from one '/' to the next; "*" allows everything.
 * Pure. Hostile text. Thread: any.
 */
#ifndef DIST_REF_H
#define DIST_REF_H
#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>

#define DIST_HEX       65 /* a SHA-256 in small letters, terminated */
#define DIST_PLACE_MAX 1024
#define DIST_PLACES    64 /* entries of a list */

struct dist_ref {
	char registry[256];
	char repository[256];
	char tag[129]; /* "": none */
	char digest[DIST_HEX]; /* "": none */
};

/* dist_ref_parse() - with or without "oci://"; neither tag nor digest: "latest" */
int dist_ref_parse(const char *text, struct dist_ref *ret_ref, struct err *e) MUST_USE;
/* dist_ref_origin() - "oci://REGISTRY/REPOSITORY@sha256:HEX" (the tag where there is no digest) */
int dist_ref_origin(const struct dist_ref *ref, char *dst, size_t cap) MUST_USE;
/* dist_ref_loopback() - is the registry on this host, by an address? Such a one may speak without TLS. */
bool dist_ref_loopback(const struct dist_ref *ref);

/* dist_place_ref(), dist_place_git() - @url: https:// or ssh://, as kit_ref_parse() took it */
int dist_place_ref(const struct dist_ref *ref, char dst[DIST_PLACE_MAX], struct err *e) MUST_USE;
int dist_place_git(const char *url, char dst[DIST_PLACE_MAX], struct err *e) MUST_USE;

/* dist_places_check() - may a list be that? -EINVAL with what is wrong */
int dist_places_check(const char *list, struct err *e) MUST_USE;
/* dist_places_allow() - does @list allow @place? -EACCES with @e; -EINVAL: no list */
int dist_places_allow(const char *list, const char *place, struct err *e) MUST_USE;
#endif
