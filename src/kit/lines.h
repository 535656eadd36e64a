/* lines.h - what single things of a kit ask for, one sentence each
 *
 * surface.c collects them, withhold.c takes back what nobody approved by the same sentences. Heap text,
 * the caller's; NULL without memory. A sentence says all there is to say: another meaning is another
 * sentence. None has a line break.
 */
#ifndef KIT_LINES_H
#define KIT_LINES_H
#include "kit/plan.h"

#define KIT_LINES_MAX 8192

char *kit_line_allow(const struct kit_word *host, bool installing) MUST_USE;
char *kit_line_deny(const char *host) MUST_USE;
char *kit_line_port(const struct kit_port *p) MUST_USE;
char *kit_line_volume(const struct kit_volume *v) MUST_USE;
char *kit_line_workspace(const struct kit_placed *f) MUST_USE;
/* of a credential @c: a variable that stands for it, where the host has it, where it goes, a login */
char *kit_line_variable(const struct kit_credential *c, const char *name) MUST_USE;
char *kit_line_env(const struct kit_credential *c, const char *name) MUST_USE;
char *kit_line_file(const struct kit_credential *c) MUST_USE;
char *kit_line_inject(const struct kit_credential *c, const struct kit_inject *in) MUST_USE;
char *kit_line_login(const struct kit_credential *c) MUST_USE;
char *kit_line_login_host(const struct kit_credential *c, const char *host) MUST_USE;
#define KIT_LINE_PRIVILEGED "privileged"
#define KIT_LINE_DENY	    "- network deny "

/* kit_surface_add() - takes @line; true when it failed (NULL, or too many) */
bool kit_surface_add(struct kit_surface *s, char *line) MUST_USE;
/* kit_surface_sort() - sorted, unique: what kit_surface_has() needs */
void kit_surface_sort(struct kit_surface *s);
bool kit_surface_has(const struct kit_surface *s, const char *line);
#endif
