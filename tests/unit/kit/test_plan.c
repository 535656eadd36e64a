/* test_plan.c - composition: its order, its laws, its conflicts; what is asked for; texts for the agent */
#include "check.h"
#include "base/clock.h"
#include "base/escape.h"
#include "kit/plan.h"
#include "kit/resolve.h"
#include "policy/policy.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MIXIN "schemaVersion: \"2\"\nkind: mixin\n" /* 2 lines */
#define AGENT "schemaVersion: \"2\"\nkind: sandbox\nname: agent\nsandbox: {command: [sh]}\n"

struct one {
	struct kit_tree tree;
	struct kit_spec *spec;
};

static struct one *make(const char *file, const char *text, const char *home)
{
	const struct kit_entry spec = {.path = "spec.yaml", .bytes = text, .len = strlen(text)};
	const struct kit_entry f = {
		.path = "files/home/x", .bytes = home, .len = home ? strlen(home) : 0};
	struct one *k = calloc(1, sizeof(*k));
	struct err e = {0};

	assert_non_null(k);
	assert_int_equal(kit_tree_add(&k->tree, file, &spec, &e), 0);
	if (home)
		assert_int_equal(kit_tree_add(&k->tree, file, &f, &e), 0);
	assert_int_equal(kit_tree_seal(&k->tree, file, &e), 0);
	if (kit_decode(&k->tree, file, NULL, &k->spec, &e) < 0)
		fail_msg("%s: %s", text, e.msg);
	return k;
}

static void drop(struct one *k)
{
	kit_spec_free(k->spec);
	kit_tree_fini(&k->tree);
	free(k);
}

static int compose(struct one *const *kits, size_t n, struct kit_plan **ret, struct err *e)
{
	struct kit_member all[KIT_PLAN_KITS];

	*e = (struct err){0};
	*ret = NULL;
	for (size_t i = 0; i < n; i++)
		all[i] = (struct kit_member){.spec = kits[i]->spec, .origin = kits[i]->spec->file};
	return kit_compose(all, 1, all + 1, n - 1, ret, e);
}

static char *text_of(struct js *v)
{
	AUTO_JS own = v;
	AUTO(buf) out;

	buf_init(&out, 4 << 20);
	assert_non_null(own);
	assert_int_equal(js_canonical(own, &out), 0);
	return buf_take(&out);
}

/* random kits, of few words, so that they meet */
static unsigned seed = 1;
static unsigned pick(unsigned n)
{
	seed = seed * 1103515245U + 12345U;
	return (seed >> 16) % n;
}

static struct one *random_mixin(unsigned i, bool owner)
{
	char text[2048], home[16];
	size_t at = (size_t)snprintf(text, sizeof(text), MIXIN "name: m%u\n", i);

	at += (size_t)snprintf(text + at, sizeof(text) - at,
		"permissions: {network: {allow: [h%u.example, \"*.w%u.example\"], deny: "
		"[h%u.example]}}\n",
		pick(5), pick(3), pick(5));
	at += (size_t)snprintf(
		text + at, sizeof(text) - at, "ports: [{container: %u}]\n", 80 + pick(3));
	at += (size_t)snprintf(text + at, sizeof(text) - at,
		"environment: {variables: {V%u: x%u, V9: y%u}}\n", pick(4), i, i);
	at += (size_t)snprintf(text + at, sizeof(text) - at,
		"setup: {install: [{command: i%u}], startup: [{command: [s%u]}], files: [{path: "
		"/f%u, "
		"content: c%u}]}\n",
		i, i, pick(3), i);
	at += (size_t)snprintf(text + at, sizeof(text) - at, "volumes: [{path: /v%u, size: %ug}]\n",
		pick(3), 1 + i);
	at += (size_t)snprintf(
		text + at, sizeof(text) - at, "agentInstructions: {content: t%u}\n", i);
	at += (size_t)snprintf(text + at, sizeof(text) - at,
		owner ? "credentials: [{service: s%u, apiKey: {name: K%u, inject: [{domain: "
			"a%u.example, "
			"scheme: bearer}]}}]\n"
		      : "credentials: [{service: s%u, apiKey: {inject: [{domain: b%u.example, "
			"scheme: "
			"bearer}]}}]\n",
		owner ? i : pick(4), i, i);
	(void)snprintf(home, sizeof(home), "file of %u", i);
	(void)snprintf(text + at, sizeof(text) - at, "description: number %u\n", i);
	return make("m/spec.yaml", text, pick(2) ? home : NULL);
}

