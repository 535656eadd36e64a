/* kit_show.h - a kit, or an agent with mixins, for a person to read */
#ifndef CLI_KIT_SHOW_H
#define CLI_KIT_SHOW_H
#include "json/json.h"

/* kit_show() - @kit is kit_spec_json() or kit_plan_json(); on stdout, everything escaped */
void kit_show(const struct js *kit);
/* kit_show_lines() - a titled list of texts, nothing when it is empty */
void kit_show_lines(const char *title, const struct js *list);
#endif
