#include "egress/front_pins.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#define BUCKETS 1024
#define NONE	0 /* entries count from 1 */

/* Every pair is in the chain of its address's bucket and in the list of use; both doubly linked by
 * numbers of entries, so that taking one out is a matter of a few writes.
 */
struct pin {
	struct policy_address a;
	char *name;
	uint16_t chain_next, chain_prev; /* prev NONE: the bucket's head */
	uint16_t newer, older;
};

/* A pin in the file, at the place of its entry; torn by a death in between, its sum is wrong. */
struct kept {
	uint64_t when; /* grows with each; 0: none */
	uint32_t sum;
	uint8_t family, len;
	uint8_t byte[16];
	char name[POLICY_HOST_MAX + 1];
};

#define KEPT_BYTES (FRONT_PINS_MAX * sizeof(struct kept))

struct front_pins {
	struct kept *kept; /* the file; NULL: none */
	uint64_t when;
	uint16_t bucket[BUCKETS];
	uint16_t newest, oldest, n;
	struct pin *pin; /* [cap + 1] */
	unsigned cap;
};

struct front_pins *front_pins_new(void)
{
	return calloc(1, sizeof(struct front_pins));
}

void front_pins_free(struct front_pins *p)
{
	if (!p)
		return;
	for (unsigned i = 1; i <= p->n; i++)
		free(p->pin[i].name);
	if (p->kept)
		(void)munmap(p->kept, KEPT_BYTES);
	free(p->pin);
	free(p);
}

static unsigned hash(const struct policy_address *a)
{
	uint32_t h = 2166136261u;

	for (unsigned i = 0; i < sizeof(a->byte); i++)
		h = (h ^ a->byte[i]) * 16777619u;
	return (h ^ h >> 16) % BUCKETS;
}

static void unlink_use(struct front_pins *p, uint16_t i)
{
	struct pin *v = &p->pin[i];

	if (v->newer)
		p->pin[v->newer].older = v->older;
	else
		p->newest = v->older;
	if (v->older)
		p->pin[v->older].newer = v->newer;
	else
		p->oldest = v->newer;
}

static void link_use(struct front_pins *p, uint16_t i)
{
	struct pin *v = &p->pin[i];

	v->newer = NONE;
	v->older = p->newest;
	if (p->newest)
		p->pin[p->newest].newer = i;
	else
		p->oldest = i;
	p->newest = i;
}

static void unlink_chain(struct front_pins *p, uint16_t i)
{
	struct pin *v = &p->pin[i];

	if (v->chain_prev)
		p->pin[v->chain_prev].chain_next = v->chain_next;
	else
		p->bucket[hash(&v->a)] = v->chain_next;
	if (v->chain_next)
		p->pin[v->chain_next].chain_prev = v->chain_prev;
}

static void link_chain(struct front_pins *p, uint16_t i)
{
	struct pin *v = &p->pin[i];
	uint16_t *head = &p->bucket[hash(&v->a)];

	v->chain_prev = NONE;
	v->chain_next = *head;
	if (*head)
		p->pin[*head].chain_prev = i;
	*head = i;
}

static uint16_t find(const struct front_pins *p, const char *name, const struct policy_address *a)
{
	for (uint16_t i = p->bucket[hash(a)]; i; i = p->pin[i].chain_next)
		if (policy_address_same(&p->pin[i].a, a) && strcmp(p->pin[i].name, name) == 0)
			return i;
	return NONE;
}

/* entry() - a free one, or the least recently used, out of its lists; NONE: no memory */
static uint16_t entry(struct front_pins *p)
{
	uint16_t i;

	if (p->n < p->cap)
		return ++p->n;
	if (p->cap < FRONT_PINS_MAX) {
		unsigned cap = p->cap ? p->cap * 2 : 64;
		struct pin *more = realloc(p->pin, (cap + 1) * sizeof(*more));

		if (!more)
			return NONE;
		p->pin = more;
		p->cap = cap;
		return ++p->n;
	}
	i = p->oldest;
	unlink_use(p, i);
	unlink_chain(p, i);
	free(p->pin[i].name);
	return i;
}

