#include "egress/front_pins.h"
#include <string.h>

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

struct front_pins {
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
	return true;
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
