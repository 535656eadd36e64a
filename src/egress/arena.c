#include "egress/arena.h"
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#define ALIGN 16u

/* Stands at the start of the pages; the bytes given out are at their end. */
struct head {
	size_t pages_bytes; /* between the guards */
	size_t len;
	void *given;
};

static unsigned unlocked;

static size_t page(void)
{
	return 4096;
}

void *arena_new(size_t len)
{
	size_t room, bytes;
	struct head *h;
	char *p;

	if (len == 0)
		len = 1; /* so that what is given stands before the second guard */
	if (__builtin_add_overflow(len, sizeof(*h) + ALIGN + page() - 1, &room))
		return NULL;
	bytes = room / page() * page();
	p = mmap(NULL, bytes + 2 * page(), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	h = (struct head *)(void *)(p + page());
	if (mprotect(h, bytes, PROT_READ | PROT_WRITE) < 0 ||
		madvise(h, bytes, MADV_DONTDUMP) < 0 || madvise(h, bytes, MADV_WIPEONFORK) < 0) {
		(void)munmap(p, bytes + 2 * page());
		return NULL;
	}
	unlocked += mlock(h, bytes) < 0;
	h->pages_bytes = bytes;
	h->len = len;
	h->given = (char *)h + ((bytes - len) & ~(size_t)(ALIGN - 1));
	return h->given;
}

static struct head *head_of(const void *p)
{
	/* arena_new() takes no page more than it needs: what is given begins in the head's own. */
	uintptr_t at = (uintptr_t)p & ~(page() - 1);
	struct head *h = (struct head *)at;

	assert(h->given == p);
	return h;
}

size_t arena_len(const void *p)
{
	return head_of(p)->len;
}

void arena_free(void *p)
{
	struct head *h;
	size_t bytes;

	if (!p)
		return;
	h = head_of(p);
	bytes = h->pages_bytes;
	explicit_bzero(h, bytes);
	(void)munmap((char *)h - page(), bytes + 2 * page());
}

unsigned arena_unlocked(void)
{
	return unlocked;
}