static uint32_t sum_of(const struct kept *k)
{
	const uint8_t *b = (const uint8_t *)k;
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < sizeof(*k); i++)
		if (i < offsetof(struct kept, sum) || i >= offsetof(struct kept, family))
			h = (h ^ b[i]) * 16777619u;
	return h;
}

static void keep(struct front_pins *p, uint16_t i)
{
	const struct pin *v = &p->pin[i];
	struct kept k = {0};

	if (!p->kept)
		return;
	k.when = ++p->when;
	k.family = (uint8_t)v->a.family;
	memcpy(k.byte, v->a.byte, sizeof(k.byte));
	k.len = (uint8_t)strnlen(v->name, POLICY_HOST_MAX);
	memcpy(k.name, v->name, k.len);
	k.sum = sum_of(&k);
	p->kept[i - 1] = k;
}

bool front_pins_add(struct front_pins *p, const char *name, const struct policy_address *a)
{
	uint16_t i = find(p, name, a);
	char *copy;

	if (i) {
		unlink_use(p, i);
		link_use(p, i);
		return true;
	}
	copy = strdup(name);
	i = copy ? entry(p) : NONE;
	if (!i) {
		free(copy);
		return false;
	}
	p->pin[i] = (struct pin){.a = *a, .name = copy};
	link_use(p, i);
	link_chain(p, i);
	keep(p, i);
	return true;
}

/* take_over() - one that is whole and in canonical form */
static bool take_over(struct front_pins *p, const struct kept *k)
{
	struct policy_address a;
	struct policy_host h;

	if (k->sum != sum_of(k) || k->name[sizeof(k->name) - 1] ||
		strnlen(k->name, sizeof(k->name)) != k->len ||
		!policy_host_parse(k->name, k->len, &h) || h.kind != POLICY_HOST_NAME ||
		policy_host_inside(&h) || strcmp(h.name, k->name) != 0 ||
		!policy_address_from(k->family, k->byte, &a) || a.family != k->family)
		return false;
	return front_pins_add(p, h.name, &a);
}

static int by_age(const void *x, const void *y)
{
	const struct kept *a = x, *b = y;

	return (a->when > b->when) - (a->when < b->when);
}

int front_pins_keep(struct front_pins *p, int fd)
{
	int r = -posix_fallocate(
		fd, 0, KEPT_BYTES); /* a page without a block would kill us later */
	struct kept *file, *old;
	size_t n = 0;

	if (r < 0)
		return r;
	file = mmap(NULL, KEPT_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (file == MAP_FAILED)
		return -errno;
	while (n < FRONT_PINS_MAX && file[n].when)
		n++;
	old = calloc(n + 1, sizeof(*old));
	if (!old) {
		(void)munmap(file, KEPT_BYTES);
		return -ENOMEM;
	}
	memcpy(old, file, n * sizeof(*old));
	/* Written anew, in the order of their age: the places are those of this table's entries. */
	memset(file, 0, n * sizeof(*file));
	qsort(old, n, sizeof(*old), by_age);
	p->kept = file;
	for (size_t i = 0; i < n; i++)
		(void)take_over(p, &old[i]);
	free(old);
	return 0;
}

bool front_pins_has(struct front_pins *p, const char *name, const struct policy_address *a)
{
	uint16_t i = find(p, name, a);

	if (!i)
		return false;
	unlink_use(p, i);
	link_use(p, i);
	return true;
}

const char *front_pins_next(
	const struct front_pins *p, const struct policy_address *a, unsigned *at)
{
	uint16_t i = *at ? p->pin[*at].chain_next : p->bucket[hash(a)];

	while (i && !policy_address_same(&p->pin[i].a, a))
		i = p->pin[i].chain_next;
	*at = i;
	return i ? p->pin[i].name : NULL;
}

unsigned front_pins_count(const struct front_pins *p)
{
	return p->n;
}
