/* SPDX-License-Identifier: MIT */
/* docs/directory-filter.md: its examples are filters, its wrong example is none, and its bounds are
 * those of the parser. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "user/filter/filter.h"

enum { PAGE_MAX = 65536 };

static char page[PAGE_MAX];

static int read_filter_page(void **state)
{
    char path[4096];
    const char *srcdir = getenv("srcdir");
    snprintf(path, sizeof(path), "%s/docs/directory-filter.md", srcdir != NULL ? srcdir : "../..");
    FILE *file = fopen(path, "r");
    (void)state;
    if (file == NULL)
        return -1;
    const size_t size = fread(page, 1, sizeof(page) - 1, file);
    fclose(file);
    return size > 0 ? 0 : -1;
}

static bool is_filter(const char *text, size_t len, struct fault *fault)
{
    struct filter *filter;
    const bool good = filter_parse(&filter, text, len, fault) == FILTER_OK;
    free(filter);
    return good;
}

/* Parses what stands in backquotes in this column of the section's table, from 1. @return how many
 */
static unsigned parse_column(const char *heading, unsigned column)
{
    unsigned parsed = 0;
    const char *line = strstr(page, heading);
    assert_non_null(line);
    for (line = strchr(line + 1, '\n') + 1; strncmp(line, "## ", 3) != 0;
         line = strchr(line, '\n') + 1) {
        const char *at = line;
        if (*line != '|' || strncmp(line, "| ---", 5) == 0)
            continue;
        for (unsigned i = 1; i < column; i++)
            at = strstr(at + 1, " |") + 1;
        const char *end = strstr(at + 1, " |");
        while ((at = strchr(at, '`')) != NULL && at < end) {
            const char *close = strchr(++at, '`');
            struct fault fault;
            if (!is_filter(at, (size_t)(close - at), &fault))
                fail_msg("%.*s: %s", (int)(close - at), at, fault.text);
            at = close + 1;
            parsed++;
        }
    }
    return parsed;
}

static void examples_are_filters(void **state)
{
    (void)state;
    assert_true(parse_column("\n## Tests\n", 3) >= 16);
    assert_true(parse_column("\n## Combinations\n", 2) >= 5);
    assert_true(parse_column("\n## Cost\n", 1) >= 9);
}

static void first_examples_are_as_the_page_says(void **state)
{
    static const char *const good[] = {"disabled AND roles:\"admin\"",
                                       "create_time >= 2026-01-01T00:00:00Z AND (labels.team = "
                                       "\"core\" OR labels.team = \"infra\")"};
    static const char wrong[] = "email = \"*@example.org\"";
    struct fault fault;
    char line[200];
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        snprintf(line, sizeof(line), "\n    %s\n", good[i]);
        assert_non_null(strstr(page, line));
        assert_true(is_filter(good[i], strlen(good[i]), &fault));
    }
    assert_false(is_filter(wrong, strlen(wrong), &fault));
    snprintf(line, sizeof(line), "\n    %s          %.*s; ...\n", wrong,
             (int)strcspn(fault.text, ";"), fault.text);
    assert_non_null(strstr(page, line));
}

static void bounds_are_those_of_the_parser(void **state)
{
    char line[200];
    (void)state;
    snprintf(line, sizeof(line), "at most %d,%03d bytes, %d tests and %d brackets inside",
             FILTER_TEXT_MAX / 1000, FILTER_TEXT_MAX % 1000, FILTER_TERMS_MAX, FILTER_DEPTH_MAX);
    assert_non_null(strstr(page, line));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(examples_are_filters),
        cmocka_unit_test(first_examples_are_as_the_page_says),
        cmocka_unit_test(bounds_are_those_of_the_parser),
    };
    return cmocka_run_group_tests_name("filter_page", tests, read_filter_page, NULL);
}
