#include "kit/decode.h"
#include <errno.h>
#include <stddef.h>
#include <string.h>

#define IN_SPEC(member) offsetof(struct kit_spec, member)
#define CPUS_MAX	1024
#define IMAGE_MAX	512

/* The sandbox of an agent: what schema 2 calls sandbox, schema 1 agent (or, of late, sandbox). */

static int take_image(struct decode *d, const struct ynode *v, void *item)
{
	const char *c;
	int r = decode_word(d, v, "image", &d->s->image);

	(void)item;
	if (r < 0)
		return r;
	for (c = d->s->image.text; *c; c++)
		if (*c <= ' ' || *c >= 0x7f)
			break;
	return *c || c == d->s->image.text || c - d->s->image.text > IMAGE_MAX ||
			       d->s->image.text[0] == '-'
		       ? FAULT(d, v, "image is no reference of an image")
		       : 0;
}

static int words_of_command(struct decode *d, const struct ynode *v, const char *what,
	struct kit_words *ret, bool program)
{
	int r = decode_words(d, v, what, ret);

	if (r == 0 && program && ret->n && ret->v[0].text[0] == '\0')
		return FAULT(d, v, "%s begins with an empty word", what);
	return r;
}

static int take_entrypoint(struct decode *d, const struct ynode *v, void *item)
{
	(void)item;
	return words_of_command(d, v, "sandbox.entrypoint", &d->s->entrypoint, true);
}

static int take_command(struct decode *d, const struct ynode *v, void *item)
{
	static const struct field fields[] = {
		{"default", FIELD_WORDS, IN_SPEC(command), NULL, 0},
		{"interactive", FIELD_WORDS, IN_SPEC(interactive), NULL, 0},
	};

	if (v->kind == YNODE_LIST)
		return decode_words(d, v, "sandbox.command", &d->s->command);
	return decode_map(d, v, "sandbox.command", fields, ARRAY_LEN(fields), item);
}

/* "4", "0.5", "2.25": thousandths, and no exponents */
static int take_cpu(struct decode *d, const struct ynode *v, void *item)
{
	const char *c = v->kind == YNODE_SCALAR ? v->text : "";
	uint64_t milli = 0;
	unsigned places = 0;
	bool point = false, any = false;

	(void)item;
	for (; *c && milli <= CPUS_MAX * UINT64_C(1000) && places < 4; c++) {
		if (*c == '.' && any && !point) {
			point = true;
			continue;
		}
		if (*c < '0' || *c > '9')
			break;
		milli = milli * 10 + (uint64_t)(*c - '0');
		places += point;
		any = true;
	}
	for (unsigned i = places; i < 3; i++)
		milli *= 10;
	if (*c || !any || places > 3 || milli == 0 || milli > CPUS_MAX * UINT64_C(1000))
		return FAULT(d, v, "sandbox.resources.cpu must be a number up to %d", CPUS_MAX);
	d->s->cpu_milli = (uint32_t)milli;
	return 0;
}

static int take_memory_mb(struct decode *d, const struct ynode *v, void *item)
{
	uint64_t n = 0;
	int r = decode_number(d, v, "memoryMB", 1, UINT32_MAX, &n);

	(void)item;
	d->s->memory_bytes = n << 20;
	return r;
}

static int take_resources(struct decode *d, const struct ynode *v, void *item)
{
	static const struct field fields[] = {
		{"cpu", FIELD_TAKE, 0, take_cpu, 0},
		{"memory", FIELD_SIZE, IN_SPEC(memory_bytes), NULL, 0},
		{"gpu", FIELD_WORD, IN_SPEC(gpu), NULL, 0},
		{"memoryMB", FIELD_TAKE, 0, take_memory_mb, 0},
	};
	size_t n = d->s->schema == 1 ? ARRAY_LEN(fields) : ARRAY_LEN(fields) - 1;

	return decode_map(d, v, "sandbox.resources", fields, n, item);
}

struct build {
	const char *context, *dockerfile, *target;
	struct kit_words platforms;
};

static int take_build_args(struct decode *d, const struct ynode *v, void *item)
{
	const struct ynode *key, *value;

	(void)item;
	if (!decode_is(v, YNODE_MAP))
		return FAULT(d, v, "sandbox.build.args must be a mapping");
	for (key = ynode_first(d->t, v); key; key = ynode_next(d->t, value)) {
		const char *text;
		int r;

		value = ynode_next(d->t, key);
		r = decode_text(d, value, key->text, &text);
		if (r < 0)
			return r;
	}
	return 0;
}

