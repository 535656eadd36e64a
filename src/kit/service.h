/* service.h - what a service needs of a credential, as data: services/NAME.yaml
 *
 * Which variables hold it on the host and which ones a client inside expects, what a stand-in must
 * look like so that clients take it, and in which place of which requests the value goes. Parsing is
 * strict, as for kits: unknown fields, odd header names, formats without exactly one %s are errors
 * that begin with FILE:LINE:COLUMN. No value of a credential is ever in such a file.
 * Thread: any. All strings belong to the service.
 */
#ifndef KIT_SERVICE_H
#define KIT_SERVICE_H
#include "kit/kit.h"
#include "proto/egress_config.h"

#define SERVICE_FILE_MAX  (64U << 10)
#define SERVICE_SLOTS_MAX 32
#define SERVICES_MAX	  256

struct service_slot {
	enum egress_slot_kind kind;
	struct kit_strv hosts; /* exact names or patterns, with :PORT or 443 */
	char *path; /* pattern; NULL: all */
	char *header; /* lower case; of a query slot the parameter */
	char *format; /* with one %s; NULL for kinds without */
	char *username; /* Basic only */
};

struct service_oauth {
	char *host, *path; /* of the token endpoint */
	char *access_field, *refresh_field;
	char *id_field; /* NULL: "id_token" */
	char *device_path; /* where device codes are asked for, at the same host; NULL: nowhere */
	char *device_field; /* NULL: "device_code" */
	bool claims; /* the access token is a JWT whose header and claims stay legible */
	struct kit_strv
		hosts; /* where the token goes; empty: to the hosts of the service's slots */
	char *access_text, *refresh_text; /* the stand-ins; NULL: made from the seed */
};

struct service {
	char *name, *description;
	struct kit_strv env; /* in order of preference on the host; all are set inside */
	char *join; /* not NULL: the value is all variables joined by this, not the first that is set */
	bool pass_body; /* bodies: the stand-in may stand in bodies to these hosts, unreplaced; else refused */
	char *prefix; /* of the stand-in; "" mostly */
	uint32_t random; /* characters of [A-Za-z0-9] behind it, at least 22 (130 bits) */
	char *suffix; /* and behind them; NULL: nothing */
	char *text; /* not NULL: the whole stand-in, the same in every sandbox */
	bool custom; /* made by a command, which may replace and remove the file */
	struct service_slot *slots;
	size_t n_slots;
	struct service_oauth *oauth; /* NULL: none */
};

int service_parse(const char *file, const char *text, size_t len, struct service **ret_service,
	struct err *e) MUST_USE;
void service_free(struct service *s); /* NULL is fine */

/* service_header_ok() - may a credential go into this header (small letters)? */
bool service_header_ok(const char *name);

struct service_set {
	struct service *list[SERVICES_MAX]; /* sorted by name */
	size_t n;
};
/* service_set_load() - DIR/services/NAME.yaml of @data_dir, then of @user_dir (may be NULL or missing), whose
 * files replace built-in ones of the same name. The name in a file must be the file's. One bad file
 * fails the whole: what is missing from the set would be a hole.
 */
int service_set_load(const char *data_dir, const char *user_dir, struct service_set *ret_set,
	struct err *e) MUST_USE;
/* service_set_put() - takes @service, also on failure; one of that name is replaced */
int service_set_put(struct service_set *set, struct service *service, struct err *e) MUST_USE;
void service_set_fini(struct service_set *s);
const struct service *service_find(const struct service_set *s, const char *name);
/* service_sentinel() - a stand-in of that form from @random bytes (borrowed, at least 64, each used
 * once): terminated in @dst; -ENOBUFS
 */
int service_sentinel(
	const struct service *s, const uint8_t random[64], char *dst, size_t cap) MUST_USE;
#endif
