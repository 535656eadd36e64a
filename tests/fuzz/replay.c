/* replay.c - runs a fuzz target over every file of its corpus: what was found once stays a test */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int one(const char *dir, const char *name)
{
	char path[4096];
	uint8_t *data;
	size_t n;
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "rb");
	if (!f)
		return -1;
	data = malloc(1 << 21);
	n = data ? fread(data, 1, 1 << 21, f) : 0;
	fclose(f);
	/* An exact-size copy, so that the sanitizer sees a read beyond the end. */
	uint8_t *exact = malloc(n ? n : 1);
	for (size_t i = 0; exact && i < n; i++)
		exact[i] = data[i];
	free(data);
	if (!exact)
		return -1;
	(void)LLVMFuzzerTestOneInput(exact, n);
	free(exact);
	return 0;
}

int main(int argc, char **argv)
{
	unsigned count = 0;
	struct dirent *e;
	DIR *d;

	if (argc != 2 || !(d = opendir(argv[1]))) {
		fprintf(stderr, "usage: replay CORPUS_DIR\n");
		return 2;
	}
	while ((e = readdir(d)))
		if (e->d_name[0] != '.') {
			if (one(argv[1], e->d_name) < 0) {
				fprintf(stderr, "cannot read %s\n", e->d_name);
				return 1;
			}
			count++;
		}
	closedir(d);
	printf("%u inputs replayed\n", count);
	return count ? 0 : 1; /* an empty corpus is no test */
}
