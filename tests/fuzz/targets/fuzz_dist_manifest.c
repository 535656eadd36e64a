/* fuzz_dist_manifest.c - what a registry says: the first byte chooses between the manifest of a kit, that of its
 * signatures, a signed statement, a reference and a list of places
 */
#include "dist/artifact.h"
#include "kit/zip.h"
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HEX "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"

static int kit(const char *text, size_t size, struct err *e)
{
	struct dist_kit k = {0}, again = {0};
	AUTO(buf) out;
	int r = dist_kit_read(text, size, &k, e);

	buf_init(&out, DIST_MANIFEST_MAX);
	if (r < 0)
		return r;
	assert(strlen(k.layer) == 64 && k.layer_bytes > 0 && k.layer_bytes <= KIT_ZIP_MAX);
	assert(dist_kit_write(&k, &out) == 0);
	assert(dist_kit_read(buf_str(&out), out.len, &again, e) == 0);
	assert(strcmp(k.name, again.name) == 0 && strcmp(k.version, again.version) == 0);
	assert(strcmp(k.layer, again.layer) == 0 && k.layer_bytes == again.layer_bytes);
	return 0;
}

static int signatures(const char *text, size_t size, struct err *e)
{
	static struct dist_signatures s, again;
	AUTO(buf) out;
	int r = dist_signatures_read(text, size, &s, e);

	buf_init(&out, DIST_MANIFEST_MAX);
	if (r < 0)
		return r;
	assert(s.n <= DIST_SIGNATURES_MAX);
	assert(dist_signatures_write(&s, HEX, 2, &out) == 0);
	assert(dist_signatures_read(buf_str(&out), out.len, &again, e) == 0);
	assert(s.n == again.n);
	for (size_t i = 0; i < s.n; i++)
		assert(strcmp(s.v[i].payload, again.v[i].payload) == 0 &&
			strcmp(s.v[i].value, again.v[i].value) == 0 &&
			s.v[i].payload_bytes <= DIST_PAYLOAD_MAX);
	return 0;
}

static int reference(const char *text, struct err *e)
{
	struct dist_ref ref, again;
	char origin[1024], place[DIST_PLACE_MAX], list[400];
	int r = dist_ref_parse(text, &ref, e);

	if (r < 0)
		return r;
	assert(dist_ref_origin(&ref, origin, sizeof(origin)) == 0);
	assert(dist_ref_parse(origin, &again, e) == 0);
	assert(strcmp(ref.registry, again.registry) == 0);
	assert(strcmp(ref.repository, again.repository) == 0);
	assert(dist_place_ref(&ref, place, e) == 0);
	for (const char *c = place; *c; c++)
		assert((unsigned char)*c > ' ' && (unsigned char)*c < 0x7f);
	(void)snprintf(list, sizeof(list), "[\"%s\"]", ref.registry);
	assert(dist_places_allow(list, place, e) == 0);
	assert(dist_places_allow("[]", place, e) < 0);
	*e = (struct err){0};
	return 0;
}

/* judge() - @text is terminated */
static int judge(unsigned which, const char *text, size_t size, struct err *e)
{
	char place[DIST_PLACE_MAX];

	switch (which % 6) {
	case 0:
		return kit(text, size, e);
	case 1:
		return signatures(text, size, e);
	case 2:
		return dist_payload_check(text, size, HEX, e);
	case 3:
		return reference(text, e);
	case 4:
		return dist_places_allow(text, "docker.io/library/x", e);
	default:
		return dist_place_git(text, place, e);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err e = {0};
	char *text;

	if (size < 1 || size > DIST_MANIFEST_MAX)
		return 0;
	text = strndup((const char *)data + 1, size - 1);
	if (!text)
		return 0;
	if (judge(data[0], text, strlen(text), &e) < 0)
		assert(e.code != ERR_NONE && e.msg[0]);
	free(text);
	return 0;
}