/* (a b) c = a (b c), for all parts */
static void test_associative(void **state)
{
	(void)state;
	for (int round = 0; round < 300; round++) {
		struct one *k[3];
		struct kit_member members[3];
		struct kit_parts p[3], left = {0}, right = {0};
		struct kit_mem mem = {0};
		struct err e = {0};
		const struct kit_merge m = {.mem = &mem, .kits = members, .e = &e};

		for (unsigned i = 0; i < 3; i++) {
			k[i] = random_mixin(i, i < 2);
			members[i] = (struct kit_member){.spec = k[i]->spec};
			p[i] = k[i]->spec->parts;
		}
		for (int i = 0; i < 3; i++)
			assert_int_equal(kit_parts_merge(&m, &left, &p[i]), 0);
		right = p[1];
		assert_int_equal(kit_parts_merge(&m, &right, &p[2]), 0);
		struct kit_parts first = p[0];
		assert_int_equal(kit_parts_merge(&m, &first, &right), 0);
		AUTO_FREE char *a = text_of(kit_parts_json(&left, NULL));
		AUTO_FREE char *b = text_of(kit_parts_json(&first, NULL));
		if (strcmp(a, b) != 0)
			fail_msg("round %d\n%s\n%s", round, a, b);
		kit_mem_fini(&mem);
		for (int i = 0; i < 3; i++)
			drop(k[i]);
	}
}

/* twice is once; and equal kits in other memory are the same kit */
static void test_idempotent(void **state)
{
	(void)state;
	for (int round = 0; round < 100; round++) {
		unsigned keep = seed;
		struct one *agent = make("a/spec.yaml", AGENT, NULL), *m = random_mixin(1, true),
			   *again, *other = random_mixin(2, true);
		struct kit_plan *x, *y;
		struct err e;

		seed = keep;
		again = random_mixin(1, true);
		assert_int_equal(compose((struct one *[]){agent, m, other}, 3, &x, &e), 0);
		assert_int_equal(
			compose((struct one *[]){agent, m, other, m, again}, 5, &y, &e), 0);
		AUTO_FREE char *a = text_of(kit_plan_json(x)), *b = text_of(kit_plan_json(y));
		assert_string_equal(a, b);
		kit_plan_free(x);
		kit_plan_free(y);
		drop(agent);
		drop(m);
		drop(again);
		drop(other);
	}
}

static enum policy_decision judged(const struct kit_plan *p, const char *name)
{
	AUTO_POLICY *policy = policy_new();
	struct policy_host host;
	struct policy_request rq = {.kind = POLICY_TUNNEL, .host = &host, .port = 443};
	struct policy_verdict v;
	struct err e = {0};
	char id[16];
	int n = 0;

	assert_non_null(policy);
	for (int deny = 0; deny < 2; deny++) {
		const struct kit_words *w = deny ? &p->parts.deny : &p->parts.allow;

		for (size_t i = 0; i < w->n; i++) {
			const struct policy_rule r = {.id = id,
				.resource = w->v[i].text,
				.origin = p->kits[w->v[i].at.kit].spec->name.text,
				.source = POLICY_SOURCE_KIT,
				.decision = deny ? POLICY_DENY : POLICY_ALLOW};

			(void)snprintf(id, sizeof(id), "k%d", n++);
			assert_int_equal(policy_add(policy, &r, &e), 0);
		}
	}
	assert_int_equal(policy_seal(policy), 0);
	assert_true(policy_host_parse(name, strlen(name), &host));
	policy_decide(policy, &rq, &v);
	return v.decision;
}

