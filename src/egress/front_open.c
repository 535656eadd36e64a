/* Before the rights are given up: socket in the directory, the sandbox's CA, everything made once. */
#include "base/clock.h"
#include "base/log.h"
#include "egress/front.h"
#include "egress/spawn.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define TEXT_MAX       (192U << 10)
#define AUDIT_DELAY_MS 50

int front_start(struct front *f, struct err *e)
{
	char *room;

	memset(f, 0, sizeof(*f));
	f->dir_fd = f->listen_fd = f->control_fd = f->streams_fd = f->peer_fd = -1;
	http_canon_init(&f->canon);
	buf_init(&f->text, TEXT_MAX);
	buf_init(&f->ws, TEXT_MAX * 8);
	buf_init(&f->audit.waiting, 4U << 20);
	f->now = clock_ms();
	f->loop = loop_new();
	f->pins = front_pins_new();
	/* Names of trailers and data of records point into it: it must not move while they are used. */
	if (!f->loop || !f->pins || buf_room(&f->text, EGRESS_FRAME_MAX + 1, &room) < 0)
		return err_sys(e, -ENOMEM, "start");
	return tls_server_ctx_new(&f->tls, e);
}

int front_open(struct front *f, const char *id, struct err *e)
{
	int r = front_start(f, e);

	if (r < 0)
		return r;
	(void)snprintf(f->id, sizeof(f->id), "%s", id);
	f->dir_fd = EGRESS_DIR_FD;
	f->audit.delay_ms = AUDIT_DELAY_MS;
	return front_control_start(f, e);
}

/* keep_pins() - without the file (a full disk) a front that comes after this one knows none */
static void keep_pins(struct front *f)
{
	AUTO_FD fd = openat(
		f->dir_fd, EGRESS_PINS_FILE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	int r = fd < 0 ? -errno : front_pins_keep(f->pins, fd);

	if (r < 0)
		log_warn("addresses of names are not kept: %s", strerror(-r));
}

int front_load(struct front *f, struct err *e)
{
	bool made;
	int r = tls_ca_open(
		EGRESS_KEY_FD, EGRESS_CERT_FD, f->id, clock_real_ms() / 1000, &f->ca, &made, e);

	if (r == 0)
		r = tls_leaves_new(f->ca, TLS_LEAVES_MAX, &f->leaves, e);
	if (r < 0)
		return err_wrap(e, r, "the sandbox's certificate authority");
	keep_pins(f);
	return 0;
}

void front_close(struct front *f)
{
	for (struct front_stream *s = f->streams; s; s = s->next)
		front_stream_kill(s);
	if (f->loop) {
		front_streams_stop(f);
		front_channel_peer(f, -1);
		front_control_stop(f);
		for (struct front_channel *ch = f->channels; ch; ch = ch->next)
			front_channel_kill(ch);
		(void)front_round(f);
		(void)front_round(f);
	}
	loop_free(f->loop);
	tls_leaves_free(f->leaves);
	tls_ca_free(f->ca);
	tls_server_ctx_free(f->tls);
	front_pins_free(f->pins);
	policy_free(f->policy);
	egress_config_fini(&f->config);
	http_canon_fini(&f->canon);
	buf_fini(&f->text);
	buf_fini(&f->ws);
	buf_fini(&f->audit.waiting);
	own_close_fd(&f->dir_fd);
	f->loop = NULL;
}
