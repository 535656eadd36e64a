/* fs_pattern.h - patterns over paths of a share: parsed once, matched from the last component up
 *
 * "a/b": an object named b in a directory named a, at any depth. Within a component '*' stands for
 * any bytes and '?' for one; a component "**" for any number of components, and may be there once.
 * A trailing '/' makes it a tree: the object and everything below it. A leading '/' ties the first
 * component to the top of the share. Matching does no I/O, allocates nothing, does not recurse, and
 * takes time linear in pattern and name for each '*'.
 * Thread: any. Names are hostile bytes; patterns are not.
 */
#ifndef VIRTIO_FS_PATTERN_H
#define VIRTIO_FS_PATTERN_H
#include "base/own.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FS_PATTERN_MAX	 255 /* bytes */
#define FS_PATTERN_PARTS 8

struct fs_part { /* one component; not terminated */
	const char *name;
	size_t len;
};

struct fs_pattern {
	char text[FS_PATTERN_MAX + 1];
	struct fs_part part[FS_PATTERN_PARTS]; /* into text; without "**" */
	uint8_t n, head; /* parts; those in front of the gap */
	bool gap; /* "**" stands between head and the rest */
	bool tree, tied, fold; /* fold: letters of ASCII match in both cases */
};

/* A path, its last component first. @inside of them are within the share, the rest is above it. */
struct fs_trail {
	const struct fs_part *part;
	size_t n, inside;
};

/* fs_pattern_parse() - -EINVAL when @text is no pattern. *ret may not be copied: it points inside. */
int fs_pattern_parse(const char *text, bool fold, struct fs_pattern *ret) MUST_USE;
/* fs_pattern_at() - is the object t->part[k] matched by itself? */
bool fs_pattern_at(const struct fs_pattern *p, const struct fs_trail *t, size_t k);
/* fs_pattern_leads() - could something below the path be matched that is not by its own names alone?
 * True when a front part of the pattern ends at the last component.
 */
bool fs_pattern_leads(const struct fs_pattern *p, const struct fs_trail *t);
#endif