/* a kit that is added takes no denial away, in whatever order; one that only denies gives nothing */
static void test_deny_wins(void **state)
{
	(void)state;
	for (int round = 0; round < 100; round++) {
		struct one *agent = make("a/spec.yaml", AGENT, NULL), *a = random_mixin(1, true),
			   *b = random_mixin(2, true),
			   *deny = make("d/spec.yaml",
				   MIXIN "name: d\npermissions: {network: {deny: [h1.example, "
					 "\"**.w1.example\"]}}\n",
				   NULL);
		struct kit_plan *ab, *ba, *all;
		struct err e;

		assert_int_equal(compose((struct one *[]){agent, a, b}, 3, &ab, &e), 0);
		assert_int_equal(compose((struct one *[]){agent, b, a}, 3, &ba, &e), 0);
		assert_int_equal(compose((struct one *[]){agent, deny, a, b}, 4, &all, &e), 0);
		for (int i = 0; i < 8; i++) {
			static const char *const hosts[] = {"h0.example", "h1.example",
				"h2.example", "h3.example", "x.w0.example", "x.w1.example",
				"w1.example", "z.example"};
			enum policy_decision d = judged(ab, hosts[i]);

			assert_int_equal(d, judged(ba, hosts[i])); /* order says nothing */
			if (i == 1 || i == 5 || i == 6)
				d = POLICY_DENY;
			assert_int_equal(judged(all, hosts[i]), d);
		}
		kit_plan_free(ab);
		kit_plan_free(ba);
		kit_plan_free(all);
		drop(agent);
		drop(a);
		drop(b);
		drop(deny);
	}
}

static void test_order(void **state)
{
	struct one *agent = make("a/spec.yaml",
			   AGENT "environment: {variables: {A: agent, B: agent}}\n"
				 "setup: {install: [{command: agent}]}\n",
			   "agent"),
		   *m = make("m/spec.yaml",
			   MIXIN
			   "name: m\nenvironment: {variables: {B: m, C: m}}\n"
			   "setup: {install: [{command: m}]}\nvolumes: [{path: /v, size: 1g}]\n",
			   "m"),
		   *n = make("n/spec.yaml",
			   MIXIN
			   "name: n\nenvironment: {variables: {C: n}}\n"
			   "setup: {install: [{command: n}]}\nvolumes: [{path: /v, size: 2g}]\n",
			   NULL);
	AUTO_KIT_PLAN *p = NULL;
	struct err e;

	(void)state;
	assert_int_equal(compose((struct one *[]){agent, m, n}, 3, &p, &e), 0);
	assert_int_equal(p->n_kits, 3);
	assert_int_equal(p->agent, 0);
	assert_int_equal(p->parts.n_vars, 3);
	assert_string_equal(p->parts.vars[0].value, "agent");
	assert_string_equal(p->parts.vars[1].value, "m");
	assert_string_equal(p->parts.vars[2].value, "n");
	assert_int_equal(p->parts.vars[2].at.kit, 2);
	assert_string_equal(p->parts.install[0].shell, "agent");
	assert_string_equal(p->parts.install[2].shell, "n");
	assert_int_equal(p->parts.n_volumes, 1);
	assert_int_equal(p->parts.volumes[0].bytes, 2ULL << 30);
	assert_int_equal(p->parts.n_home, 1);
	assert_string_equal(p->parts.home[0].bytes, "m");
	drop(agent);
	drop(m);
	drop(n);
}

static const struct {
	const char *a, *b, *fault;
} conflicts[] = {
	{"name: m\n", "name: m\ndescription: another\n",
		"b/spec.yaml:3:7: another kit is called 'm' (a/spec.yaml:3:7)"},
	{"name: agent\n", "name: n\n",
		"a/spec.yaml:3:7: another kit is called 'agent' (k/spec.yaml:3:7)"},
	{"name: m\ncredentials: [{service: s, apiKey: {name: A}}]\n",
		"name: n\ncredentials: [{service: s, apiKey: {name: B}}]\n",
		"b/spec.yaml:4:15: the service 's' is of another kit, too (a/spec.yaml:4:15)"},
	{"name: m\ncredentials: [{service: s, apiKey: {name: A}}]\n",
		"name: n\ncredentials: [{service: t, apiKey: {name: A}}]\n",
		"b/spec.yaml:4:43: A holds two credentials (a/spec.yaml:4:43)"},
	{"name: m\ncredentials: [{service: s, apiKey: {name: A}}]\n",
		"name: n\nenvironment: {variables: {A: x}}\n",
		"b/spec.yaml:4:27: A holds the stand-in of the credential 's': it cannot be set "
		"(a/spec.yaml:4:43)"},
	{"name: m\ncredentials: [{service: s, apiKey: {name: A, inject: [{domain: x.example, "
	 "header: "
	 "X}]}}]\n",
		"name: n\ncredentials: [{service: s, apiKey: {inject: [{domain: x.example, header: "
		"X, "
		"format: \"a %s\"}]}}]\n",
		"b/spec.yaml:4:46: the way of the credential to 'x.example' is of another kit"},
	{"name: m\nports: [{container: 80, name: a}]\n",
		"name: n\nports: [{container: 80, name: b}]\n",
		"b/spec.yaml:4:9: the port '80' is of another kit, too (a/spec.yaml:4:9)"},
	{"name: m\nrequires: {agent: agent}\n", "name: n\nrequires: {agent: other}\n",
		"b/spec.yaml:4:19: 'm' is for"},
	{"name: m\n", "name: n\nrequires: {agent: other}\n",
		"b/spec.yaml:4:19: 'n' is for the agent 'other', not for 'agent' "
		"(k/spec.yaml:3:7)"},
};

