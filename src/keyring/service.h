/* service.h - one operation on the Secret Service of the session (org.freedesktop.secrets), with libsecret
 *
 * A key is an item of the default collection with the attributes application=sbx and key=ID, so that
 * `secret-tool lookup application sbx key ID` gives it to its owner too. A locked collection is asked to
 * unlock, which shows the service's own dialog; a probe never does. Blocks without a deadline of its own:
 * its process has one. Thread: the main one.
 */
#ifndef KEYRING_SERVICE_H
#define KEYRING_SERVICE_H
#include "keyring/wire.h"

/* service_do() - fill in *ret_m, an answer to @m */
void service_do(const struct keyring_message *m, struct keyring_message *ret_m);
#endif
