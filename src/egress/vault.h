/* vault.h - sbx-vault: one sandbox's credentials, and the only process of it that dials out
 *
 * docs/protocol/egress.md. Started as `sbx-vault ID` with descriptor VAULT_DIR_FD the sandbox's directory
 * (O_PATH), in namespaces of its own but with the host's network. Stages: vault_open() (socket in the
 * directory), vault_load() (trusted certificates, the resolver child), vault_drop() (no files, no rights),
 * vault_run(). One thread; nothing below waits.
 *
 * The parts, each with its state in here: channels (chan.c) carry exchanges (exchange.c) or tunnels (tunnel.c),
 * which use upstream connections (up.c, dialled by dial.c, through proxies by proxy.c) that speak
 * HTTP/1 (h1.c) or HTTP/2 (h2up.c). What is to be written is collected and written once at the end of
 * a round of the loop; what is to be freed is marked dead and freed there, so that no callback frees what its
 * callers still use.
 */
#ifndef EGRESS_VAULT_H
#define EGRESS_VAULT_H
#include "base/buf.h"
#include "base/err.h"
#include "base/loop.h"
#include "egress/config.h"
#include "egress/resolve.h"
#include "egress/secrets.h"
#include "jail/report.h"
#include "tls/client.h"

#define VAULT_DIR_FD	   3
#define VAULT_CHANNELS_MAX 256
#define VAULT_UPS_MAX	   384 /* upstream connections, idle ones among them */
#define VAULT_IDLE_MAX	   128 /* kept for the next request */
#define VAULT_QUEUE_MAX	   (256u << 10) /* bytes waiting in one direction of one exchange */
#define VAULT_QUEUES_MAX   (16u << 20) /* of all channels together, roughly */
#define VAULT_SCRATCH	   65536
#define VAULT_FRAMES	   (2 * (EGRESS_FRAME_HEAD + EGRESS_FRAME_MAX)) /* whole frames */
#define VAULT_CONNECT_MS   10000 /* name, connection, proxy and handshake together */
#define VAULT_IDLE_MS	   60000 /* of a connection that is kept */
#define VAULT_HEAD_MS	   30000 /* from the first to the last byte of an answer's head */
#define VAULT_SILENT_MS	   3600000 /* of an exchange in which nothing moves */
#define VAULT_GATHER_MAX   65536 /* bodies that are looked into as a whole */
#define VAULT_GATHER_MS	   500 /* then such a body is passed on as it comes */

struct chan;
struct up;

struct vault {
	struct loop *loop;
	char id[128];
	int dir_fd, listen_fd, control_fd, peer_fd, resolver_fd;
	struct loop_fd *listen_src, *control_src, *peer_src;
	struct loop_timer *tick;
	struct vault_config *config; /* NULL until the first: everything is refused */
	struct secrets *secrets;
	struct tls_roots *roots; /* the host's */
	struct tls_client *tls;
	char *tls_ca; /* owned: the extra certificates tls was made with */
	struct resolve *resolve;
	struct chan *chans;
	struct up *ups;
	unsigned n_chans, n_ups, n_idle;
	struct chan *dirty_chans; /* have something to write, or room again */
	struct up *dirty_ups;
	bool any_dead, stop;
	uint32_t seq;
	uint64_t requests, denials, faults;
	unsigned changes; /* of configuration and secrets so far */
	struct jail_report report;
	uint8_t scratch[VAULT_SCRATCH]; /* of upstream */
	uint8_t frames[VAULT_FRAMES]; /* of the front */
};

int vault_open(struct vault *v, const char *id, struct err *e) MUST_USE;
int vault_load(struct vault *v, struct err *e) MUST_USE;
int vault_drop(struct vault *v, struct err *e) MUST_USE;
int vault_run(struct vault *v, struct err *e) MUST_USE;
void vault_close(struct vault *v);
/* vault_round() - what a round of the loop left to do: writes, frees. True: do not wait. */
bool vault_round(struct vault *v);

/* control.c: the daemon's socket */
int control_start(struct vault *v, struct err *e) MUST_USE;
void control_stop(struct vault *v);
/* control_caught() - a token that was taken out of an answer goes to the daemon to be kept */
void control_caught(struct vault *v, const char *name, const void *value, size_t len);
/* vault_secret() - a SECRET of the daemon: a value, or its end, which cuts what still uses it */
int vault_secret(struct vault *v, const struct egress_msg *m) MUST_USE;
/* vault_configure() - put @bytes in force; what they were is then the former's */
int vault_configure(struct vault *v, const void *bytes, size_t len, struct err *e) MUST_USE;
#endif
