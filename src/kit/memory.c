#include "kit/plan.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define START "<!-- sbx:kits-section start -->"
#define END   "<!-- sbx:kits-section end -->"

static bool of_mixin(const struct kit_plan *p, const struct kit_text *t)
{
	return t->at.kit > p->agent;
}

bool kit_memory_file(const struct kit_plan *p, size_t i, char path[128], const char **ret_text)
{
	for (size_t j = 0; j < p->parts.n_texts; j++) {
		const struct kit_text *t = &p->parts.texts[j];

		if (!of_mixin(p, t) || i-- > 0)
			continue;
		(void)snprintf(path, 128, "kits-memory/%s.md", p->kits[t->at.kit].spec->name.text);
		*ret_text = t->text;
		return true;
	}
	return false;
}

/* put_line() - one line of a description: it stands in a list, and must not hold our marks */
static int put_line(struct buf *out, const char *text)
{
	int r = 0;

	for (; *text && r == 0; text++)
		r = *text == '\n'  ? (text[1] ? buf_add(out, " ", 1) : 0)
		    : *text == '<' ? buf_addf(out, "&lt;")
				   : buf_add(out, text, 1);
	return r;
}

static int put_section(const struct kit_plan *p, struct buf *out)
{
	bool first = true;
	int r = buf_addf(out, START "\n");

	for (size_t i = 0; r == 0 && i < p->parts.n_texts; i++) {
		const char *text = p->parts.texts[i].text;
		size_t n = strlen(text);

		if (!of_mixin(p, &p->parts.texts[i]))
			r = buf_addf(out, "%s%s", text, n && text[n - 1] != '\n' ? "\n" : "");
	}
	for (size_t i = 0; r == 0 && i < p->parts.n_texts; i++) {
		const struct kit_spec *s = p->kits[p->parts.texts[i].at.kit].spec;

		if (!of_mixin(p, &p->parts.texts[i]))
			continue;
		if (first)
			r = buf_addf(out,
				"\n## Kits\n\nRead the text of a kit when you work with it.\n\n");
		first = false;
		if (r == 0)
			r = buf_addf(out, "- [%s](kits-memory/%s.md)%s", s->name.text, s->name.text,
				s->description.text ? ": " : "");
		if (r == 0 && s->description.text)
			r = put_line(out, s->description.text);
		if (r == 0)
			r = buf_addf(out, "\n");
	}
	return r == 0 ? buf_addf(out, END "\n") : r;
}

int kit_memory_splice(const char *before, const char *section, struct buf *out)
{
	const char *from = strstr(before, START);
	const char *to = from ? strstr(from, END) : NULL;
	size_t head = to ? (size_t)(from - before) : strlen(before);
	int r = 0;

	if (head)
		r = buf_add(out, before, head);
	if (r == 0 && !to && head && before[head - 1] != '\n')
		r = buf_add(out, "\n", 1);
	if (r == 0)
		r = buf_add(out, section, strlen(section));
	if (r < 0 || !to)
		return r;
	to += strlen(END);
	to += *to == '\n';
	return *to ? buf_add(out, to, strlen(to)) : 0;
}

int kit_memory_main(const struct kit_plan *p, const char *before, struct buf *out)
{
	AUTO(buf) section;
	int r;

	buf_init(&section, out->max);
	if (!p->instructions_file.text)
		return -EINVAL;
	r = put_section(p, &section);
	return r < 0 ? r : kit_memory_splice(before, buf_str(&section), out);
}
