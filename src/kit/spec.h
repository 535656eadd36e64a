/* spec.h - a kit as its spec.yaml says it: both schemas in one model, every item with its place
 *
 * kit_decode() takes a kit's whole tree (tree.h) and is pure. Schema "1" and "2" become the same
 * struct; what only one of them has is marked. Strict: unknown fields, wrong types, reserved
 * variables, paths that are not absolute and simplest, placeholders nobody declared, ... are errors
 * FILE:LINE:COLUMN, one each. What the schema has is accepted whether or not a start can act on it:
 * kit_unenforced() tells the two apart, so that a start refuses what it would have to ignore.
 *
 * A kit is untrusted input. All memory belongs to the spec; the tree it was decoded from must
 * outlive it. Thread: any.
 */
#ifndef KIT_SPEC_H
#define KIT_SPEC_H
#include "base/err.h"
#include "kit/mem.h"
#include "kit/tree.h"
#include <stdbool.h>
#include <stdint.h>

#define KIT_ARGS_MAX   64
#define KIT_VALUE_MAX  4096 /* bytes of an argument's value */
#define KIT_NAME_BYTES 65 /* a kit's name with its NUL */

struct kit_place {
	unsigned kit; /* which kit of a composition; 0 in a spec by itself */
	unsigned line, column; /* from 1; 0: no place in a file */
};

struct kit_word {
	const char *text; /* NULL: absent */
	struct kit_place at;
};
struct kit_words {
	struct kit_word *v;
	size_t n;
	bool given; /* there, if perhaps empty */
};

struct kit_variable {
	struct kit_place at;
	const char *name, *value;
	bool steers; /* makes programs load or run something (NODE_OPTIONS, ...): shown */
};

struct kit_port {
	struct kit_place at;
	uint16_t container;
	const char *protocol; /* "" (IPv4 only), "tcp", "udp" */
	const char *name; /* NULL: none */
};

struct kit_volume {
	struct kit_place at;
	const char *path; /* absolute */
	bool tmpfs;
	uint64_t bytes; /* 0: not said */
	uint32_t mode; /* permission bits and sticky; 0: not said */
};

struct kit_command {
	struct kit_place at;
	const char *shell; /* install: for sh -c; else NULL */
	struct kit_words argv; /* startup */
	const char *user; /* number or name; never NULL */
	const char *description; /* NULL: none */
	bool background;
};

struct kit_put {
	struct kit_place at;
	const char *path; /* absolute */
	const char *content; /* ${WORKDIR} not yet expanded */
	size_t len;
	uint32_t mode;
	bool if_missing;
	const char *description;
};

/* Where the value of a credential goes. Header form: header and format (one %s); Basic: username;
 * none of them (schema 1 only): where services/SERVICE.yaml puts it.
 */
struct kit_inject {
	struct kit_place at;
	const char *domain;
	const char *header, *format; /* header in small letters */
	const char *username; /* NULL: not Basic */
};

struct kit_pair {
	const char *key, *value;
};

struct kit_oauth {
	struct kit_place at; /* line 0: there is none */
	const char *host, *path; /* of the token endpoint */
	struct kit_words hosts; /* where the token is used */
	const char *access, *refresh; /* stand-ins; NULL with passthrough */
	const char *file_path; /* credentialFile; NULL: none */
	const char *structure; /* JSON text; NULL: none */
	const char *template_text; /* the older form; NULL: none */
	struct kit_pair *fields; /* responseFields */
	size_t n_fields;
	struct kit_words skip_if_env;
	bool passthrough; /* the real token goes inside */
};

/* When a credential can be used: the window of the install commands, the time after it, or both. */
enum kit_phase { KIT_PHASE_ALWAYS, KIT_PHASE_INSTALL, KIT_PHASE_RUNTIME };

struct kit_credential {
	struct kit_place at;
	const char *service;
	enum kit_phase phase; /* the owner's word */
	const char *description;
	bool required;
	struct kit_words variables; /* inside, with a stand-in: apiKey.name, proxyManaged */
	bool managed; /* proxyManaged was said */
	struct kit_inject *injects;
	size_t n_injects;
	struct kit_oauth oauth;
	bool owner; /* says where the value comes from or what holds it; else it only adds routing */
	/* schema "1": where the host has it */
	struct kit_words env;
	const char *file_path, *file_parser; /* NULL: none; parser NULL: the whole file */
	bool file_first;
};

struct kit_text {
	struct kit_place at;
	const char *text;
};

