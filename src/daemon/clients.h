/* clients.h - which registries this host's own clients are set up with
 *
 * Read once when the daemon starts: configuration files of apt, npm, yarn, pip, cargo and go, and the
 * environment. What is found are hosts and ports, as resources of rules; user names and passwords in
 * URLs are dropped. Addresses that are neither public nor private, and the host's own loopback, are
 * left out. A file that cannot be read is no fault: it says nothing.
 */
#ifndef DAEMON_CLIENTS_H
#define DAEMON_CLIENTS_H
#include "policy/pattern.h"

#define CLIENTS_MAX 64

struct client_host {
	const char *client; /* "apt", "npm", ...; static */
	char resource[POLICY_PATTERN_MAX];
};

/* clients_find() - up to CLIENTS_MAX, each resource once. @root: "" or a directory in place of "/",
 * for tests; @home may be NULL
 */
size_t clients_find(const char *root, const char *home, struct client_host ret[CLIENTS_MAX]);
/* clients_scan() - the URLs in @text on lines in which one of @keys (NULL-terminated) stands in front
 * of them; comments are left out. Adds to ret[n], returns the new n. Pure.
 */
size_t clients_scan(const char *client, const char *text, const char *const *keys,
	struct client_host ret[CLIENTS_MAX], size_t n);
#endif
