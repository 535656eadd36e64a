/* encode.c - a policy as bytes: what front and vault get in CONFIG
 *
 * u32 "SBXP", u16 version, u8 layers; each layer: u8 governed, u32 n and n bypass texts, u32 n and n
 * rules: u8 source, u8 decision, u8 flags, u16 methods, texts id, resource, path, grpc, origin. A text is
 * wire_put_str()'s; flag bits say which of path and grpc are there.
 */
#include "base/wire.h"
#include "policy/internal.h"
#include "policy/path.h"
#include <assert.h>
#include <errno.h>
#include <string.h>

#define MAGIC	0x50584253U
#define VERSION 1

enum { FLAG_WEBSOCKET = 1, FLAG_PATH = 2, FLAG_GRPC = 4 };

/* bytes of the longest rule: five texts with their lengths, five bytes of numbers */
#define RULE_BYTES                                                                                 \
	(POLICY_ID_MAX + POLICY_PATTERN_MAX + POLICY_PATH_PATTERN_MAX + POLICY_GRPC_MAX +          \
		POLICY_ORIGIN_MAX + 5 * 4 + 8)

static int put_rule(const struct policy_rule *r, struct buf *out)
{
	uint8_t bytes[RULE_BYTES];
	struct wire_w w = wire_writer(bytes, sizeof(bytes));

	wire_put_u8(&w, (uint8_t)r->source);
	wire_put_u8(&w, (uint8_t)r->decision);
	wire_put_u8(&w, (uint8_t)((r->websocket ? FLAG_WEBSOCKET : 0) | (r->path ? FLAG_PATH : 0) |
				  (r->grpc ? FLAG_GRPC : 0)));
	wire_put_u16(&w, r->methods);
	wire_put_str(&w, r->id);
	wire_put_str(&w, r->resource);
	if (r->path)
		wire_put_str(&w, r->path);
	if (r->grpc)
		wire_put_str(&w, r->grpc);
	wire_put_str(&w, r->origin);
	assert(!w.bad);
	return buf_add(out, bytes, w.pos);
}

static int put_layer(const struct policy_layer *l, struct buf *out)
{
	uint8_t bytes[POLICY_PATTERN_MAX + 4];
	struct wire_w w = wire_writer(bytes, sizeof(bytes));
	int r;

	wire_put_u8(&w, l->governed);
	wire_put_u32(&w, l->n_bypass);
	r = buf_add(out, bytes, w.pos);
	for (uint32_t i = 0; i < l->n_bypass && r == 0; i++) {
		w.pos = 0;
		wire_put_str(&w, l->bypass_text[i]);
		r = buf_add(out, bytes, w.pos);
	}
	w.pos = 0;
	wire_put_u32(&w, l->n);
	if (r == 0)
		r = buf_add(out, bytes, w.pos);
	for (uint32_t i = 0; i < l->n && r == 0; i++)
		r = put_rule(&l->entries[i].rule, out);
	return r;
}

int policy_encode(const struct policy *p, struct buf *out)
{
	const size_t before = out->len;
	uint8_t bytes[8];
	struct wire_w w = wire_writer(bytes, sizeof(bytes));
	int r;

	assert(p->sealed);
	wire_put_u32(&w, MAGIC);
	wire_put_u16(&w, VERSION);
	wire_put_u8(&w, (uint8_t)p->n_layers);
	r = buf_add(out, bytes, w.pos);
	for (size_t i = 0; i < p->n_layers && r == 0; i++)
		r = put_layer(p->layers[i], out);
	return r < 0 ? r : out->len - before > POLICY_BYTES_MAX ? -EMSGSIZE : 0;
}

/* get_text() - into @dst; false when it is too long */
static bool get_text(struct wire_r *r, char *dst, size_t cap)
{
	wire_get_strz(r, dst, cap);
	return !r->bad;
}

/* Texts of one rule while it is decoded; taken from the heap once, a policy may be read on any stack. */
struct texts {
	char id[POLICY_ID_MAX + 1], resource[POLICY_PATTERN_MAX], path[POLICY_PATH_PATTERN_MAX + 1],
		grpc[POLICY_GRPC_MAX + 1], origin[POLICY_ORIGIN_MAX + 1];
};

