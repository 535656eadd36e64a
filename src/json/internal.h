/* internal.h - struct js is jansson's json_t; only this directory knows
 *
 * The casts live here and nowhere else.
 */
#ifndef JSON_INTERNAL_H
#define JSON_INTERNAL_H
#include "json/json.h"
#include <jansson.h>

static inline json_t *js_to(const struct js *v)
{
	return (json_t *)(uintptr_t)v; /* jansson counts references through const pointers, too */
}
static inline struct js *js_of(json_t *v)
{
	return (struct js *)(void *)v;
}
#endif