static void test_conflicts(void **state)
{
	struct one *agent = make("k/spec.yaml", AGENT, NULL);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(conflicts); i++) {
		char a[1024], b[1024];
		struct kit_plan *p;
		struct err e;

		(void)snprintf(a, sizeof(a), MIXIN "%s", conflicts[i].a);
		(void)snprintf(b, sizeof(b), MIXIN "%s", conflicts[i].b);
		struct one *x = make("a/spec.yaml", a, NULL), *y = make("b/spec.yaml", b, NULL);
		int r = compose((struct one *[]){agent, x, y}, 3, &p, &e);

		if (i == 7) /* the second says whom each is for */
			assert_string_equal(e.msg,
				"b/spec.yaml:4:19: 'n' is for the agent 'other', 'm' "
				"for 'agent' (a/spec.yaml:4:19)");
		else if (r >= 0 || !strstr(e.msg, conflicts[i].fault))
			fail_msg("case %zu: got %s", i, r < 0 ? e.msg : "a plan");
		assert_null(p);
		drop(x);
		drop(y);
	}
	drop(agent);
	/* an agent is no mixin, and a mixin no agent */
	struct one *a = make("a/spec.yaml", AGENT, NULL),
		   *m = make("m/spec.yaml", MIXIN "name: m\n", NULL);
	struct kit_plan *p;
	struct err e;

	assert_int_equal(compose((struct one *[]){a, a}, 2, &p, &e), -EINVAL);
	assert_non_null(strstr(e.msg, "'agent' is an agent, and there is one already"));
	assert_int_equal(compose((struct one *[]){m, a}, 2, &p, &e), -EINVAL);
	assert_non_null(strstr(e.msg, "m/spec.yaml:3:7: 'm' is a mixin"));
	drop(a);
	drop(m);
}

/* one kit's file is the other's directory */
static void test_file_clash(void **state)
{
	const struct kit_entry beneath = {.path = "files/home/x/y", .bytes = ""};
	const struct kit_entry spec = {
		.path = "spec.yaml", .bytes = MIXIN "name: d\n", .len = strlen(MIXIN "name: d\n")};
	struct one *agent = make("k/spec.yaml", AGENT, NULL),
		   *file = make("f/spec.yaml", MIXIN "name: f\n", "x"),
		   *dir = calloc(1, sizeof(*dir));
	struct kit_plan *p;
	struct err e = {0};

	(void)state;
	assert_non_null(dir);
	assert_int_equal(kit_tree_add(&dir->tree, "d", &spec, &e), 0);
	assert_int_equal(kit_tree_add(&dir->tree, "d", &beneath, &e), 0);
	assert_int_equal(kit_tree_seal(&dir->tree, "d", &e), 0);
	assert_int_equal(kit_decode(&dir->tree, "d/spec.yaml", NULL, &dir->spec, &e), 0);
	assert_int_equal(compose((struct one *[]){agent, file, dir}, 3, &p, &e), -EINVAL);
	assert_string_equal(e.msg, "d/spec.yaml:1:1: as something else the file 'x' is of another "
				   "kit, too (f/spec.yaml:1:1)");
	drop(agent);
	drop(file);
	drop(dir);
}

