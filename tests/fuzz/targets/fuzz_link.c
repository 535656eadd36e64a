/* fuzz_link.c - link messages: whatever is taken encodes to itself again
 *
 * Input: one byte (does a descriptor come with it?), then the message.
 */
#include "link/link.h"
#include <assert.h>
#include <stddef.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct link_msg m, again;
	uint8_t bytes[LINK_BYTES];
	bool fd;

	if (size < 1)
		return 0;
	fd = data[0] & 1;
	if (link_decode(data + 1, size - 1, fd, &m) != LINK_OK)
		return 0;
	assert(size - 1 == LINK_BYTES && fd == link_op_takes_fd(m.op));
	assert(memchr(m.text, 0, LINK_TEXT) && m.result <= 0);
	link_encode(bytes, &m);
	assert(link_decode(bytes, sizeof(bytes), fd, &again) == LINK_OK);
	assert(again.op == m.op && again.state == m.state && again.seq == m.seq);
	assert(strcmp(again.text, m.text) == 0);
	return 0;
}
