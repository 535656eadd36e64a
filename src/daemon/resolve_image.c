#include "daemon/resolve.h"
#include <errno.h>
#include <string.h>

/* The image of a Create: which, and what its makers want its programs to be started with. */

/* of whom the variables speak who is not there, or what this program sets itself, such as its authority's place */
static const char *const not_taken[] = {"HOME", "USER", "LOGNAME", "SHELL", "TERM", "PWD", "OLDPWD",
	"HOSTNAME", "SBX_SANDBOX", "NODE_EXTRA_CA_CERTS", "DENO_CERT", "SSL_CERT_FILE",
	"SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "AWS_CA_BUNDLE", "GIT_SSL_CAINFO",
	"PIP_CERT", "CARGO_HTTP_CAINFO", "CODEX_CA_CERTIFICATE", "NIX_SSL_CERT_FILE",
	"GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"};

static const struct js *run_of(const struct resolving *s)
{
	return js_get(s->image_meta, "run");
}

static const char *text_of(const struct js *o, const char *key)
{
	const char *text = js_str(js_get(o, key));

	return text ? text : "";
}

/* workdir() - where the image's makers work, when that is a place of its own; "" else */
static const char *workdir(const struct resolving *s)
{
	const char *dir = text_of(run_of(s), "workdir");

	if (dir[0] != '/' || !dir[1] || strlen(dir) >= 1024 || strstr(dir, "/../") ||
		strpbrk(dir, "\n\r"))
		return "";
	return dir;
}

static void write_image(struct resolving *s, const struct image *img)
{
	AUTO_JS v = js_object();
	const char *user = text_of(run_of(s), "user");

	s->bad |= js_set_str(v, "id", img->id);
	s->bad |= js_set_str(v, "name", img->name);
	s->bad |= js_set_str(v, "root_digest", img->root_digest);
	s->bad |= js_set_str(v, "kernel_digest", img->kernel_digest);
	s->bad |= js_set_str(v, "modules_digest", img->modules_digest);
	s->bad |= js_set_str(v, "kernel_version", img->kernel_version);
	if (img->reference[0])
		s->bad |= js_set_str(v, "reference", img->reference);
	if (img->pin[0])
		s->bad |= js_set_str(v, "pin", img->pin);
	if (img->manifest[0])
		s->bad |= js_set_str(v, "manifest", img->manifest);
	s->workdir = workdir(s);
	if (s->workdir[0])
		s->bad |= js_set_str(v, "workdir", s->workdir);
	if (user[0] && strlen(user) < 256)
		s->bad |= js_set_str(v, "user", user);
	s->bad |= js_set(s->out, "image", TAKE(v));
}

int resolve_image(struct resolving *s)
{
	const char *ref = s->template[0]       ? s->template
			  : s->kit->image.text ? s->kit->image.text
					       : IMAGE_DEFAULT;
	AUTO_FREE struct image *img = malloc(sizeof(*img));
	struct image_store store;
	int r = img ? image_store_open(s->paths->cache, &store, s->e)
		    : err_sys(s->e, -ENOMEM, "find the image");

	if (r == 0)
		r = image_store_lookup(&store, ref, img, s->e);
	if (r == 0)
		r = image_meta(img, &s->image_meta, s->e);
	if (r == 0)
		write_image(s, img);
	return r;
}

static bool taken(const char *name, size_t len)
{
	static const char first[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_";

	if (len == 0 || len > 255 || strspn(name, first) != len || (*name >= '0' && *name <= '9'))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(not_taken); i++)
		if (strlen(not_taken[i]) == len && memcmp(not_taken[i], name, len) == 0)
			return false;
	return true;
}

void resolve_image_env(struct resolving *s, struct js *env)
{
	const struct js *list = js_get(run_of(s), "env");

	for (size_t i = 0; i < js_len(list); i++) {
		const char *text = js_str(js_at(list, i));
		const char *equals = text ? strchr(text, '=') : NULL;
		char name[256];

		if (!equals || !taken(text, (size_t)(equals - text)) ||
			js_len(env) >= PLAN_ENV_MAX / 2 || strlen(equals) > 32768)
			continue; /* a shell could not have set it either, or nobody needs that many */
		memcpy(name, text, (size_t)(equals - text));
		name[equals - text] = '\0';
		s->bad |= js_set_str(env, name, equals + 1);
	}
}

void resolve_image_argv(struct resolving *s, const char *key, struct js *argv)
{
	const struct js *list = js_get(run_of(s), key);

	for (size_t i = 0; i < js_len(list) && i < PLAN_ARGV_MAX / 2; i++)
		if (js_str(js_at(list, i)))
			s->bad |= js_add_str(argv, js_str(js_at(list, i)));
}
