/* bench_kit.c - from names to a plan: an agent that extends a built-in one, and ten mixins on disk
 *
 * Reads every kit, fills in arguments, decodes, composes, and makes the canonical JSON and the surface; and
 * the same within all that the daemon does for a Create: image, digests, what is withheld, the files that go
 * in, the plan read back and hashed. A line of JSON for each: median, least and most over RUNS, in milliseconds,
 * without a store. usage: bench_kit
 * [SOURCE_TREE], default the working directory
 */
#include "daemon/plan.h"
#include "kit/resolve.h"
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define RUNS	  101
#define MIXINS	  10
#define TARGET_MS 10.0

static char base[] = "/tmp/sbx-bench-kit-XXXXXX";

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	(void)fprintf(stderr, "bench_kit: %s\n", what);
	exit(1);
}

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	must(f && fputs(text, f) >= 0 && fclose(f) == 0, "write a kit");
}

/* A mixin of ordinary size: 40 hosts, 10 variables, 8 commands, 2 KiB of text, 20 files */
static void make_mixin(int i, char path[256])
{
	char file[4096], *text = calloc(1, 64 << 10);
	size_t at = 0, cap = 64 << 10;

	must(text != NULL, "memory");
#define ADD(...) at += (size_t)snprintf(text + at, cap - at, __VA_ARGS__)
	(void)snprintf(path, 256, "%s/m%d", base, i);
	must(mkdir(path, 0755) == 0, "make a directory");
	(void)snprintf(file, sizeof(file), "%s/files", path);
	must(mkdir(file, 0755) == 0, "make a directory");
	(void)snprintf(file, sizeof(file), "%s/files/home", path);
	must(mkdir(file, 0755) == 0, "make a directory");
	ADD("schemaVersion: \"2\"\nkind: mixin\nname: m%d\nargs: {v: {default: \"1\"}}\n", i);
	ADD("permissions: {network: {allow: [");
	for (int j = 0; j < 40; j++)
		ADD("%sh%d.m%d.example", j ? ", " : "", j, j % 2 ? i : 0);
	ADD("]}}\nenvironment: {variables: {");
	for (int j = 0; j < 10; j++)
		ADD("%sV%d_%d: \"${{ kit.args.v }}\"", j ? ", " : "", j, j % 2 ? i : 0);
	ADD("}}\nsetup:\n  install:\n");
	for (int j = 0; j < 8; j++)
		ADD("  - {command: \"install-tool %d --version ${{ kit.args.v }}\"}\n", j);
	ADD("credentials: [{service: s%d, apiKey: {name: K%d, inject: [{domain: a%d.example, "
	    "scheme: "
	    "bearer}]}}]\nagentInstructions:\n  content: |\n",
		i, i, i);
	for (int j = 0; j < 40; j++)
		ADD("    Line %d of what the agent should know about this.\n", j);
#undef ADD
	(void)snprintf(file, sizeof(file), "%s/spec.yaml", path);
	write_file(file, text);
	for (int j = 0; j < 20; j++) {
		(void)snprintf(file, sizeof(file), "%s/files/home/f%d_%d", path, i, j);
		write_file(file, "a file of ${{ kit.args.v }}\n");
	}
	free(text);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *f)
{
	(void)st;
	(void)type;
	(void)f;
	return remove(path);
}

static double run(const struct kit_request *q)
{
	AUTO_KIT_RESOLVED *r = NULL;
	AUTO(kit_surface) s = {0};
	struct timespec from, to;
	struct err e = {0};
	AUTO_JS plan = NULL;
	AUTO(buf) text;

	buf_init(&text, 4 << 20);
	(void)clock_gettime(CLOCK_MONOTONIC, &from);
	must(kit_resolve(q, &r, &e) == 0, e.msg);
	plan = kit_plan_json(r->plan);
	must(plan && js_canonical(plan, &text) == 0 && kit_plan_surface(r->plan, &s) == 0,
		"memory");
	(void)clock_gettime(CLOCK_MONOTONIC, &to);
	return (double)(to.tv_sec - from.tv_sec) * 1e3 + (double)(to.tv_nsec - from.tv_nsec) / 1e6;
}

