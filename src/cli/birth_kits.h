/* birth_kits.h - what `run` and `create` have to do with kits: naming them, approving, comparing
 *
 * A kit from outside the built-in ones gets what it asks for when a person has seen it: on a terminal it is
 * shown and asked once, else --approve-kits says so, or it starts without.
 */
#ifndef CLI_BIRTH_KITS_H
#define CLI_BIRTH_KITS_H
#include "cli/args.h"
#include "cli/box.h"
#include "cli/kits.h"

/* birth_kits_put() - the agent (the first of @kits), the mixins, and their arguments; true: no memory */
bool birth_kits_put(struct js *body, const struct run_args *a, const struct kits_at *kits) MUST_USE;
/* birth_kits_outside() - may the daemon have to be told what was approved? */
bool birth_kits_outside(const struct run_args *a);
/* birth_kits_approve() - of the @plan that @body would make: puts "approve" into @body, or leaves it;
 * -ECANCELED when the person does not want it at all
 */
int birth_kits_approve(
	const struct run_args *a, const struct js *plan, struct js *body, struct err *e) MUST_USE;
/* birth_kits_compare() - @box is there already, @plan is what would be made now: other kits are an error;
 * kits that have changed are told
 */
int birth_kits_compare(const struct js *box, const struct js *plan, struct err *e) MUST_USE;
/* birth_kits_args_file() - NAME=VALUE, one a line, from a file (--kit-args-file) */
int birth_kits_args_file(struct env_list *list, const char *path, struct err *e) MUST_USE;
#endif
