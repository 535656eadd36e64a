#include "kit/mem.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_BYTES (16U << 10)
#define ALIGN	    16U

struct kit_mem_block {
	struct kit_mem_block *next;
	size_t used, cap; /* of bytes[] */
	_Alignas(16) char bytes[];
};

void *kit_mem_get(struct kit_mem *m, size_t n)
{
	struct kit_mem_block *b = m->blocks;
	size_t cap;
	void *p;

	if (n > KIT_MEM_MAX)
		return NULL;
	n = (n + ALIGN) & ~(size_t)(ALIGN - 1); /* never 0: two pieces are two addresses */
	if (!b || b->cap - b->used < n) {
		cap = n > BLOCK_BYTES ? n : BLOCK_BYTES;
		if (m->total + cap > KIT_MEM_MAX)
			return NULL;
		b = calloc(1, sizeof(*b) + cap);
		if (!b)
			return NULL;
		b->cap = cap;
		b->next = m->blocks;
		m->blocks = b;
		m->total += cap;
	}
	p = b->bytes + b->used;
	b->used += n;
	return p;
}

void *kit_mem_array(struct kit_mem *m, size_t n, size_t size)
{
	size_t bytes;

	return __builtin_mul_overflow(n, size, &bytes) ? NULL : kit_mem_get(m, bytes);
}

char *kit_mem_dup(struct kit_mem *m, const void *bytes, size_t len)
{
	char *p = len < KIT_MEM_MAX ? kit_mem_get(m, len + 1) : NULL;

	if (p && len)
		memcpy(p, bytes, len);
	return p;
}

char *kit_mem_str(struct kit_mem *m, const char *text)
{
	return kit_mem_dup(m, text, strlen(text));
}

void kit_mem_fini(struct kit_mem *m)
{
	while (m->blocks) {
		struct kit_mem_block *b = m->blocks;

		m->blocks = b->next;
		free(b);
	}
	m->total = 0;
}