/* make_image() - as the store has one; nothing of it is read but what describes it */
static void make_image(const char *cache)
{
	static const char *const dirs[] = {
		"", "/images", "/images/names", "/images/00000000000000aa"};
#define HEX64 "0000000000000000000000000000000000000000000000000000000000000001"
	static const char meta[] =
		"{\"id\":\"00000000000000aa\",\"format\":\"squashfs\",\"kernel_version\":\"6.1\","
		"\"root_bytes\":8,\"root_digest\":\"" HEX64 "\","
		"\"kernel_bytes\":8,\"kernel_digest\":\"" HEX64 "\","
		"\"modules_bytes\":8,\"modules_digest\":\"" HEX64 "\"}";
	char path[PATH_MAX + 128];

	for (size_t i = 0; i < sizeof(dirs) / sizeof(*dirs); i++) {
		(void)snprintf(path, sizeof(path), "%s%s", cache, dirs[i]);
		must(mkdir(path, 0700) == 0, "make a directory");
	}
	(void)snprintf(path, sizeof(path), "%s/images/names/default", cache);
	write_file(path, "00000000000000aa\n");
	(void)snprintf(path, sizeof(path), "%s/images/00000000000000aa/meta.json", cache);
	write_file(path, meta);
	(void)snprintf(path, sizeof(path), "%s/images/00000000000000aa/root.img", cache);
	write_file(path, "hsqsxxxx");
	(void)snprintf(path, sizeof(path), "%s/images/00000000000000aa/kernel", cache);
	write_file(path, "\x7f"
			 "ELFxxxx");
	(void)snprintf(path, sizeof(path), "%s/images/00000000000000aa/modules.cpio", cache);
	write_file(path, "07070100");
}

static struct js *create_of(const struct kit_request *q)
{
	struct js *o = js_object(), *kits = js_array();
	bool bad = js_set_str(o, "agent", q->agent);

	for (size_t i = 0; i < q->n_mixins; i++)
		bad |= js_add_str(kits, q->mixins[i]);
	must(!bad && !js_set(o, "kits", kits), "memory");
	return o;
}

static double run_daemon(const struct js *create, const struct paths *paths)
{
	const struct plan_host host = {.cpus = 4, .memory_bytes = 8ULL << 30};
	struct timespec from, to;
	struct plan *plan = NULL;
	struct err e = {0};
	AUTO(plan_files) files;

	plan_files_init(&files);
	(void)clock_gettime(CLOCK_MONOTONIC, &from);
	must(plan_resolve(create, paths, &host, NULL, &plan, &files, &e) == 0, e.msg);
	(void)clock_gettime(CLOCK_MONOTONIC, &to);
	must(plan->n_install > 0 && files.home.len > 0, "a plan");
	plan_free(plan);
	return (double)(to.tv_sec - from.tv_sec) * 1e3 + (double)(to.tv_nsec - from.tv_nsec) / 1e6;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void tell(const char *what, double took[RUNS])
{
	qsort(took, RUNS, sizeof(*took), by_size);
	printf("{\"bench\": \"kit: an agent and 10 mixins, %s\", \"median\": %.3f, \"min\": %.3f, "
	       "\"max\": %.3f, \"runs\": %d, \"unit\": \"ms\", \"target\": %.0f, \"verdict\": "
	       "\"%s\"}\n",
		what, took[RUNS / 2], took[0], took[RUNS - 1], RUNS, TARGET_MS,
		took[RUNS / 2] <= TARGET_MS ? "meets" : "misses");
}

int main(int argc, char **argv)
{
	static struct paths places;
	char paths[MIXINS][256];
	const char *mixins[MIXINS];
	struct kit_request q = {.agent = "shell",
		.mixins = mixins,
		.n_mixins = MIXINS,
		.data_dir = argc > 1 ? argv[1] : "."};
	double took[RUNS];
	AUTO_JS create = NULL;

	must(mkdtemp(base) != NULL, "make a directory");
	for (int i = 0; i < MIXINS; i++) {
		make_mixin(i, paths[i]);
		mixins[i] = paths[i];
	}
	(void)snprintf(places.cache, sizeof(places.cache), "%s/cache", base);
	(void)snprintf(places.config, sizeof(places.config), "%s/config", base);
	(void)snprintf(places.data, sizeof(places.data), "%s", q.data_dir);
	(void)snprintf(places.state, sizeof(places.state), "%s/state", base);
	make_image(places.cache);
	create = create_of(&q);
	for (int i = 0; i < RUNS; i++)
		took[i] = run(&q);
	tell("from disk to a plan", took);
	for (int i = 0; i < RUNS; i++)
		took[i] = run_daemon(create, &places);
	tell("a plan of the daemon", took);
	(void)nftw(base, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	return 0;
}
