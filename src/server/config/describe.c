/* SPDX-License-Identifier: MIT */
/* Makes documents of the table of options, while rosterd is built: not installed. */
#include <stdlib.h>
#include <string.h>

#include "server/config/options.h"

/* Copies a template; a line that is the mark alone becomes what print() says. */
static int fill(const char *path, const char *mark, bool keys_only)
{
    char line[4096];
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        perror(path);
        return EXIT_FAILURE;
    }
    while (fgets(line, sizeof(line), file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (strcmp(line, mark) == 0)
            options_print_manual(stdout, keys_only);
        else
            puts(line);
    }
    fclose(file);
    return EXIT_SUCCESS;
}

static int complete(const char *path)
{
    char line[4096];
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        perror(path);
        return EXIT_FAILURE;
    }
    while (fgets(line, sizeof(line), file) != NULL) {
        if (strcmp(line, "@WORDS@\n") == 0)
            options_print_words(stdout);
        else
            fputs(line, stdout);
    }
    fclose(file);
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    if (strcmp(what, "sample") == 0) {
        options_print_sample(stdout);
        return EXIT_SUCCESS;
    }
    if (argc == 3 && strcmp(what, "manual") == 0)
        return fill(argv[2], "@OPTIONS@", false);
    if (argc == 3 && strcmp(what, "keys") == 0)
        return fill(argv[2], "@KEYS@", true);
    if (argc == 3 && strcmp(what, "completion") == 0)
        return complete(argv[2]);
    fputs("usage: describe sample | manual TEMPLATE | keys TEMPLATE | completion TEMPLATE\n",
          stderr);
    return EXIT_FAILURE;
}
