/* credentials.h - which credentials a sandbox has the use of, and what stands for them inside
 *
 * A credential is a secret in the secret file whose name is that of a service: a descriptor (kit/service.h), to
 * which the kits of a sandbox may add places and variables, or one that a kit made.
 * The guest sees stand-ins only: derived from 32 random bytes that each sandbox keeps in its directory
 * (CREDENTIALS_SEED), so they are the sandbox's own, the same after every restart, and cannot be guessed.
 * Values go from the file to the vault and are wiped; the daemon keeps none.
 * Thread: any.
 */
#ifndef DAEMON_CREDENTIALS_H
#define DAEMON_CREDENTIALS_H
#include "daemon/sandbox.h"
#include "kit/service.h"
#include "store/secret_file.h"

#define CREDENTIALS_SEED   "seed"
#define CREDENTIALS_RUN_MS 10000 /* a command that prints a secret */

/* The part of an egress_config that is about credentials. Everything is owned by it. */
struct credentials {
	struct service_set services;
	struct egress_credential *list;
	uint32_t n;
	struct egress_oauth *oauth;
	uint32_t n_oauth;
	/* variables for the guest: NAME=stand-in, of services that have a secret */
	char **env;
	size_t n_env;
	char *owned[2 * SERVICES_MAX * 4]; /* texts made here */
	size_t n_owned;
};

/* credentials_for() - what sandbox @s has now; _fini() it, also after a failure */
int credentials_for(struct sandbox *s, struct credentials *ret, struct err *e) MUST_USE;
void credentials_fini(struct credentials *c);

/* credentials_each() - every value that @s may use, one after the other; @fn borrows it. One that cannot
 * be had (its command fails) is skipped and logged by name.
 */
typedef int (*credentials_fn)(void *ctx, const char *name, const void *value, size_t len);
int credentials_each(struct sandbox *s, credentials_fn fn, void *ctx, struct err *e) MUST_USE;

/* credentials_value() - of one secret: stored, or what its command prints (first line). secret_entry_wipe()
 * the struct afterwards.
 */
int credentials_value(struct daemon *d, const char *scope, const char *name,
	struct secret_entry *ret, struct err *e) MUST_USE;

/* credentials_stand_in() - what stands for @name in the sandbox of id @scope, terminated in @dst; "" when there is no
 * single one (@scope "", and the stand-in is each sandbox's own)
 */
#define CREDENTIALS_STAND_IN_MAX 200
int credentials_stand_in(struct daemon *d, const char *scope, const char *name,
	char dst[CREDENTIALS_STAND_IN_MAX], struct err *e) MUST_USE;
/* credentials_changed() - secret @name of @scope ("" : all) was set or removed: running sandboxes get
 * the new table and value within a second, by the two hooks
 */
void credentials_changed(struct daemon *d, const char *scope, const char *name);
/* credentials_table_changed() - something else of the configuration changed: running sandboxes get it anew */
void credentials_table_changed(struct daemon *d);
/* Hooks of the part that holds the connections to front and vault; set once, before any request. A
 * NULL @value means removed.
 */
typedef void (*credentials_table_fn)(struct sandbox *s);
typedef void (*credentials_value_fn)(
	struct sandbox *s, const char *name, const void *value, size_t len);
void credentials_hooks(credentials_table_fn table, credentials_value_fn value);

/* credentials_caught() - an OAuth token that the vault of @s took out of an answer: kept for that sandbox
 * alone, or a guest could log all others in to an account of its own choice
 */
int credentials_caught(
	struct sandbox *s, const char *name, const void *value, size_t len, struct err *e) MUST_USE;
/* credentials_refresher() - a thread asks commands again whose answers have grown old, while sandboxes run. At
 * start, and after one was set.
 */
void credentials_refresher(struct daemon *d);
/* credentials_due() - did a period of @x end between the two times? */
bool credentials_due(const struct secret_entry *x, int64_t before_ms, int64_t now_ms);
/* credentials_services() - descriptors as they are now: built-in and the user's own */
int credentials_services(struct daemon *d, struct service_set *ret, struct err *e) MUST_USE;

/* credentials_services_of() - those, and what the kits of @s add to them or make (@s NULL: the same as before).
 * A service whose credential does not hold now (struct plan_credential.phase) has no slots.
 */
int credentials_services_of(
	struct daemon *d, struct sandbox *s, struct service_set *ret, struct err *e) MUST_USE;
/* credentials_known() - is there a service of that name, or a sandbox whose kits make one? */
bool credentials_known(struct daemon *d, const char *name);
/* credentials_kits.c: credentials_add_kits() - into @set what the plan says; pure */
int credentials_add_kits(
	const struct plan *p, bool installing, struct service_set *set, struct err *e) MUST_USE;

/* credentials_command.c: run by the shell, with the user's environment; the first line without its end */
int credentials_run(const char *command, int64_t deadline, struct buf *out, struct err *e) MUST_USE;
#endif