/* a mixin may add a way for somebody else's credential; without an owner it is told */
static void test_routing(void **state)
{
	struct one *agent = make("k/spec.yaml", AGENT, NULL),
		   *owner = make("o/spec.yaml",
			   MIXIN "name: o\ncredentials: [{service: s, apiKey: {name: A, inject: "
				 "[{domain: a.example, scheme: bearer}]}}]\n",
			   NULL),
		   *way = make("w/spec.yaml",
			   MIXIN
			   "name: w\ncredentials: [{service: s, required: true, apiKey: {inject: "
			   "[{domain: b.example, scheme: bearer}]}}]\n",
			   NULL);
	struct kit_plan *p;
	struct err e;

	(void)state;
	for (int turn = 0; turn < 2; turn++) {
		assert_int_equal(
			compose((struct one *[]){agent, turn ? way : owner, turn ? owner : way}, 3,
				&p, &e),
			0);
		assert_int_equal(p->parts.n_creds, 1);
		assert_true(p->parts.creds[0].owner && p->parts.creds[0].required);
		assert_int_equal(p->parts.creds[0].n_injects, 2);
		assert_string_equal(p->parts.creds[0].variables.v[0].text, "A");
		kit_plan_free(p);
	}
	assert_int_equal(compose((struct one *[]){agent, way}, 2, &p, &e), 0);
	assert_int_equal(p->n_warnings, 1);
	assert_non_null(strstr(p->warnings[0].text, "no kit owns the credential 's'"));
	kit_plan_free(p);
	drop(agent);
	drop(owner);
	drop(way);
}

static void test_extends(void **state)
{
	struct one *parent = make("p/spec.yaml",
			   "schemaVersion: \"2\"\nkind: sandbox\nname: p\n"
			   "sandbox: {image: i/p, entrypoint: [p], command: {default: [-d], "
			   "interactive: [-i]}, "
			   "resources: {cpu: 2, memory: 1g}}\n"
			   "credentials: [{service: s, apiKey: {name: A, inject: [{domain: "
			   "a.example, scheme: "
			   "bearer}]}}]\nagentInstructions: {filename: P.md, content: of p}\n",
			   NULL),
		   *child = make("c/spec.yaml",
			   "schemaVersion: \"2\"\nkind: sandbox\nname: c\nextends: p\n"
			   "sandbox: {command: [-c], resources: {cpu: 4}}\n"
			   "credentials: [{service: s, apiKey: {name: B}}]\n"
			   "agentInstructions: {content: of c}\n",
			   NULL),
		   *mixin = make("m/spec.yaml", MIXIN "name: m\nrequires: {agent: p}\n", NULL);
	const struct kit_member lineage[] = {{.spec = parent->spec, .builtin = true},
		{.spec = child->spec}},
				m = {.spec = mixin->spec};
	AUTO_KIT_PLAN *p = NULL;
	struct kit_plan *none = NULL;
	struct err e = {0};

	(void)state;
	if (kit_compose(lineage, 2, &m, 1, &p, &e) < 0)
		fail_msg("%s", e.msg);
	assert_string_equal(p->image.text, "i/p");
	assert_string_equal(p->entrypoint.v[0].text, "p");
	assert_string_equal(p->command.v[0].text, "-c");
	assert_false(p->interactive.given); /* the child's command replaces the whole tail */
	assert_int_equal(p->cpu_milli, 4000);
	assert_int_equal(p->memory_bytes, 1ULL << 30);
	assert_int_equal(p->parts.n_creds, 1);
	assert_string_equal(p->parts.creds[0].variables.v[0].text, "B");
	assert_int_equal(p->parts.creds[0].n_injects, 1);
	assert_string_equal(p->instructions_file.text, "P.md");
	assert_int_equal(p->parts.n_texts, 2);
	assert_int_equal(p->agent, 1);
	/* a lineage that is none */
	assert_int_equal(kit_compose(&lineage[1], 1, NULL, 0, &none, &e), -EINVAL);
	assert_string_equal(e.msg, "c/spec.yaml:4:10: 'p' is not known here");
	assert_null(none);
	drop(parent);
	drop(child);
	drop(mixin);
}

