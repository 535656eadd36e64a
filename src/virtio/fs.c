/* fs.c - the virtio side of the file server: chains in, chains back, waiting locks on a timer
 *
 * A kick serves at most BURST chains before other events of the loop get their turn.
 */
#include "virtio/fs.h"
#include "base/clock.h"
#include <errno.h>
#include <string.h>

#define QUEUES	     2 /* 0: FORGET and INTERRUPT; 1: everything else */
#define BURST	     256
#define RETRY_MIN_MS 2
#define RETRY_MAX_MS 64

struct fs_dev {
	struct virtio_dev base; /* first */
	struct fs_server *server;
	struct loop *loop;
	struct loop_timer *retry, *again;
	bool left[QUEUES]; /* chains were left for on_again() */
	int retry_ms;
	struct vchain chain;
};

struct fs_dev_config { /* virtio 1.2, 5.11.4 */
	char tag[36];
	uint32_t num_request_queues;
};

static struct fs_dev *of(struct virtio_dev *d)
{
	return (struct fs_dev *)d;
}

static void retry_later(struct fs_dev *f);

static void on_retry(void *ctx)
{
	struct fs_dev *f = ctx;

	f->retry = NULL;
	if (fs_server_retry(f->server)) {
		f->retry_ms = f->retry_ms < RETRY_MAX_MS ? f->retry_ms * 2 : RETRY_MAX_MS;
		retry_later(f);
	}
}

/* Without a timer the lock is still tried whenever the guest releases one. */
static void retry_later(struct fs_dev *f)
{
	if (!f->retry &&
		loop_add_timer(f->loop, clock_ms() + f->retry_ms, on_retry, f, &f->retry) < 0)
		f->retry = NULL;
}

/* Only chains of the request queue ever wait, see serve(). */
static void on_done(void *ctx, uint16_t head, uint32_t written)
{
	struct fs_dev *f = ctx;

	vqueue_push(&f->base.vq[1], head, written);
	virtio_dev_signal(&f->base, 1);
}

static void serve(struct fs_dev *f, unsigned index)
{
	struct virtio_dev *d = &f->base;
	uint32_t written;

	switch (fs_server_handle(f->server, &f->chain, index == 1, &written)) {
	case FS_DONE:
		vqueue_push(&d->vq[index], f->chain.head, written);
		break;
	case FS_WAITING:
		f->retry_ms = RETRY_MIN_MS;
		retry_later(f);
		break;
	}
}

static void kick(struct virtio_dev *d, unsigned index);

static void on_again(void *ctx)
{
	struct fs_dev *f = ctx;

	f->again = NULL;
	for (unsigned k = 0; k < QUEUES; k++)
		if (f->left[k]) {
			f->left[k] = false;
			kick(&f->base, k);
		}
}

static void kick(struct virtio_dev *d, unsigned index)
{
	struct fs_dev *f = of(d);
	enum vq_result got = VQ_EMPTY;
	unsigned n = 0;

	if (index >= QUEUES)
		return;
	do {
		while (n < BURST && (got = virtio_dev_pop(d, index, &f->chain)) == VQ_CHAIN) {
			serve(f, index);
			n++;
		}
		virtio_dev_signal(d, index);
	} while (n < BURST && got == VQ_EMPTY && !virtio_dev_idle(d, index));
	if (n < BURST)
		return;
	f->left[index] = true;
	if (!f->again && loop_add_timer(f->loop, clock_ms(), on_again, f, &f->again) < 0)
		f->again = NULL; /* no memory: the driver's next kick finds them */
}

static void queue_ready(struct virtio_dev *d, unsigned index, bool ready)
{
	if (!ready && index == 1)
		fs_server_end_waiting(of(d)->server);
}

static void reset(struct virtio_dev *d)
{
	struct fs_dev *f = of(d);

	loop_del_timer(TAKE(f->retry));
	loop_del_timer(TAKE(f->again));
	memset(f->left, 0, sizeof(f->left));
	fs_server_reset(f->server);
}

static void config(struct virtio_dev *d, uint32_t offset, void *dst, size_t len)
{
	struct fs_dev_config c = {.tag = FS_TAG, .num_request_queues = QUEUES - 1};

	(void)d;
	memset(dst, 0, len);
	if (offset < sizeof(c))
		memcpy(dst, (const char *)&c + offset,
			len < sizeof(c) - offset ? len : sizeof(c) - offset);
}

static const struct virtio_ops fs_ops = {
	.name = "fs",
	.id = 26,
	.n_queues = QUEUES,
	.config = config,
	.queue_ready = queue_ready,
	.kick = kick,
	.reset = reset,
};

int fs_dev_new(const struct fs_config *c, struct loop *l, struct virtio_dev **ret_dev)
{
	struct fs_dev *f = calloc(1, sizeof(*f));
	int r;

	if (!f)
		return -ENOMEM;
	virtio_dev_init(&f->base, &fs_ops);
	f->loop = l;
	f->retry_ms = RETRY_MIN_MS;
	r = fs_server_new(c, &f->server);
	if (r < 0) {
		free(f);
		return r;
	}
	fs_server_on_done(f->server, on_done, f);
	*ret_dev = &f->base;
	return 0;
}

void fs_dev_free(struct virtio_dev *d)
{
	struct fs_dev *f;

	if (!d)
		return;
	f = of(d);
	reset(d);
	fs_server_free(f->server);
	free(f);
}

void fs_dev_stats(struct virtio_dev *d, struct fs_stats *ret_stats)
{
	fs_server_stats(of(d)->server, ret_stats);
}
