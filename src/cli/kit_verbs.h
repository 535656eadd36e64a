/* kit_verbs.h - what the files of `sbx kit` share */
#ifndef CLI_KIT_VERBS_H
#define CLI_KIT_VERBS_H
#include "cli/args.h"
#include "kit/resolve.h"

/* kit_verb_load() - @a->ref, with @a->kits on top of it when it is an agent (@whole); those of elsewhere are fetched */
int kit_verb_load(const struct kit_args_cli *a, bool whole, struct kit_resolved **ret,
	struct err *e) MUST_USE;
/* kit_verb_write() - a file, whole or not at all; one that is there stays unless it was forced */
int kit_verb_write(const char *path, bool force, const void *p, size_t len, unsigned mode,
	struct err *e) MUST_USE;
/* kit_verb_zip_name() - does @path end in .zip? A kit is recognised as a ZIP file by its name. */
int kit_verb_zip_name(const char *path, struct err *e) MUST_USE;

int kit_approvals(int argc, char **argv);
int kit_push(int argc, char **argv);
int kit_pull(int argc, char **argv);
int kit_sign(int argc, char **argv);
int kit_verify(int argc, char **argv);
int kit_keygen(int argc, char **argv);
int kit_add(int argc, char **argv);
#endif