static void test_surface(void **state)
{
	struct one
		*agent = make("k/spec.yaml",
			AGENT
			"permissions: {network: {allow: [own.example], deny: [bad.example]}}\n",
			NULL),
		*m = make("m/spec.yaml",
			MIXIN
			"name: m\npermissions: {network: {allow: [x.example], deny: [y.example], "
			"install: {allow: [i.example]}}}\n"
			"ports: [{container: 80}]\nenvironment: {variables: {NODE_OPTIONS: a, "
			"PLAIN: b}}\n"
			"setup: {install: [{command: \"a\\nb\"}], startup: [{command: [c, d]}]}\n"
			"credentials: [{service: s, apiKey: {name: A, inject: [{domain: z.example, "
			"scheme: bearer}]}}, {service: t, phase: install, apiKey: {name: B, "
			"inject: [{domain: i.example, header: x-key}]}}]\n",
			NULL);
	const struct kit_member a = {.spec = agent->spec, .builtin = true}, b = {.spec = m->spec};
	AUTO(kit_surface) with = {0}, without = {0}, more = {0}, less = {0}, none = {0};
	struct kit_plan *p = NULL, *q = NULL;
	struct err e = {0};
	char all[2048] = "";

	(void)state;
	assert_int_equal(kit_compose(&a, 1, &b, 1, &p, &e), 0);
	assert_int_equal(kit_compose(&a, 1, NULL, 0, &q, &e), 0);
	assert_int_equal(kit_plan_surface(p, &with), 0);
	assert_int_equal(kit_plan_surface(q, &without), 0);
	for (size_t i = 0; i < with.n; i++) {
		strcat(all, with.v[i]);
		strcat(all, "\n");
	}
	assert_string_equal(all, "- network deny bad.example\n"
				 "- network deny y.example\n"
				 "credential A stands for s\n"
				 "credential B stands for t\n"
				 "credential s to z.example authorization: Bearer %s\n"
				 "credential t to i.example x-key: %s, while installing\n"
				 "install as 0: a\\nb\n"
				 "network allow i.example, while installing\n"
				 "network allow x.example\n"
				 "port 80/tcp4\n"
				 "startup as 1000: c d\n"
				 "variable NODE_OPTIONS=a\n");
	/* what is built in asks for nothing; denials are kept in mind */
	assert_int_equal(without.n, 1);
	assert_int_equal(kit_surface_widens(&without, &with, &more), 0);
	assert_int_equal(more.n, 10);
	assert_int_equal(kit_surface_widens(&with, &with, &none), 0);
	assert_int_equal(none.n, 0);
	/* what was denied when it was approved, and is no more */
	assert_int_equal(kit_surface_widens(&with, &without, &less), 0);
	assert_int_equal(less.n, 1);
	assert_string_equal(less.v[0], "dropped: network deny y.example");
	kit_plan_free(p);
	kit_plan_free(q);
	drop(agent);
	drop(m);
}

static void test_memory(void **state)
{
	struct one *agent = make("k/spec.yaml",
			   AGENT "agentInstructions: {filename: AGENTS.md, content: Be kind.}\n",
			   NULL),
		   *m = make("m/spec.yaml",
			   MIXIN "name: m\ndescription: \"Lint <!-- sbx:kits-section end -->\\n\"\n"
				 "agentInstructions: {content: \"Run lint.\\n\"}\n",
			   NULL),
		   *n = make("n/spec.yaml",
			   MIXIN "name: n\nagentInstructions: {content: Mind n.}\n", NULL);
	static const char want[] =
		"<!-- sbx:kits-section start -->\nBe kind.\n\n## Kits\n\nRead the text of a kit "
		"when you work "
		"with it.\n\n- [m](kits-memory/m.md): Lint &lt;!-- sbx:kits-section end -->\n"
		"- [n](kits-memory/n.md)\n<!-- sbx:kits-section end -->\n";
	char path[128];
	const char *text;
	struct kit_plan *p = NULL, *q = NULL;
	AUTO(buf) out, again, mine, less;
	struct err e;

	(void)state;
	buf_init(&out, 1 << 16);
	buf_init(&again, 1 << 16);
	buf_init(&mine, 1 << 16);
	buf_init(&less, 1 << 16);
	assert_int_equal(compose((struct one *[]){agent, m, n}, 3, &p, &e), 0);
	assert_int_equal(kit_memory_main(p, "", &out), 0);
	assert_string_equal(buf_str(&out), want);
	assert_int_equal(kit_memory_main(p, buf_str(&out), &again), 0);
	assert_string_equal(buf_str(&again), want);
	/* somebody's own text around it stays, and a kit that is gone goes */
	assert_int_equal(buf_addf(&mine, "# Mine\n%sAfter\n", want), 0);
	assert_int_equal(compose((struct one *[]){agent, n}, 2, &q, &e), 0);
	assert_int_equal(kit_memory_main(q, buf_str(&mine), &less), 0);
	assert_string_equal(buf_str(&less),
		"# Mine\n<!-- sbx:kits-section start -->\nBe kind.\n\n## Kits\n\nRead the text of "
		"a kit when you "
		"work with it.\n\n- [n](kits-memory/n.md)\n<!-- sbx:kits-section end -->\nAfter\n");
	assert_true(kit_memory_file(p, 0, path, &text));
	assert_string_equal(path, "kits-memory/m.md");
	assert_string_equal(text, "Run lint.\n");
	assert_true(kit_memory_file(p, 1, path, &text));
	assert_string_equal(path, "kits-memory/n.md");
	assert_false(kit_memory_file(p, 2, path, &text));
	kit_plan_free(p);
	kit_plan_free(q);
	drop(agent);
	drop(m);
	drop(n);
}

