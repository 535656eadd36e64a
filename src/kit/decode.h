/* decode.h - tables of fields: a mapping of the document into a struct; shared by the files spec*.c
 *
 * A table says for each field of a mapping its name, its type and where it goes. decode_map() refuses
 * what is not in the table, notes what is (kit_use) and sees that required fields are there.
 * All functions return 0 or a negative errno with d->e set to FILE:LINE:COLUMN.
 */
#ifndef KIT_DECODE_H
#define KIT_DECODE_H
#include "kit/spec.h"
#include "kit/ytree.h"

struct decode {
	const struct ytree *t;
	struct kit_spec *s;
	struct err *e;
	/* schema 1 says in five places what a credential is: they are put together at the end */
	const struct ynode *sources, *domains, *auth, *managed, *oauth;
};

enum field_type {
	FIELD_TAKE, /* by its function */
	FIELD_WORD, /* struct kit_word */
	FIELD_TEXT, /* const char * */
	FIELD_WORDS, /* struct kit_words */
	FIELD_BOOL,
	FIELD_MODE, /* uint32_t, octal digits */
	FIELD_PATH, /* const char *, absolute and simplest */
	FIELD_SIZE, /* uint64_t bytes, "512m" */
	FIELD_SKIP, /* any value, looked at by nobody: accepted for old kits */
};
enum field_flags {
	FIELD_REQUIRED = 1,
	FIELD_QUIET = 2, /* says who the kit is, not what to do: not noted as a use */
};
struct field {
	const char *name;
	enum field_type type;
	size_t at; /* offset in the item */
	int (*take)(struct decode *d, const struct ynode *v, void *item);
	unsigned flags;
};

#define FAULT(d, node, ...) yaml_fault((d)->e, (d)->t, (node), __VA_ARGS__)

/* decode_is() - of that kind, or nothing at all ("install:" and no more): an empty one of any kind */
bool decode_is(const struct ynode *v, enum ynode_kind kind);
int decode_nomem(struct decode *d) MUST_USE;
struct kit_place decode_at(const struct ynode *n);
/* decode_map() - @what names the mapping in messages and uses: "setup.install"; "" is the kit */
int decode_map(struct decode *d, const struct ynode *map, const char *what,
	const struct field *fields, size_t n, void *item) MUST_USE;
/* decode_list() - a list of mappings into an array of items, each @size bytes and beginning with its
 * struct kit_place; done() (may be NULL) judges each as a whole.
 */
struct list_form {
	const char *what;
	const struct field *fields;
	size_t n, size;
	void (*init)(void *item); /* defaults; NULL: zeroes */
	int (*done)(struct decode *d, const struct ynode *v, void *item);
};
int decode_list(struct decode *d, const struct ynode *v, const struct list_form *form,
	void *ret_items, size_t *ret_n) MUST_USE;
int decode_text(
	struct decode *d, const struct ynode *v, const char *what, const char **ret) MUST_USE;
int decode_word(
	struct decode *d, const struct ynode *v, const char *what, struct kit_word *ret) MUST_USE;
int decode_words(
	struct decode *d, const struct ynode *v, const char *what, struct kit_words *ret) MUST_USE;
int decode_bool(struct decode *d, const struct ynode *v, const char *what, bool *ret) MUST_USE;
int decode_size(struct decode *d, const struct ynode *v, const char *what, uint64_t *ret) MUST_USE;
int decode_mode(struct decode *d, const struct ynode *v, const char *what, uint32_t max,
	uint32_t *ret) MUST_USE;
int decode_path(
	struct decode *d, const struct ynode *v, const char *what, const char **ret) MUST_USE;
int decode_warn(struct decode *d, struct kit_place at, const char *fmt, ...)
	PRINTF_LIKE(3, 4) MUST_USE;
/* decode_number() - plain decimal within bounds */
int decode_number(struct decode *d, const struct ynode *v, const char *what, uint64_t min,
	uint64_t max, uint64_t *ret) MUST_USE;

/* the mappings that both schemas have, or that are large */
int decode_setup(struct decode *d, const struct ynode *v, void *item) MUST_USE; /* "setup" */
int decode_commands(struct decode *d, const struct ynode *v, void *item) MUST_USE; /* schema 1 */
int decode_environment(struct decode *d, const struct ynode *v, void *item) MUST_USE;
int decode_variables(struct decode *d, const struct ynode *v, void *item) MUST_USE;
int decode_ports(struct decode *d, const struct ynode *v, void *item) MUST_USE;
int decode_volumes(struct decode *d, const struct ynode *v, void *item) MUST_USE;
int decode_tmpfs(struct decode *d, const struct ynode *v, void *item) MUST_USE; /* schema 1 */
int decode_sandbox(struct decode *d, const struct ynode *v, void *item) MUST_USE;
int decode_agent1(struct decode *d, const struct ynode *v, void *item) MUST_USE; /* schema 1 */
int decode_credentials(struct decode *d, const struct ynode *v, void *item) MUST_USE;
int decode_oauth(struct decode *d, const struct ynode *v, struct kit_oauth *ret) MUST_USE;
int decode_allow(struct decode *d, const struct ynode *v, void *item) MUST_USE;
int decode_deny(struct decode *d, const struct ynode *v, void *item) MUST_USE;
int decode_install_allow(struct decode *d, const struct ynode *v, void *item) MUST_USE;
/* decode_printable() - text that ends up in requests or in the guest's environment */
int decode_printable(
	struct decode *d, const struct ynode *v, const char *what, const char **ret) MUST_USE;
int decode_service(
	struct decode *d, const struct ynode *v, const char *what, const char **ret) MUST_USE;
int decode_domain(
	struct decode *d, const struct ynode *v, const char *what, const char **ret) MUST_USE;
int decode_header(
	struct decode *d, const struct ynode *v, const char *what, const char **ret) MUST_USE;
int decode_format(
	struct decode *d, const struct ynode *v, const char *what, const char **ret) MUST_USE;
int decode_v1(struct decode *d, const struct ynode *root) MUST_USE;
int decode_v2(struct decode *d, const struct ynode *root) MUST_USE;
/* what holds for the whole kit, whichever schema */
int decode_name(struct decode *d, const struct ynode *v, void *item) MUST_USE;
int decode_content(struct decode *d, const struct ynode *v, void *item) MUST_USE;
int decode_instructions_file(struct decode *d, const struct ynode *v, void *item) MUST_USE;
int decode_whole(struct decode *d, const struct ynode *root) MUST_USE;
int decode_runs(
	struct decode *d, const struct ynode *root) MUST_USE; /* is there something to run? */
#endif
