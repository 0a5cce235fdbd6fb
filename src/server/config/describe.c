/* SPDX-License-Identifier: MIT */
/* A program that the build runs and does not install. It makes documents of the table of options:
 * the sample file, or a copy of a template with one line replaced. */
#include <stdlib.h>
#include <string.h>

#include "server/config/option_documents.h"

static const struct {
    const char *document, *mark; /* the line of the template that is replaced */
    void (*print)(FILE *out);
} templates[] = {
    {"manual", "@OPTIONS@\n", option_print_manual},
    {"keys", "@KEYS@\n", option_print_keys},
    {"completion", "@WORDS@\n", option_print_words},
};

static int fill_template(const char *path, const char *mark, void (*print)(FILE *out))
{
    char line[4096];
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        perror(path);
        return EXIT_FAILURE;
    }
    while (fgets(line, sizeof(line), file) != NULL) {
        if (strcmp(line, mark) == 0)
            print(stdout);
        else
            fputs(line, stdout);
    }
    fclose(file);
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "sample") == 0) {
        option_print_sample(stdout);
        return EXIT_SUCCESS;
    }
    for (size_t i = 0; argc == 3 && i < sizeof(templates) / sizeof(templates[0]); i++)
        if (strcmp(argv[1], templates[i].document) == 0)
            return fill_template(argv[2], templates[i].mark, templates[i].print);
    fputs("usage: describe sample | manual TEMPLATE | keys TEMPLATE | completion TEMPLATE\n",
          stderr);
    return EXIT_FAILURE;
}
