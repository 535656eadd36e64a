/* image_verbs.h - verbs that `sbx image` and `sbx template` share */
#ifndef CLI_IMAGE_VERBS_H
#define CLI_IMAGE_VERBS_H

int image_verb_ls(int argc, char **argv);
int image_verb_rm(int argc, char **argv);
int image_verb_load(int argc, char **argv);
int image_verb_save(int argc, char **argv);
#endif
