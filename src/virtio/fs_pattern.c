/* fs_pattern.c - see fs_pattern.h */
#include "virtio/fs_pattern.h"
#include <errno.h>
#include <string.h>

static bool add_part(struct fs_pattern *p, const char *at, size_t len)
{
	if (len == 2 && at[0] == '*' && at[1] == '*') {
		if (p->gap)
			return false;
		p->gap = true;
		p->head = p->n;
		return true;
	}
	if (p->n == FS_PATTERN_PARTS || len == 0 || (len == 1 && at[0] == '.') ||
		(len == 2 && at[0] == '.' && at[1] == '.'))
		return false;
	p->part[p->n++] = (struct fs_part){at, len};
	return true;
}

int fs_pattern_parse(const char *text, bool fold, struct fs_pattern *ret)
{
	size_t len = strlen(text);
	const char *at;

	*ret = (struct fs_pattern){.fold = fold};
	if (len == 0 || len > FS_PATTERN_MAX)
		return -EINVAL;
	memcpy(ret->text, text, len + 1);
	at = ret->text;
	if (*at == '/') {
		ret->tied = true;
		at++;
	}
	while (*at) {
		size_t n = strcspn(at, "/");

		if (!add_part(ret, at, n))
			return -EINVAL;
		at += n;
		if (*at == '/' && !*++at)
			ret->tree = true;
	}
	/* A gap at the end says nothing that a trailing slash does not. */
	if (ret->n == 0 || (ret->gap && ret->head == ret->n))
		return -EINVAL;
	if (!ret->gap)
		ret->head = 0;
	return 0;
}

static unsigned char low(char c, bool fold)
{
	return (unsigned char)(fold && c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

/* The last '*' is the only one that is ever tried again: what it skipped, the earlier could. */
static bool part_matches(const struct fs_part *p, const struct fs_part *s, bool fold)
{
	size_t i = 0, k = 0, star = p->len, back = 0;

	while (k < s->len) {
		if (i < p->len && p->name[i] == '*') {
			star = i++;
			back = k;
		} else if (i < p->len &&
			   (p->name[i] == '?' || low(p->name[i], fold) == low(s->name[k], fold))) {
			i++;
			k++;
		} else if (star < p->len) {
			i = star + 1;
			k = ++back;
		} else {
			return false;
		}
	}
	while (i < p->len && p->name[i] == '*')
		i++;
	return i == p->len;
}

/* Parts [from, to) of @p, the last of them at t->part[k]. */
static bool run_matches(
	const struct fs_pattern *p, unsigned from, unsigned to, const struct fs_trail *t, size_t k)
{
	for (unsigned i = to; i-- > from; k++)
		if (k >= t->n || !part_matches(&p->part[i], &t->part[k], p->fold))
			return false;
	return true;
}

/* Does the front of the pattern, @n parts of it, end at t->part[k], and begin where it must? */
static bool front_matches(
	const struct fs_pattern *p, unsigned n, const struct fs_trail *t, size_t k)
{
	if (p->tied && k + n != t->inside)
		return false;
	return run_matches(p, 0, n, t, k);
}

static bool head_above(const struct fs_pattern *p, const struct fs_trail *t, size_t k)
{
	if (p->head == 0)
		return true;
	for (; k < t->n; k++)
		if (front_matches(p, p->head, t, k))
			return true;
	return false;
}

bool fs_pattern_at(const struct fs_pattern *p, const struct fs_trail *t, size_t k)
{
	if (!p->gap)
		return front_matches(p, p->n, t, k);
	return run_matches(p, p->head, p->n, t, k) &&
	       head_above(p, t, k + (size_t)(p->n - p->head));
}

bool fs_pattern_leads(const struct fs_pattern *p, const struct fs_trail *t)
{
	for (unsigned n = 1; n < p->n; n++) {
		if (p->gap && n > p->head) {
			if (run_matches(p, p->head, n, t, 0) && head_above(p, t, n - p->head))
				return true;
		} else if (front_matches(p, n, t, 0)) {
			return true;
		}
	}
	return p->gap && p->head && head_above(p, t, 0);
}
