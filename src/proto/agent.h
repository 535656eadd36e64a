/* agent.h - messages between host and sbx-guest: structs ⇄ bytes, no I/O
 *
 * docs/protocol/agent.md. Encoders append one whole frame to @out (-EMSGSIZE, -ENOBUFS, -ENOMEM,
 * -EINVAL for text with NUL). Decoders take a frame's body and return PROTO_OK, or PROTO_MALFORMED
 * and then the struct is empty. Decoded lists are heap copies: call the type's _fini() afterwards
 * (it copes with an empty struct).
 */
#ifndef PROTO_AGENT_H
#define PROTO_AGENT_H
#include "proto/frame.h"

#define AGENT_LIST_MAX	  4096 /* items of any list */
#define AGENT_MOUNT_MAX	  64
#define AGENT_VOLUME_MAX  64
#define AGENT_CA_MAX	  8192
#define AGENT_VERSION	  5 /* of HELLO */
#define AGENT_SESSION_MAX 32
#define AGENT_CREDIT	  65536 /* bytes of STDIN granted at first */

enum proto_result { PROTO_OK, PROTO_MALFORMED };

/* A list of strings as one allocation: v[n] is NULL, so it serves as argv. */
struct agent_strv {
	char **v;
	size_t n;
};
void agent_strv_fini(struct agent_strv *s);

enum { AGENT_MOUNT_RO = 1, AGENT_MOUNT_FILE = 2 };

struct agent_mount {
	uint32_t export_index;
	uint8_t flags; /* AGENT_MOUNT_* */
	char *path; /* absolute, in the guest */
};

enum { AGENT_VOLUME_TMPFS = 1 };

/* A directory beside the root: of the scratch disk, or memory. */
struct agent_volume {
	uint8_t flags; /* AGENT_VOLUME_* */
	uint32_t mode; /* permission bits and sticky; 0: not said */
	uint64_t
		bytes; /* of memory at most; 0: not said. A disk's directory has no limit of its own. */
	char *path; /* absolute, in the guest */
};

struct agent_setup {
	uint64_t time_ns;
	uint8_t entropy[64];
	char hostname[64];
	char user[33];
	uint32_t uid, gid;
	char home[256];
	char cwd[4096];
	struct agent_mount mounts[AGENT_MOUNT_MAX];
	size_t n_mounts;
	struct agent_strv env;
	char ca[AGENT_CA_MAX]; /* PEM of the authority to trust, "" for none */
	struct agent_volume volumes[AGENT_VOLUME_MAX];
	size_t n_volumes;
};
void agent_setup_fini(struct agent_setup *m);
int agent_put_setup(struct buf *out, const struct agent_setup *m) MUST_USE;
enum proto_result agent_get_setup(const struct frame *f, struct agent_setup *ret_m) MUST_USE;

enum { AGENT_EXEC_TTY = 1, AGENT_EXEC_STDIN = 2, AGENT_EXEC_PERSIST = 4, AGENT_EXEC_SERVICE = 8 };

struct agent_exec {
	uint32_t flags; /* AGENT_EXEC_* */
	uint16_t rows, cols;
	char user[64];
	char cwd[4096];
	char session[AGENT_SESSION_MAX + 1];
	struct agent_strv argv, env;
};
void agent_exec_fini(struct agent_exec *m);
int agent_put_exec(struct buf *out, const struct agent_exec *m) MUST_USE;
enum proto_result agent_get_exec(const struct frame *f, struct agent_exec *ret_m) MUST_USE;

enum { AGENT_ATTACH_REPLAY = 1, AGENT_ATTACH_WATCH = 2 }; /* one of them or none */
struct agent_attach {
	uint32_t flags;
	uint16_t rows, cols;
	char session[AGENT_SESSION_MAX + 1];
};
int agent_put_attach(struct buf *out, const struct agent_attach *m) MUST_USE;
enum proto_result agent_get_attach(const struct frame *f, struct agent_attach *ret_m) MUST_USE;

enum { AGENT_PUT_AS = 1, AGENT_PUT_KEEP = 2 };
struct agent_put {
	uint32_t flags;
	char path[4096];
	uint32_t uid, gid;
};
int agent_put_put(struct buf *out, const struct agent_put *m) MUST_USE;
enum proto_result agent_get_put(const struct frame *f, struct agent_put *ret_m) MUST_USE;

enum { AGENT_SETTLE_END = 1, AGENT_SETTLE_SYNC = 2 };

enum { AGENT_GET_FOLLOW = 1, AGENT_GET_IMAGE = 2 };
struct agent_get {
	uint32_t flags;
	char path[4096];
};
int agent_put_get(struct buf *out, const struct agent_get *m) MUST_USE;
enum proto_result agent_get_get(const struct frame *f, struct agent_get *ret_m) MUST_USE;

struct agent_hello {
	uint32_t version;
	char kernel[65];
};
int agent_put_hello(struct buf *out, const struct agent_hello *m) MUST_USE;
enum proto_result agent_get_hello(const struct frame *f, struct agent_hello *ret_m) MUST_USE;

struct agent_error {
	uint32_t num; /* positive errno of Linux x86-64 */
	char text[256];
};
int agent_put_error(struct buf *out, int num, const char *fmt, ...) PRINTF_LIKE(3, 4) MUST_USE;
enum proto_result agent_get_error(const struct frame *f, struct agent_error *ret_m) MUST_USE;

struct agent_exit {
	uint32_t code; /* 0..255 */
	uint8_t signal;
};
int agent_put_exit(struct buf *out, struct agent_exit m) MUST_USE;
enum proto_result agent_get_exit(const struct frame *f, struct agent_exit *ret_m) MUST_USE;

struct agent_size {
	uint16_t rows, cols;
};
int agent_put_resize(struct buf *out, struct agent_size m) MUST_USE;
enum proto_result agent_get_resize(const struct frame *f, struct agent_size *ret_m) MUST_USE;

struct agent_usage {
	uint64_t mem_total, mem_available, cpu_ms, scratch_total, scratch_free;
	uint32_t processes;
	uint32_t commands; /* of requests, sessions included, that have not ended */
};
int agent_put_usage(struct buf *out, const struct agent_usage *m) MUST_USE;
enum proto_result agent_get_usage(const struct frame *f, struct agent_usage *ret_m) MUST_USE;

/* one number: CREDIT, STARTED, SHUTDOWN, SETTLE (u32); READY, CLOCK (u64); SIGNAL (u8); DIAL (u16) */
int agent_put_u8(struct buf *out, enum frame_type type, uint8_t v) MUST_USE;
int agent_put_u16(struct buf *out, enum frame_type type, uint16_t v) MUST_USE;
int agent_put_u32(struct buf *out, enum frame_type type, uint32_t v) MUST_USE;
int agent_put_u64(struct buf *out, enum frame_type type, uint64_t v) MUST_USE;
enum proto_result agent_get_u8(const struct frame *f, uint8_t *ret_v) MUST_USE;
enum proto_result agent_get_u16(const struct frame *f, uint16_t *ret_v) MUST_USE;
enum proto_result agent_get_u32(const struct frame *f, uint32_t *ret_v) MUST_USE;
enum proto_result agent_get_u64(const struct frame *f, uint64_t *ret_v) MUST_USE;
/* one text: STEP (at most 255 bytes) */
int agent_put_text(struct buf *out, enum frame_type type, const char *text) MUST_USE;
enum proto_result agent_get_text(const struct frame *f, char *dst, size_t cap) MUST_USE;
/* no payload: PING, OK, END, USAGE */
int agent_put_empty(struct buf *out, enum frame_type type) MUST_USE;
#endif