static int get_rule(struct wire_r *r, struct policy *p, struct texts *t)
{
	struct policy_rule rule = {.id = t->id, .resource = t->resource, .origin = t->origin};
	unsigned flags;
	int rc;

	rule.source = (enum policy_source)wire_get_u8(r);
	rule.decision = (enum policy_decision)wire_get_u8(r);
	flags = wire_get_u8(r);
	rule.methods = wire_get_u16(r);
	if (!get_text(r, t->id, sizeof(t->id)) || !get_text(r, t->resource, sizeof(t->resource)))
		return -EBADMSG;
	if (flags & FLAG_PATH) {
		if (!get_text(r, t->path, sizeof(t->path)))
			return -EBADMSG;
		rule.path = t->path;
	}
	if (flags & FLAG_GRPC) {
		if (!get_text(r, t->grpc, sizeof(t->grpc)))
			return -EBADMSG;
		rule.grpc = t->grpc;
	}
	rule.websocket = flags & FLAG_WEBSOCKET;
	if (!get_text(r, t->origin, sizeof(t->origin)) || flags > 7)
		return -EBADMSG;
	rc = policy_add(p, &rule, NULL);
	if (rc < 0)
		return rc == -ENOMEM ? rc : -EBADMSG;
	/* only the canonical form is accepted: one policy, one sequence of bytes */
	{
		const struct policy_layer *l = p->layers[0];
		const struct policy_rule *got = &l->entries[l->n - 1].rule;

		if (strcmp(got->resource, rule.resource) != 0 || !got->path != !rule.path)
			return -EBADMSG;
	}
	return 0;
}

static int get_layer(struct wire_r *r, struct policy *p, struct texts *t)
{
	unsigned governed = wire_get_u8(r);
	uint32_t n = wire_get_u32(r);
	int rc;

	if (r->bad || governed > 1 || n > POLICY_BYPASS_MAX)
		return -EBADMSG;
	p->layers[0]->governed = governed;
	for (uint32_t i = 0; i < n; i++) {
		if (!get_text(r, t->resource, sizeof(t->resource)))
			return -EBADMSG;
		rc = policy_add_bypass(p, t->resource, NULL);
		if (rc < 0)
			return rc == -ENOMEM ? rc : -EBADMSG;
		if (strcmp(p->layers[0]->bypass_text[i], t->resource) != 0)
			return -EBADMSG;
	}
	n = wire_get_u32(r);
	if (r->bad || n > POLICY_RULES_MAX)
		return -EBADMSG;
	for (uint32_t i = 0; i < n; i++) {
		rc = get_rule(r, p, t);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int get_layers(struct wire_r *r, struct policy *p, struct texts *t)
{
	unsigned n;
	int rc = 0;

	if (wire_get_u32(r) != MAGIC || wire_get_u16(r) != VERSION)
		return -EBADMSG;
	n = wire_get_u8(r);
	if (n < 1 || n > POLICY_LAYERS_MAX)
		return -EBADMSG;
	for (unsigned i = 0; i < n && rc == 0; i++) {
		struct policy_layer *own = p->layers[0];

		if (i > 0) {
			struct policy_layer *l = policy_layer_new(p);

			if (!l)
				return -ENOMEM;
			p->layers[0] = l; /* policy_add() adds to the first */
		}
		rc = get_layer(r, p, t);
		p->layers[0] = own;
	}
	if (rc == 0 && !wire_done(r))
		rc = -EBADMSG;
	return rc;
}

int policy_decode(const void *bytes, size_t len, struct policy **ret_p)
{
	AUTO_POLICY *p = policy_new();
	AUTO_FREE struct texts *t = malloc(sizeof(*t));
	struct wire_r r = wire_reader(bytes, len);
	int rc;

	if (!p || !t)
		return -ENOMEM;
	if (len > POLICY_BYTES_MAX)
		return -EBADMSG;
	rc = get_layers(&r, p, t);
	if (rc == 0)
		rc = policy_seal(p);
	if (rc == 0)
		*ret_p = TAKE(p);
	return rc;
}
