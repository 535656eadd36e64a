#ifndef AVERAGE_H
#define AVERAGE_H
#include <stddef.h>

/* average() - mean of @n numbers, rounded towards zero; 0 when there are none */
int average(const int *numbers, size_t n);
#endif
