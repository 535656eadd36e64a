/* links.h - of a tree that is given out: which files were given under another name before
 *
 * Memory: the first name of each file with several, LINKS_MAX of them; beyond that a file comes again.
 */
#ifndef GUEST_LINKS_H
#define GUEST_LINKS_H
#include <stdbool.h>
#include <sys/stat.h>

#define LINKS_MAX     65536
#define LINKS_BUCKETS 4096

struct link_name;
struct links {
	struct link_name *bucket[LINKS_BUCKETS];
	unsigned n;
};

/* links_first() - the name under which @st's file was given first; NULL: it is new, and @path is kept */
const char *links_first(struct links *l, const struct stat *st, const char *path);
void links_fini(struct links *l);
#endif
