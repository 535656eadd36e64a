/* kits_print.h - what the kits of a sandbox or a plan say, as `inspect` shows it */
#ifndef CLI_KITS_PRINT_H
#define CLI_KITS_PRINT_H
#include "cli/box.h"

/* kits_print() - of @box's plan; @api is asked which credentials are there */
void kits_print(struct api *api, const struct js *box);
#endif