/* what a parent has locked a child leaves alone; what is beside it is the child's to say */
static void test_locked(void **state)
{
	static const struct {
		const char *child, *fault;
	} cases[] = {
		{"permissions: {network: {deny: [x.example]}}\nsandbox: {}\n",
			"c/spec.yaml:5:15: 'base' has locked permissions.network "
			"(p/spec.yaml:5:25)"},
		{"sandbox: {image: other}\n",
			"c/spec.yaml:5:11: 'base' has locked sandbox.image (p/spec.yaml:5:10)"},
		{"sandbox: {command: [x]}\nenvironment: {variables: {A: b}}\n", NULL},
	};
	struct one *base = make("p/spec.yaml",
		"schemaVersion: \"2\"\nkind: sandbox\nname: base\nsandbox: {command: [sh]}\n"
		"locked: [sandbox.image, permissions.network]\n",
		NULL);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char text[512];
		struct one *child;
		struct kit_plan *p = NULL;
		struct err e = {0};
		int r;

		(void)snprintf(text, sizeof(text),
			"schemaVersion: \"2\"\nkind: sandbox\nname: child\nextends: base\n%s",
			cases[i].child);
		child = make("c/spec.yaml", text, NULL);
		const struct kit_member lineage[] = {
			{.spec = base->spec, .origin = "p"}, {.spec = child->spec, .origin = "c"}};

		r = kit_compose(lineage, 2, NULL, 0, &p, &e);
		assert_int_equal(r, cases[i].fault ? -EINVAL : 0);
		if (cases[i].fault)
			assert_string_equal(e.msg, cases[i].fault);
		kit_plan_free(p);
		drop(child);
	}
	drop(base);
}

/* only what was approved stays, and a denial that went is known */
static void test_withhold(void **state)
{
	static char a_line[] = "network allow a.example", d_line[] = "- network deny gone.example",
		    *lines[] = {d_line, a_line};
	const struct kit_surface approved = {lines, ARRAY_LEN(lines)};
	struct one *agent = make("a/spec.yaml", AGENT, NULL);
	struct one *m = make("m/spec.yaml",
		MIXIN "name: m\npermissions: {network: {allow: [a.example, b.example], deny: "
		      "[c.example], install: {allow: [a.example]}}}\n"
		      "ports: [{container: 80, protocol: tcp}]\n"
		      "volumes: [{path: /v, size: 1g}, {path: /t, type: tmpfs}]\n"
		      "credentials: [{service: s, apiKey: {name: K, inject: [{domain: a.example, "
		      "header: x}]}}]\n",
		NULL);
	AUTO(kit_surface) gone = {0}, hosts = {0};
	struct kit_plan *p;
	struct err e;

	(void)state;
	assert_int_equal(compose((struct one *[]){agent, m}, 2, &p, &e), 0);
	assert_int_equal(kit_surface_dropped(p, &approved, &hosts), 0);
	assert_int_equal(hosts.n, 1);
	assert_string_equal(hosts.v[0], "gone.example");
	assert_int_equal(kit_plan_withhold(p, &approved, &gone), 0);
	assert_int_equal(p->parts.allow.n, 1);
	assert_string_equal(p->parts.allow.v[0].text, "a.example");
	assert_int_equal(p->parts.install_allow.n, 0); /* another sentence, another approval */
	assert_int_equal(p->parts.deny.n, 1);
	assert_int_equal(p->parts.n_ports, 0);
	assert_int_equal(p->parts.n_volumes, 1);
	assert_true(p->parts.volumes[0].tmpfs);
	assert_int_equal(p->parts.creds[0].variables.n + p->parts.creds[0].n_injects, 0);
	assert_int_equal(gone.n, 6);
	assert_string_equal(gone.v[0], "credential K stands for s");
	assert_string_equal(gone.v[5], "volume /v of 1073741824 bytes");
	kit_plan_free(p);
	drop(agent);
	drop(m);
}