/* How the image was made: it says nothing to who runs it. */
static int take_build(struct decode *d, const struct ynode *v, void *item)
{
	static const struct field fields[] = {
		{"context", FIELD_TEXT, offsetof(struct build, context), NULL, FIELD_QUIET},
		{"dockerfile", FIELD_TEXT, offsetof(struct build, dockerfile), NULL, FIELD_QUIET},
		{"target", FIELD_TEXT, offsetof(struct build, target), NULL, FIELD_QUIET},
		{"platforms", FIELD_WORDS, offsetof(struct build, platforms), NULL, FIELD_QUIET},
		{"args", FIELD_TAKE, 0, take_build_args, FIELD_QUIET},
	};
	struct build b = {0};

	(void)item;
	return decode_map(d, v, "sandbox.build", fields, ARRAY_LEN(fields), &b);
}

/* nothing_to_run() - an agent that inherits has its parent's command, one with an image perhaps that of the image */
static int judge_argv(struct decode *d, const struct ynode *v)
{
	const struct kit_spec *s = d->s;

	if (s->extends.text || s->entrypoint.n)
		return 0;
	if (s->command.n ? s->command.v[0].text[0] == '\0' : !s->image.text)
		return FAULT(d, v, "the agent has neither entrypoint nor command: nothing to run");
	if (s->interactive.given && s->interactive.n == 0)
		return FAULT(d, v, "sandbox.command.interactive is empty: nothing to run");
	return 0;
}

static bool has(const struct ytree *t, const struct ynode *map, const char *name)
{
	for (const struct ynode *k = ynode_first(t, map); k; k = ynode_next(t, ynode_next(t, k)))
		if (strcmp(k->text, name) == 0)
			return true;
	return false;
}

int decode_sandbox(struct decode *d, const struct ynode *v, void *item)
{
	static const struct field fields[] = {
		{"image", FIELD_TAKE, 0, take_image, 0},
		{"build", FIELD_TAKE, 0, take_build, FIELD_QUIET},
		{"entrypoint", FIELD_TAKE, 0, take_entrypoint, 0},
		{"command", FIELD_TAKE, 0, take_command, 0},
		{"resources", FIELD_TAKE, 0, take_resources, 0},
	};
	int r = decode_map(d, v, "sandbox", fields, ARRAY_LEN(fields), item);

	if (r == 0 && has(d->t, v, "build") && !d->s->image.text)
		return FAULT(
			d, v, "sandbox.build needs sandbox.image: nothing is built at a start");
	/* extends may stand behind: judged when the whole kit is there */
	return r;
}

/* ---- schema 1 ---- */

static int take_run1(struct decode *d, const struct ynode *v, void *item)
{
	(void)item;
	return words_of_command(d, v, "entrypoint.run", &d->s->entrypoint, true);
}

static int take_entrypoint1(struct decode *d, const struct ynode *v, void *item)
{
	static const struct field fields[] = {
		{"run", FIELD_TAKE, 0, take_run1, 0},
		{"args", FIELD_WORDS, IN_SPEC(command), NULL, 0},
		{"ttyArgs", FIELD_WORDS, IN_SPEC(interactive), NULL, 0},
		{"pipeMode", FIELD_SKIP, 0, NULL, FIELD_QUIET},
	};

	return decode_map(d, v, "agent.entrypoint", fields, ARRAY_LEN(fields), item);
}

static int take_persistence(struct decode *d, const struct ynode *v, void *item)
{
	const char *text;
	int r = decode_text(d, v, "persistence", &text);

	(void)item;
	if (r == 0 && strcmp(text, "persistent") != 0 && strcmp(text, "ephemeral") != 0)
		return FAULT(d, v, "persistence must be persistent or ephemeral");
	return r < 0 ? r
		     : decode_warn(d, decode_at(v),
			       "persistence has no effect: what a sandbox writes stays until rm");
}

int decode_agent1(struct decode *d, const struct ynode *v, void *item)
{
	static const struct field fields[] = {
		{"image", FIELD_TAKE, 0, take_image, 0},
		{"aiFilename", FIELD_TAKE, 0, decode_instructions_file, 0},
		{"entrypoint", FIELD_TAKE, 0, take_entrypoint1, 0},
		{"persistence", FIELD_TAKE, 0, take_persistence, FIELD_QUIET},
		{"resources", FIELD_TAKE, 0, take_resources, 0},
	};

	return decode_map(d, v, "agent", fields, ARRAY_LEN(fields), item);
}

int decode_runs(struct decode *d, const struct ynode *root)
{
	for (const struct ynode *k = ynode_first(d->t, root); k;
		k = ynode_next(d->t, ynode_next(d->t, k)))
		if (strcmp(k->text, "sandbox") == 0 || strcmp(k->text, "agent") == 0)
			return judge_argv(d, ynode_next(d->t, k));
	return 0;
}
