/* In sbx-vault whatever is freed is wiped first: by us, and by the libraries that pass our bytes on (libssl,
 * libnghttp2, jansson, zlib), which keep copies of heads and bodies in buffers of their own. The C library's
 * free() and realloc() are replaced by ones that wipe and then do what they did (glibc keeps the originals
 * under these names). Not in builds with sanitizers, which bring their own.
 */
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

void __libc_free(void *p);

void free(void *p)
{
	int before = errno;

	if (!p)
		return;
	explicit_bzero(p, malloc_usable_size(p));
	__libc_free(p);
	errno = before;
}

/* The original gives what it cuts off or leaves behind back as it is. */
void *realloc(void *p, size_t len)
{
	size_t had = p ? malloc_usable_size(p) : 0;
	void *q;

	if (p && len == 0) {
		free(p);
		return NULL;
	}
	if (p && len <= had && len >= had / 2)
		return p;
	q = malloc(len);
	if (q && p) {
		memcpy(q, p, had < len ? had : len);
		free(p);
	}
	return q;
}
