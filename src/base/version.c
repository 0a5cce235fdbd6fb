/* SPDX-License-Identifier: MIT */
#include "base/version.h"

static void print_libraries(FILE *out, const char *title, const struct version_library *library)
{
    fputs(title, out);
    for (const char *between = " "; library->name != NULL; library++, between = ", ")
        fprintf(out, "%s%s %s", between, library->name, library->version);
    fputc('\n', out);
}

void version_print(FILE *out, const char *program, const struct version_library *runs_with,
                   const struct version_library *built_with)
{
    fprintf(out, "%s %s\n", program, PACKAGE_VERSION);
    fprintf(out, "commit: %s\n", version_commit[0] != '\0' ? version_commit : "unknown");
    print_libraries(out, "runs with:", runs_with);
    print_libraries(out, "built with:", built_with);
}