/* What composes by appending. In a spec: its own; in a plan: everybody's. */
struct kit_parts {
	struct kit_words allow, deny;
	struct kit_words install_allow; /* only while the install commands run */
	struct kit_variable *vars;
	size_t n_vars;
	struct kit_port *ports;
	size_t n_ports;
	struct kit_volume *volumes;
	size_t n_volumes;
	struct kit_credential *creds;
	size_t n_creds;
	struct kit_command *install, *startup;
	size_t n_install, n_startup;
	struct kit_put *files;
	size_t n_files;
	struct kit_text *texts; /* instructions, one a kit at most */
	size_t n_texts;
	struct kit_placed *home, *workspace; /* files/home, files/workspace */
	size_t n_home, n_workspace;
};

struct kit_placed {
	struct kit_place at; /* no line: the file itself */
	const char *path; /* beneath home or workspace */
	const struct kit_entry *entry;
	const char *bytes; /* the entry's, with arguments put in */
	size_t len;
};

enum kit_kind { KIT_MIXIN, KIT_SANDBOX };

struct kit_arg {
	struct kit_place at;
	const char *name, *description;
	const char *value; /* what holds: given, or the default */
	const char *fallback; /* default; NULL: required */
	const char *pattern; /* NULL: none */
	struct kit_words choices; /* enum */
};

/* A field of the schema that the kit has: "setup.install", ... */
struct kit_use {
	const char *field;
	struct kit_place at;
};

struct kit_spec {
	struct kit_mem mem;
	const char *file; /* how errors name spec.yaml */
	int schema; /* 1 or 2 */
	enum kit_kind kind;
	struct kit_word name;
	struct kit_word version, display_name, description, source_url; /* text NULL: absent */
	struct kit_words licenses, locked, mixins;
	struct kit_word extends, requires_agent;
	bool privileged;
	struct kit_place privileged_at;
	struct kit_word image;
	struct kit_words entrypoint, command, interactive;
	uint32_t cpu_milli; /* thousandths of a processor; 0: not said */
	uint64_t memory_bytes; /* 0: not said */
	struct kit_word gpu;
	struct kit_word
		instructions_file; /* of an agent; of a mixin it is warned about and dropped */
	struct kit_parts parts;
	struct kit_arg *args;
	size_t n_args;
	struct kit_use *uses;
	size_t n_uses;
	struct kit_word *warnings; /* sentences with their place */
	size_t n_warnings, cap_uses, cap_warnings; /* caps: private */
	const struct kit_tree *tree; /* borrowed */
};

/* Values for arguments, as --kit-arg gives them. */
struct kit_args {
	const struct kit_pair *v;
	size_t n;
	bool loose; /* what the kit does not have is somebody else's: no error */
};

/* kit_decode() - @file is how errors name the spec ("./k/spec.yaml"); @args NULL: defaults. A given
 * argument that the kit does not have, or a required one that is not given, is an error.
 */
int kit_decode(const struct kit_tree *tree, const char *file, const struct kit_args *args,
	struct kit_spec **ret_spec, struct err *e) MUST_USE;
/* kit_name_of() - the name alone, before arguments are known; judged by nothing else */
int kit_name_of(const struct kit_tree *tree, const char *file, char name[KIT_NAME_BYTES],
	struct err *e) MUST_USE;
void kit_spec_free(struct kit_spec *s); /* NULL is fine */
void kit_spec_freep(struct kit_spec **s);
#define AUTO_KIT_SPEC __attribute__((cleanup(kit_spec_freep))) struct kit_spec

/* kit_phase_name() - "", "install", "runtime" */
const char *kit_phase_name(enum kit_phase phase);

/* kit_fault() - "FILE:LINE:COLUMN: text" for a place in @s; -EINVAL */
int kit_fault(struct err *e, const struct kit_spec *s, struct kit_place at, const char *fmt, ...)
	PRINTF_LIKE(4, 5);

/* kit_unenforced() - the first field of @s that a start does not act on yet; NULL: none */
const struct kit_use *kit_unenforced(const struct kit_spec *s);
/* kit_check_enforced() - -ENOTSUP "FILE:LINE:COLUMN: not supported yet by run: FIELD" */
int kit_check_enforced(const struct kit_spec *s, struct err *e) MUST_USE;

/* kit_variable_reserved() - why a kit may not set it: a clause for an error; NULL when it may */
const char *kit_variable_reserved(const char *name);
bool kit_variable_steers(const char *name);
bool kit_variable_ok(const char *name); /* a name for a variable? */
#endif
