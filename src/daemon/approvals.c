#include "daemon/approvals.h"
#include "base/clock.h"
#include <errno.h>
#include <string.h>

struct approvals {
	pthread_mutex_t lock;
	uint64_t next_id;
	size_t n;
	struct approval waiting[APPROVALS_MAX]; /* oldest first */
	approval_fn fn;
};

struct approvals *approvals_new(struct daemon *d)
{
	struct approvals *q = calloc(1, sizeof(*q));

	if (q)
		(void)pthread_mutex_init(&q->lock, NULL);
	d->approvals = q;
	return q;
}

void approvals_hook(struct daemon *d, approval_fn fn)
{
	d->approvals->fn = fn;
}

static void take_out(struct approvals *q, size_t i)
{
	q->n--;
	memmove(&q->waiting[i], &q->waiting[i + 1], (q->n - i) * sizeof(q->waiting[0]));
}

int approvals_add(struct daemon *d, struct approval *a)
{
	struct approvals *q = d->approvals;
	size_t of_box = 0;
	int r = 0;

	approvals_expire(d);
	(void)pthread_mutex_lock(&q->lock);
	for (size_t i = 0; i < q->n; i++)
		of_box += strcmp(q->waiting[i].box, a->box) == 0;
	if (q->n >= APPROVALS_MAX || of_box >= APPROVALS_BOX_MAX)
		r = -EAGAIN;
	else {
		a->id = ++q->next_id;
		a->asked_ms = clock_real_ms();
		a->until = clock_ms() + APPROVALS_MS;
		q->waiting[q->n++] = *a;
	}
	(void)pthread_mutex_unlock(&q->lock);
	return r;
}

int approvals_answer(struct daemon *d, uint64_t id, bool allow, struct approval *ret_a)
{
	struct approvals *q = d->approvals;
	int r = -ENOENT;

	approvals_expire(d);
	(void)pthread_mutex_lock(&q->lock);
	for (size_t i = 0; i < q->n && r < 0; i++)
		if (q->waiting[i].id == id) {
			*ret_a = q->waiting[i];
			take_out(q, i);
			r = 0;
		}
	(void)pthread_mutex_unlock(&q->lock);
	if (r == 0 && q->fn)
		q->fn(d, ret_a, allow);
	return r;
}

int approvals_list(struct daemon *d, struct approval **ret, size_t *ret_n)
{
	struct approvals *q = d->approvals;
	struct approval *copy;

	approvals_expire(d);
	(void)pthread_mutex_lock(&q->lock);
	copy = malloc((q->n + 1) * sizeof(*copy));
	if (copy) {
		memcpy(copy, q->waiting, q->n * sizeof(*copy));
		*ret = copy;
		*ret_n = q->n;
	}
	(void)pthread_mutex_unlock(&q->lock);
	return copy ? 0 : -ENOMEM;
}

void approvals_drop(struct daemon *d, const char *box)
{
	struct approvals *q = d->approvals;

	(void)pthread_mutex_lock(&q->lock);
	for (size_t i = q->n; i-- > 0;)
		if (strcmp(q->waiting[i].box, box) == 0)
			take_out(q, i);
	(void)pthread_mutex_unlock(&q->lock);
}

void approvals_expire(struct daemon *d)
{
	struct approvals *q = d->approvals;
	const int64_t now = clock_ms();

	for (;;) {
		struct approval a;
		bool late;

		(void)pthread_mutex_lock(&q->lock);
		late = q->n > 0 && q->waiting[0].until <= now;
		if (late) {
			a = q->waiting[0];
			take_out(q, 0);
		}
		(void)pthread_mutex_unlock(&q->lock);
		if (!late)
			return;
		if (q->fn)
			q->fn(d, &a, false);
	}
}
