#include "guest/links.h"
#include <stdlib.h>
#include <string.h>

struct link_name {
	struct link_name *next;
	dev_t dev;
	ino_t ino;
	char path[];
};

const char *links_first(struct links *l, const struct stat *st, const char *path)
{
	struct link_name **head = &l->bucket[st->st_ino % LINKS_BUCKETS], *n;
	size_t len = strlen(path) + 1;

	for (n = *head; n; n = n->next)
		if (n->ino == st->st_ino && n->dev == st->st_dev)
			return n->path;
	n = l->n < LINKS_MAX ? malloc(sizeof(*n) + len) : NULL;
	if (!n)
		return NULL;
	*n = (struct link_name){.next = *head, .dev = st->st_dev, .ino = st->st_ino};
	memcpy(n->path, path, len);
	*head = n;
	l->n++;
	return NULL;
}

void links_fini(struct links *l)
{
	for (unsigned i = 0; i < LINKS_BUCKETS; i++)
		while (l->bucket[i]) {
			struct link_name *n = l->bucket[i];

			l->bucket[i] = n->next;
			free(n);
		}
	l->n = 0;
}
