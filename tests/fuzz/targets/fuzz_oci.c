/* fuzz_oci.c - the JSON of an image: index, manifest, configuration; the first byte says which */
#include "image/oci.h"
#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct oci_manifest m;
	struct oci_blob blob = {0};
	struct js *run = NULL;
	struct err e = {0};
	bool index;
	int r;

	if (size < 1)
		return 0;
	const char *text = (const char *)data + 1;

	size--;
	memset(&m, 0, sizeof(m));
	switch (data[0] % 3) {
	case 0:
		r = oci_choose(text, size, data[0] & 64 ? "x" : NULL, &blob, &index, &e);
		assert(r < 0 || strlen(blob.digest) == DIGEST_HEX_LEN);
		break;
	case 1:
		r = oci_manifest(text, size, &m, &e);
		assert(r < 0 || (m.n_layers > 0 && m.n_layers <= TREE_LAYERS_MAX));
		break;
	default:
		m.n_layers = 1;
		r = oci_config(text, size, &m, &run, &e);
		assert(r < 0 ||
			(js_is_object(run) && strlen(m.layer[0].diff_id) == DIGEST_HEX_LEN));
		js_free(run);
	}
	assert(r == 0 || e.msg[0]);
	return 0;
}
