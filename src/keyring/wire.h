/* wire.h - what sbxd and its helper sbx-keyring say to each other: one request, one answer, struct ⇄ bytes
 *
 * The helper is a process of its own because talking to the Secret Service needs libraries, threads and a
 * message bus that sbxd shall not have. A request goes to its standard input, the answer comes from its
 * standard output, then it ends. Little-endian: `u32` magic "SBXK", `u8` version 1, `u8` operation (in an
 * answer: result), `u8` flags, `u8` zero, `u16` seconds that it has, then three texts, each `u16` length and
 * bytes: key id, value, message for people. Nothing may follow. No I/O, no allocation. Thread: any.
 */
#ifndef KEYRING_WIRE_H
#define KEYRING_WIRE_H
#include "base/own.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KEYRING_ID_LEN	  64 /* lower case hex digits; "" for a probe */
#define KEYRING_VALUE_MAX 255
#define KEYRING_TEXT_MAX  255
#define KEYRING_BYTES_MAX (10 + 3 * 2 + KEYRING_ID_LEN + KEYRING_VALUE_MAX + KEYRING_TEXT_MAX)
#define KEYRING_WAIT_MAX  300

enum keyring_op {
	KEYRING_PROBE = 1, /* could a key be kept? nobody is asked for anything */
	KEYRING_GET,
	KEYRING_PUT, /* replaces */
	KEYRING_DROP, /* one that is not there is no fault */
};

enum keyring_result {
	KEYRING_OK,
	KEYRING_NOT_FOUND, /* no key of that id */
	KEYRING_NO_BUS, /* there is no message bus of a session */
	KEYRING_NO_SERVICE, /* nobody on it keeps secrets */
	KEYRING_NO_COLLECTION, /* it has no default keyring */
	KEYRING_LOCKED, /* it stayed locked: dismissed, or nobody could be asked */
	KEYRING_TIMEOUT,
	KEYRING_FAILED, /* the service says why in the text */
	KEYRING_RESULTS
};

#define KEYRING_FLAG_LOCKED 1 /* of a probe's answer: it would ask for a password */

struct keyring_message {
	uint8_t code; /* enum keyring_op or keyring_result */
	uint8_t flags;
	uint16_t wait_s;
	char id[KEYRING_ID_LEN + 1];
	char value[KEYRING_VALUE_MAX + 1]; /* printable ASCII */
	char text[KEYRING_TEXT_MAX + 1]; /* printable ASCII */
};

/* keyring_put() - bytes written into @dst, or 0 when @m has no such form */
size_t keyring_put(const struct keyring_message *m, bool answer, uint8_t dst[KEYRING_BYTES_MAX]);
/* keyring_get() - false: malformed; nothing of *ret_m is to be used then */
bool keyring_get(const void *p, size_t len, bool answer, struct keyring_message *ret_m) MUST_USE;
#endif