/* ---- from references to a plan ---- */

static int resolve(const char *agent, const char *const *mixins, size_t n,
	const struct kit_pair *args, size_t n_args, struct kit_resolved **ret, struct err *e)
{
	const struct kit_request q = {.agent = agent,
		.mixins = mixins,
		.n_mixins = n,
		.args = args,
		.n_args = n_args,
		.data_dir = SOURCE_ROOT};

	*e = (struct err){0};
	return kit_resolve(&q, ret, e);
}

static void test_resolve(void **state)
{
	static const char *const mixins[] = {
		SOURCE_ROOT "/tests/kits/v2-mixin", SOURCE_ROOT "/tests/kits/v1-mixin"};
	static const struct kit_pair args[] = {{"team", "red"}, {"new-mixin.level", "lax"}},
				     gone[] = {{"team", "red"}, {"other.level", "lax"}};
	AUTO_KIT_RESOLVED *r = NULL;
	struct kit_resolved *none = NULL;
	struct err e;

	(void)state;
	if (resolve(SOURCE_ROOT "/tests/kits/v2-agent", mixins, 2, args, 2, &r, &e) < 0)
		fail_msg("%s", e.msg);
	assert_int_equal(r->plan->n_kits, 4);
	assert_string_equal(r->plan->kits[0].spec->name.text, "shell"); /* what it extends */
	assert_true(r->plan->kits[0].builtin);
	assert_int_equal(r->plan->agent, 1);
	assert_string_equal(r->plan->entrypoint.v[0].text, "new-agent");
	assert_int_equal(r->plan->parts.n_creds, 4);
	assert_int_equal(r->plan->parts.install_allow.n, 1);
	for (size_t i = 0; i < 4; i++)
		assert_string_equal(kit_phase_name(r->plan->parts.creds[i].phase),
			strcmp(r->plan->parts.creds[i].service, "registry") ? "" : "install");
	assert_int_equal(r->plan->parts.creds[0].n_injects, 6);
	assert_string_equal(
		r->plan->parts.texts[1].text, "Run `lint --level lax` before you commit.");
	assert_true(kit_plan_check_enforced(r->plan, &e) == -ENOTSUP);
	assert_int_equal(resolve(SOURCE_ROOT "/tests/kits/v2-agent", mixins, 2, gone, 2, &none, &e),
		-EINVAL);
	assert_string_equal(e.msg, "no kit has an argument 'other.level'");
	/* the mixin is for another agent */
	assert_int_equal(resolve("shell", mixins, 1, NULL, 0, &none, &e), -EINVAL);
	assert_non_null(strstr(e.msg, "'new-mixin' is for the agent 'new-agent', not for 'shell'"));
	assert_null(none);
}

/* the goal: ten mixins and an agent within 10 ms; generous here, exact in scripts/bench */
static void test_ten_mixins(void **state)
{
	struct one *k[11];
	struct kit_plan *p;
	struct err e;
	int64_t best = INT64_MAX;

	(void)state;
	k[0] = make("k/spec.yaml", AGENT, NULL);
	for (unsigned i = 1; i < 11; i++)
		k[i] = random_mixin(i, true);
	for (int round = 0; round < 5; round++) {
		int64_t from = clock_ms();

		assert_int_equal(compose(k, 11, &p, &e), 0);
		AUTO_FREE char *text = text_of(kit_plan_json(p));
		assert_true(strlen(text) > 1000);
		kit_plan_free(p);
		best = clock_ms() - from < best ? clock_ms() - from : best;
	}
	assert_true(best < 1000);
	for (int i = 0; i < 11; i++)
		drop(k[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_associative),
		cmocka_unit_test(test_idempotent),
		cmocka_unit_test(test_deny_wins),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_conflicts),
		cmocka_unit_test(test_file_clash),
		cmocka_unit_test(test_routing),
		cmocka_unit_test(test_extends),
		cmocka_unit_test(test_surface),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_locked),
		cmocka_unit_test(test_withhold),
		cmocka_unit_test(test_resolve),
		cmocka_unit_test(test_ten_mixins),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
