/* rules.h - what the settings say about kits: from where, and signed by whom
 *
 *   kit.allowedSources    places of registries and git servers (ref.h); ["*"] unless it is set
 *   kit.allowLocalKits    directories and ZIP files: true unless it is set
 *   kit.requireSignature  every kit that is not built in is signed by one of
 *   kit.trustedSigners    [{"key": "/path/of/a/public/key.pem"}]
 * Read from the same file and variables as all settings (daemon/settings.h), by the client before it asks a network
 * and by the daemon before it makes a sandbox. Thread: any; nothing is cached.
 */
#ifndef DIST_RULES_H
#define DIST_RULES_H
#include "dist/proof.h"
#include "base/paths.h"

#define DIST_SETTING_SOURCES "kit.allowedSources"
#define DIST_SETTING_LOCAL   "kit.allowLocalKits"
#define DIST_SETTING_REQUIRE "kit.requireSignature"
#define DIST_SETTING_SIGNERS "kit.trustedSigners"
#define DIST_DEFAULT_SOURCES "[\"*\"]"
#define DIST_VALUE_MAX	     4096

struct dist_rules {
	bool require_signature, allow_local;
	char sources[DIST_VALUE_MAX];
	struct dist_signers signers;
};
/* dist_rules_load() - a value or key file that is not what it should be is an error, never silence */
int dist_rules_load(const struct paths *p, struct dist_rules *ret_rules, struct err *e) MUST_USE;
void dist_rules_fini(struct dist_rules *r);
void dist_rules_auto(struct dist_rules *r);

/* dist_signers_add() - the public key in a file; its path is absolute or of the working directory */
int dist_signers_add(struct dist_signers *s, const char *path, struct err *e) MUST_USE;
/* dist_signers_check() - may kit.trustedSigners be that? NULL, or what is wrong (the files are not opened) */
const char *dist_signers_fault(const char *value);
#endif
