/* envfile_int.h - what the files envfile*.c share */
#ifndef KIT_ENVFILE_INT_H
#define KIT_ENVFILE_INT_H
#include "kit/envfile.h"
#include "kit/ytree.h"

struct env_read {
	const struct ytree *t;
	const struct envfile *src;
	const char *project;
	const struct js *args; /* NAME: {"value": text or null} */
	struct err *e;
};

/* A field of a mapping: @take puts @v into o[@key]; @what is the whole name for messages ("ports.host"). */
struct env_field {
	const char *name;
	int (*take)(struct env_read *r, const struct ynode *v, const char *what, struct js *o,
		const char *key);
	const char *key; /* NULL: @name */
};

#define ENV_FAULT(r, node, ...) yaml_fault((r)->e, (r)->t, (node), __VA_ARGS__)

int env_nomem(struct err *e) MUST_USE;
/* env_absent() - "field:" and nothing behind it */
bool env_absent(const struct ynode *v);
/* env_fields() - a mapping by its table; what is not in it is an error */
int env_fields(struct env_read *r, const struct ynode *map, const char *what,
	const struct env_field *f, size_t n, struct js *o) MUST_USE;
/* env_text() - a scalar with its placeholders put in; *ret is the caller's, has no control characters
 * (@lines: but tabs and line feeds) and is not empty unless @may_be_empty
 */
enum env_text_kind { ENV_WORD, ENV_LINES, ENV_VALUE };
int env_text(struct env_read *r, const struct ynode *v, const char *what, enum env_text_kind kind,
	char **ret) MUST_USE;
int env_take_text(struct env_read *r, const struct ynode *v, const char *what, struct js *o,
	const char *key) MUST_USE;
int env_take_bool(struct env_read *r, const struct ynode *v, const char *what, struct js *o,
	const char *key) MUST_USE;
/* lines: a command; value: may be empty; seconds: "90s", "5m", "1h"; path: absolute, not looked at */
int env_take_lines(struct env_read *r, const struct ynode *v, const char *what, struct js *o,
	const char *key) MUST_USE;
int env_take_value(struct env_read *r, const struct ynode *v, const char *what, struct js *o,
	const char *key) MUST_USE;
int env_take_port(struct env_read *r, const struct ynode *v, const char *what, struct js *o,
	const char *key) MUST_USE;
int env_take_cpus(struct env_read *r, const struct ynode *v, const char *what, struct js *o,
	const char *key) MUST_USE;
int env_take_seconds(struct env_read *r, const struct ynode *v, const char *what, struct js *o,
	const char *key) MUST_USE;
int env_take_path(struct env_read *r, const struct ynode *v, const char *what, struct js *o,
	const char *key) MUST_USE;
/* env_put_args() - what @v has of "${{ … }}" and "$${{", put in; appended to @out */
int env_put_args(
	struct env_read *r, const struct ynode *v, const char *what, struct buf *out) MUST_USE;
/* env_args() - the declarations of all files and the values given: NAME: {"value"} */
int env_args(const struct ytree *trees, const struct envfile_request *q, struct js **ret,
	struct err *e) MUST_USE;
/* env_merge() - @from into @to, as envfile.h says */
int env_merge(struct js *to, const struct js *from) MUST_USE;
#endif
