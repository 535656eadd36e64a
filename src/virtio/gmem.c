#include "virtio/gmem.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define PAGE_BYTES 4096u

void gmem_init(struct gmem *m)
{
	*m = (struct gmem){0};
}

void gmem_fini(struct gmem *m)
{
	for (unsigned i = 0; i < m->n; i++)
		if (m->region[i].map)
			(void)munmap(m->region[i].map, m->region[i].map_size);
	m->n = 0;
}

/* Both ranges are known not to overflow. */
static bool overlap(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
	return a < b + b_size && b < a + a_size;
}

int gmem_add(struct gmem *m, const struct gmem_region *r)
{
	uint64_t end;

	if (r->size == 0 || !r->host || __builtin_add_overflow(r->gpa, r->size, &end) ||
		__builtin_add_overflow(r->user, r->size, &end))
		return -EINVAL;
	for (unsigned i = 0; i < m->n; i++) {
		const struct gmem_region *o = &m->region[i];

		if (overlap(r->gpa, r->size, o->gpa, o->size) ||
			overlap(r->user, r->size, o->user, o->size))
			return -EINVAL;
	}
	if (m->n == GMEM_REGIONS)
		return -ENOSPC;
	m->region[m->n++] = *r;
	return 0;
}

/* seal_against_shrink() - else whoever else holds the file could cut it and kill us with SIGBUS */
static int seal_against_shrink(int fd)
{
	int seals = fcntl(fd, F_GET_SEALS);

	if (seals < 0)
		return -EPERM; /* not a memfd */
	if (seals & F_SEAL_SHRINK)
		return 0;
	return fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) < 0 ? -EPERM : 0;
}

int gmem_map(struct gmem *m, uint64_t gpa, uint64_t size, uint64_t user, int fd, uint64_t offset)
{
	struct gmem_region r = {.gpa = gpa, .size = size, .user = user};
	struct stat st;
	uint64_t end;
	int ret;

	if (size == 0 || size > SIZE_MAX || offset % PAGE_BYTES != 0 || offset > INT64_MAX ||
		__builtin_add_overflow(offset, size, &end))
		return -EINVAL;
	ret = seal_against_shrink(fd); /* before the size is looked at, so that it stays true */
	if (ret < 0)
		return ret;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size < 0 || (uint64_t)st.st_size < end)
		return -EINVAL;
	r.map_size = (size_t)size;
	r.map = mmap(NULL, r.map_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)offset);
	if (r.map == MAP_FAILED)
		return -errno;
	(void)madvise(r.map, r.map_size, MADV_DONTDUMP);
	r.host = r.map;
	ret = gmem_add(m, &r);
	if (ret < 0)
		(void)munmap(r.map, r.map_size);
	return ret;
}

void *gmem_span_some(const struct gmem *m, gpa_t at, uint64_t len, uint64_t *ret_len)
{
	for (unsigned i = 0; i < m->n; i++) {
		const struct gmem_region *r = &m->region[i];

		if (at.at >= r->gpa && at.at - r->gpa < r->size) {
			uint64_t off = at.at - r->gpa, left = r->size - off;

			*ret_len = len < left ? len : left;
			return r->host + off;
		}
	}
	return NULL;
}

void *gmem_span(const struct gmem *m, gpa_t at, uint64_t len)
{
	uint64_t got;
	void *p = gmem_span_some(m, at, len, &got);

	return p && got == len ? p : NULL;
}

void *gmem_user_span(const struct gmem *m, uint64_t user, uint64_t len)
{
	for (unsigned i = 0; i < m->n; i++) {
		const struct gmem_region *r = &m->region[i];

		if (user >= r->user && user - r->user < r->size)
			return len <= r->size - (user - r->user) ? r->host + (user - r->user)
								 : NULL;
	}
	return NULL;
}

bool gmem_read(const struct gmem *m, gpa_t at, void *dst, size_t len)
{
	const void *p = gmem_span(m, at, len);

	if (!p)
		return false;
	gmem_copy_in(dst, p, len);
	return true;
}

bool gmem_write(const struct gmem *m, gpa_t at, const void *src, size_t len)
{
	void *p = gmem_span(m, at, len);

	if (!p)
		return false;
	memcpy(p, src, len);
	return true;
}
