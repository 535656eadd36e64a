/* vhost_user_msg.h - vhost-user messages: bytes to checked structs and back, no I/O
 *
 * The back-end's side of what QEMU 7.2 sends for vsock and file-system devices (vhost-user
 * protocol text of QEMU, docs/interop/vhost-user). The peer may have been taken over: whatever does
 * not have exactly the size, the flags and the number of descriptors of its request is refused.
 * What a value means here and now (ring index, addresses, state) is judged by vhost_user.c.
 */
#ifndef VIRTIO_VHOST_USER_MSG_H
#define VIRTIO_VHOST_USER_MSG_H
#include "base/own.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VU_HEADER_BYTES 12
#define VU_PAYLOAD_MAX	(12 + VU_CONFIG_MAX)
#define VU_CONFIG_MAX	256
#define VU_REGIONS_MAX	8
#define VU_FDS_MAX	8

#define VU_F_PROTOCOL_FEATURES 30 /* feature bit: GET/SET_PROTOCOL_FEATURES exist */

/* Protocol feature bits. */
#define VU_P_MQ		  0
#define VU_P_REPLY_ACK	  3
#define VU_P_CONFIG	  9
#define VU_P_RESET_DEVICE 13

enum vu_request {
	VU_GET_FEATURES = 1,
	VU_SET_FEATURES = 2,
	VU_SET_OWNER = 3,
	VU_RESET_OWNER = 4,
	VU_SET_MEM_TABLE = 5,
	VU_SET_VRING_NUM = 8,
	VU_SET_VRING_ADDR = 9,
	VU_SET_VRING_BASE = 10,
	VU_GET_VRING_BASE = 11,
	VU_SET_VRING_KICK = 12,
	VU_SET_VRING_CALL = 13,
	VU_SET_VRING_ERR = 14,
	VU_GET_PROTOCOL_FEATURES = 15,
	VU_SET_PROTOCOL_FEATURES = 16,
	VU_GET_QUEUE_NUM = 17,
	VU_SET_VRING_ENABLE = 18,
	VU_GET_CONFIG = 24,
	VU_SET_CONFIG = 25,
	VU_RESET_DEVICE = 34,
	VU_REQUEST_COUNT
};

/* Why a connection ended. */
enum vu_result {
	VU_OK,
	VU_CLOSED, /* the peer closed it */
	VU_BAD_HEADER, /* version, flags */
	VU_BAD_REQUEST, /* unknown, or not offered */
	VU_BAD_SIZE, /* payload not of the request's size */
	VU_BAD_FDS, /* too many, too few, not of the kind needed */
	VU_BAD_VALUE, /* a field is out of its range */
	VU_BAD_STATE, /* not allowed now */
	VU_BAD_MEMORY, /* the memory table cannot be mapped */
	VU_BAD_RING, /* ring addresses outside of memory, misaligned, overlapping */
	VU_HOST_FAILED, /* our side: no descriptor or memory left, socket error, reply not taken */
	VU_RESULT_COUNT
};

struct vu_region {
	uint64_t gpa, size, user, offset;
};

struct vu_msg {
	enum vu_request request;
	bool need_reply;
	union {
		uint64_t u64; /* features, protocol features */
		struct {
			uint32_t index, num;
		} ring; /* NUM, BASE, ENABLE; GET_VRING_BASE (num unused) */
		struct {
			uint32_t index, flags;
			uint64_t desc, used, avail, log;
		} addr;
		struct {
			unsigned index;
			bool has_fd;
		} ring_fd; /* KICK, CALL, ERR */
		struct {
			unsigned n;
			struct vu_region region[VU_REGIONS_MAX];
		} mem;
		struct {
			uint32_t offset, size, flags;
		} config;
	};
};

struct vu_header {
	uint32_t request, flags, size;
};

/* vu_decode_header() - @ret_header->size is at most VU_PAYLOAD_MAX */
enum vu_result vu_decode_header(
	const uint8_t p[VU_HEADER_BYTES], struct vu_header *ret_header) MUST_USE;
/* vu_decode() - @payload has header->size bytes; @n_fds came with the message */
enum vu_result vu_decode(const struct vu_header *header, const uint8_t *payload, unsigned n_fds,
	struct vu_msg *ret_msg) MUST_USE;
/* vu_has_answer() - requests with an answer of their own, which never get an acknowledgement */
bool vu_has_answer(enum vu_request request);
/* vu_encode() - header and payload of an answer into @dst; returns its bytes.
 * @len is at most VU_PAYLOAD_MAX
 */
size_t vu_encode(uint8_t dst[VU_HEADER_BYTES + VU_PAYLOAD_MAX], enum vu_request request,
	const void *payload, size_t len);
const char *vu_result_name(enum vu_result r);
const char *vu_request_name(enum vu_request request);
#endif
