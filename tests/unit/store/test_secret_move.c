/* test_secret_move.c - the key of the secrets moves between file and keyring: nothing is lost, wherever it ends */
#include "check.h"
#include "base/io.h"
#include "store/age.h"
#include "store/secret_file.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#define VALUE "canary-77ab01-value"
#define STEPS 6

/* A keyring that is a directory: it outlives a process that dies in the middle. */
struct keyring {
	char dir[64];
	int fails; /* negative errno of every call; 0: none */
	unsigned die; /* before that step */
	unsigned gets;
};

static const char *path(const struct keyring *k, const char *id)
{
	static char text[256];

	(void)snprintf(text, sizeof(text), "%s/%s", k->dir, id);
	return text;
}

static int get(void *ctx, const char *id, char text[SECRET_KEY_TEXT], struct err *e)
{
	struct keyring *k = ctx;
	AUTO(buf) b = {0};
	int r;

	k->gets++;
	if (k->fails)
		return err_set(e, ERR_DENIED, k->fails, "the keyring says no");
	buf_init(&b, SECRET_KEY_TEXT - 1);
	r = io_read_file(AT_FDCWD, path(k, id), &b);
	if (r < 0)
		return err_sys(e, r, "no such key");
	(void)snprintf(text, SECRET_KEY_TEXT, "%s", buf_str(&b));
	return 0;
}

static int put(void *ctx, const char *id, const char *text, struct err *e)
{
	struct keyring *k = ctx;

	if (k->fails)
		return err_set(e, ERR_DENIED, k->fails, "the keyring says no");
	return io_replace_file(AT_FDCWD, path(k, id), text, strlen(text), 0600);
}

static int drop(void *ctx, const char *id, struct err *e)
{
	struct keyring *k = ctx;

	if (k->fails)
		return err_set(e, ERR_DENIED, k->fails, "the keyring says no");
	(void)unlink(path(k, id));
	return 0;
}

static void step(void *ctx, unsigned n)
{
	const struct keyring *k = ctx;

	if (k->die == n)
		_exit(99);
}

static unsigned count(const struct keyring *k)
{
	char cmd[128];
	unsigned n = 0;
	FILE *p;

	(void)snprintf(cmd, sizeof(cmd), "ls %s | wc -l", k->dir);
	p = popen(cmd, "r");
	assert_non_null(p);
	assert_int_equal(fscanf(p, "%u", &n), 1);
	(void)pclose(p);
	return n;
}

struct place {
	char dir[64];
	struct keyring k;
	struct secret_keeper keeper;
	struct secret_file *s;
};

static struct place *make(void)
{
	struct place *p = calloc(1, sizeof(*p));
	struct err e = {0};

	assert_non_null(p);
	(void)snprintf(p->dir, sizeof(p->dir), "/tmp/sbx-move-XXXXXX");
	(void)snprintf(p->k.dir, sizeof(p->k.dir), "/tmp/sbx-ring-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	assert_non_null(mkdtemp(p->k.dir));
	p->keeper = (struct secret_keeper){
		.get = get, .put = put, .drop = drop, .step = step, .ctx = &p->k};
	assert_int_equal(secret_file_open(p->dir, &p->keeper, &p->s, &e), 0);
	return p;
}

static void clean(struct place *p)
{
	char cmd[256];

	secret_file_close(p->s);
	(void)snprintf(cmd, sizeof(cmd), "rm -rf %s %s", p->dir, p->k.dir);
	assert_int_equal(system(cmd), 0);
	free(p);
}

static int set(struct place *p, const char *name)
{
	struct secret_entry *x = calloc(1, sizeof(*x));
	struct err e = {0};
	int r;

	assert_non_null(x);
	(void)snprintf(x->name, sizeof(x->name), "%s", name);
	memcpy(x->value, VALUE, strlen(VALUE));
	x->value_len = strlen(VALUE);
	r = secret_file_set(p->s, x, &e);
	free(x);
	return r;
}

/* again() - a process that knows nothing opens it; is all there? */
static bool again(struct place *p)
{
	struct secret_entry *x = calloc(1, sizeof(*x));
	struct err e = {0};
	bool ok;

	assert_non_null(x);
	secret_file_close(p->s);
	p->s = NULL;
	ok = secret_file_open(p->dir, &p->keeper, &p->s, &e) == 0 &&
	     secret_file_get(p->s, "", "a", x, &e) == 0 && strcmp(x->value, VALUE) == 0 &&
	     secret_file_get(p->s, "", "b", x, &e) == 0 && strcmp(x->value, VALUE) == 0;
	free(x);
	return ok;
}

static enum secret_place where(struct place *p)
{
	enum secret_place at;
	struct err e = {0};

