/* bench_kit.c - from names to a plan: an agent that extends a built-in one, and ten mixins on disk
 *
 * Reads every kit, fills in arguments, decodes, composes, and makes the canonical JSON and the surface,
 * as a start does. One line of JSON: median, least and most over RUNS, in milliseconds. usage: bench_kit
 * [SOURCE_TREE], default the working directory
 */
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

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	char paths[MIXINS][256];
	const char *mixins[MIXINS];
	struct kit_request q = {.agent = "shell",
		.mixins = mixins,
		.n_mixins = MIXINS,
		.data_dir = argc > 1 ? argv[1] : "."};
	double took[RUNS];

	must(mkdtemp(base) != NULL, "make a directory");
	for (int i = 0; i < MIXINS; i++) {
		make_mixin(i, paths[i]);
		mixins[i] = paths[i];
	}
	for (int i = 0; i < RUNS; i++)
		took[i] = run(&q);
	(void)nftw(base, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	qsort(took, RUNS, sizeof(*took), by_size);
	printf("{\"bench\": \"kit: an agent and 10 mixins, from disk to a plan\", \"median\": "
	       "%.3f, "
	       "\"min\": %.3f, \"max\": %.3f, \"runs\": %d, \"unit\": \"ms\", \"target\": %.0f, "
	       "\"verdict\": \"%s\"}\n",
		took[RUNS / 2], took[0], took[RUNS - 1], RUNS, TARGET_MS,
		took[RUNS / 2] <= TARGET_MS ? "meets" : "misses");
	return 0;
}
