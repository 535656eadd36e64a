#include "average.h"
#include <stdio.h>

static int failed;

static void check(const char *what, int got, int want)
{
	printf("%s %s: %d\n", got == want ? "ok  " : "FAIL", what, got);
	failed += got != want;
}

int main(void)
{
	const int numbers[] = {6, 1, 2, 3};

	check("average of four", average(numbers, 4), 3);
	check("average of one", average(numbers, 1), 6);
	check("average of none", average(numbers, 0), 0);
	printf("%d failed\n", failed);
	return failed != 0;
}
