/* A command line: the first byte picks the verb's form, the rest is argv, words apart by newlines. */
#include "cli/args.h"
#include <stdlib.h>
#include <string.h>

#define WORDS_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct plain_form forms[] = {
	{.words = ""},
	{.options = OPT_JSON | OPT_QUIET, .words = ""},
	{.options = 0xfff, .min_words = 1, .max_words = 3, .words = "NAME...", .names = true},
	{.options = OPT_FOLLOW_LINK | OPT_JSON, .min_words = 2, .max_words = 2, .words = "SRC DST"},
};

static void plain(unsigned which, int argc, char **argv)
{
	AUTO(plain_args) a = {0};
	struct err e = {0};

	if (plain_args_parse(argc, argv, ARGS_SILENT, &forms[which % ARRAY_LEN(forms)], &a, &e) <
			0 &&
		(e.code == ERR_NONE || !e.msg[0]))
		abort(); /* a fault without a word */
	for (size_t i = 0; i < a.n_words; i++) {
		struct copy_side side;

		if (copy_side_parse(a.words[i], &side, &e) == 0 && strlen(side.path) == 0)
			abort();
	}
}

static void run(bool create, int argc, char **argv)
{
	AUTO(run_args) a = {0};
	struct err e = {0};

	if (run_args_parse(argc, argv, ARGS_SILENT, create, &a, &e) < 0 &&
		(e.code == ERR_NONE || !e.msg[0]))
		abort();
	if (a.memory < 0 || a.disk < 0 || a.cpus < 0)
		abort();
}

static void exec(int argc, char **argv)
{
	AUTO(exec_args) a = {0};
	struct err e = {0};

	if (exec_args_parse(argc, argv, ARGS_SILENT, &a, &e) == 0 ? !a.name || a.argc == 0
								  : e.code == ERR_NONE)
		abort();
}

static void kit(int argc, char **argv)
{
	static const struct kit_form form = {.options = "akofj", .words = "KIT"};
	struct kit_args_cli a = {0};
	struct err e = {0};

	if (kit_args_parse(argc, argv, ARGS_SILENT, &form, &a, &e) == 0
			? !a.ref
			: e.code == ERR_NONE || !e.msg[0])
		abort();
}

static void env_and_keys(const char *text, size_t len)
{
	struct env_list l = {0};
	struct err e = {0};
	struct keys k;

	(void)!env_add_text(&l, text, len, "f", &e);
	for (size_t i = 0; i < l.n; i++)
		if (l.v[i].text[l.v[i].name_len] != '=')
			abort();
	env_fini(&l);
	if (len > 0 && !memchr(text, '\0', len)) {
		char *copy = strndup(text, len), *out = malloc(len + KEYS_MAX + 1);
		size_t n = 0;

		if (copy && out && keys_parse("ctrl-p,a,ctrl-q", &k, &e) == 0)
			(void)keys_filter(&k, copy, len, out, &n);
		if (n > len + KEYS_MAX)
			abort();
		if (copy && keys_parse(copy, &k, &e) == 0 && k.len > KEYS_MAX)
			abort();
		free(copy);
		free(out);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *argv[WORDS_MAX + 2], verb[] = "sbx verb";
	char *text;
	int argc = 1;

	if (size < 1 || size > 65536)
		return 0;
	text = calloc(1, size + 1);
	if (!text)
		return 0;
	memcpy(text, data + 1, size - 1);
	env_and_keys(text, size - 1);
	argv[0] = verb;
	for (char *p = text; p && argc <= WORDS_MAX;) {
		char *nl = strchr(p, '\n');

		argv[argc++] = p;
		if (nl)
			*nl++ = '\0';
		p = nl;
	}
	argv[argc] = NULL;
	if (data[0] < 64)
		plain(data[0], argc, argv);
	else if (data[0] < 112)
		exec(argc, argv);
	else if (data[0] < 128)
		kit(argc, argv);
	else
		run(data[0] & 1, argc, argv);
	free(text);
	return 0;
}