	assert_int_equal(secret_file_place(p->s, &at, &e), 0);
	return at;
}

static void there_and_back(void **state)
{
	struct place *p = make();
	struct err e = {0};
	(void)state;

	assert_int_equal(where(p), SECRET_NOWHERE);
	assert_int_equal(secret_file_move(p->s, SECRET_IN_KEYRING, &e), 0);
	assert_int_equal(set(p, "a"), 0);
	assert_int_equal(set(p, "b"), 0);
	assert_int_equal(where(p), SECRET_IN_KEYRING);
	assert_int_equal(count(&p->k), 1);
	assert_true(again(p));
	assert_int_equal(secret_file_move(p->s, SECRET_IN_FILE, &e), 0);
	assert_int_equal(where(p), SECRET_IN_FILE);
	assert_int_equal(count(&p->k), 0);
	assert_true(again(p));
	assert_int_equal(secret_file_move(p->s, SECRET_IN_FILE, &e), 0);
	assert_int_equal(secret_file_move(p->s, SECRET_IN_KEYRING, &e), 0);
	assert_true(again(p));
	assert_int_equal(count(&p->k), 1);
	clean(p);
}

/* Whatever step it dies before: all is there for the next one, who can move it either way. */
static void dies_in_the_middle(void **state)
{
	(void)state;
	for (unsigned way = 0; way < 2; way++)
		for (unsigned die = 1; die <= STEPS; die++) {
			enum secret_place from = way ? SECRET_IN_KEYRING : SECRET_IN_FILE;
			enum secret_place to = way ? SECRET_IN_FILE : SECRET_IN_KEYRING;
			struct place *p = make();
			struct err e = {0};
			int status;
			pid_t pid;

			assert_int_equal(secret_file_move(p->s, from, &e), 0);
			assert_int_equal(set(p, "a"), 0);
			assert_int_equal(set(p, "b"), 0);
			pid = fork();
			assert_true(pid >= 0);
			if (pid == 0) {
				/* the key that was held is not inherited */
				if (!again(p))
					_exit(1);
				p->k.die = die;
				(void)!secret_file_move(p->s, to, &e);
				_exit(0);
			}
			assert_int_equal(waitpid(pid, &status, 0), pid);
			if (!WIFEXITED(status) || WEXITSTATUS(status) != 99)
				fail_msg("way %u: step %u was never reached", way, die);
			if (!again(p))
				fail_msg("way %u: lost before step %u", way, die);
			/* a change in between is none that is lost either */
			assert_int_equal(set(p, "b"), 0);
			assert_int_equal(secret_file_move(p->s, to, &e), 0);
			assert_int_equal(where(p), to);
			assert_true(again(p));
			assert_int_equal(count(&p->k), to == SECRET_IN_KEYRING);
			clean(p);
		}
}

static void refused_changes_nothing(void **state)
{
	static const int faults[] = {-ENODEV, -EKEYREJECTED, -ETIMEDOUT, -EIO};
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(faults); i++) {
		struct place *p = make();
		struct err e = {0};

		p->k.fails = faults[i];
		assert_int_equal(secret_file_move(p->s, SECRET_IN_KEYRING, &e), faults[i]);
		assert_int_equal(where(p), SECRET_NOWHERE);
		assert_int_equal(set(p, "a"), 0);
		assert_int_equal(set(p, "b"), 0);
		assert_int_equal(secret_file_move(p->s, SECRET_IN_KEYRING, &e), faults[i]);
		assert_int_equal(where(p), SECRET_IN_FILE);
		assert_true(again(p));
		assert_int_equal(secret_file_move(p->s, SECRET_IN_FILE, &e), 0);
		p->k.fails = 0;
		assert_int_equal(secret_file_move(p->s, SECRET_IN_KEYRING, &e), 0);
		assert_true(again(p));
		assert_int_equal(count(&p->k), 1);
		clean(p);
	}
}

/* One question for many: who comes right after a no gets the same no. */
static void asks_once(void **state)
{
	struct place *p = make();
	struct secret_entry *x = calloc(1, sizeof(*x));
	struct err e = {0};
	(void)state;

	assert_non_null(x);
	assert_int_equal(secret_file_move(p->s, SECRET_IN_KEYRING, &e), 0);
	assert_int_equal(set(p, "a"), 0);
	assert_int_equal(set(p, "b"), 0);
	assert_true(secret_file_ready(p->s));
	secret_file_close(p->s);
	assert_int_equal(secret_file_open(p->dir, &p->keeper, &p->s, &e), 0);
	assert_false(secret_file_ready(p->s));
	p->k.fails = -EKEYREJECTED;
	p->k.gets = 0;
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(secret_file_get(p->s, "", "a", x, &e), -EKEYREJECTED);
	assert_int_equal(p->k.gets, 1);
	assert_non_null(strstr(e.msg, "the keyring says no"));
	clean(p);
	free(x);
}

/* A key of another store under that name, or no key at all, opens nothing and destroys nothing. */
static void another_key(void **state)
{
	struct place *p = make();
	char id[128] = "", cmd[256], text[AGE_TEXT_BYTES];
	struct age_identity other;
	struct err e = {0};
	FILE *ls;
	(void)state;

	assert_int_equal(secret_file_move(p->s, SECRET_IN_KEYRING, &e), 0);
	assert_int_equal(set(p, "a"), 0);
	assert_int_equal(set(p, "b"), 0);
	(void)snprintf(cmd, sizeof(cmd), "ls %s", p->k.dir);
	ls = popen(cmd, "r");
	assert_non_null(ls);
	assert_int_equal(fscanf(ls, "%100s", id), 1);
	(void)pclose(ls);
	(void)snprintf(cmd, sizeof(cmd), "cp %s/%s %s/saved", p->k.dir, id, p->dir);
	assert_int_equal(system(cmd), 0);
	assert_int_equal(age_identity_new(&other), 0);
	age_identity_print(&other, text);
	assert_int_equal(put(&p->k, id, text, &e), 0);
	assert_false(again(p));
	assert_true(set(p, "c") < 0);
	assert_int_equal(put(&p->k, id, "not a key", &e), 0);
	assert_false(again(p));
	assert_true(set(p, "c") < 0);
	assert_true(secret_file_move(p->s, SECRET_IN_FILE, &e) < 0);
	(void)snprintf(cmd, sizeof(cmd), "mv %s/saved %s/%s", p->dir, p->k.dir, id);
	assert_int_equal(system(cmd), 0);
	assert_true(again(p));
	clean(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(there_and_back),
		cmocka_unit_test(dies_in_the_middle),
		cmocka_unit_test(refused_changes_nothing),
		cmocka_unit_test(asks_once),
		cmocka_unit_test(another_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
