/* SPDX-License-Identifier: MIT */
/* Whether a core dump contains memory of a test. Include it after cmocka.h. */
#ifndef ROSTERD_TESTS_BASE_DUMPED_H
#define ROSTERD_TESTS_BASE_DUMPED_H

#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* Whether core dumps leave out the mapping that contains this address. */
static inline bool is_left_out(const void *of)
{
    char line[512];
    unsigned long low, high, at = (unsigned long)(uintptr_t)of;
    bool inside = false, found = false;
    FILE *maps = fopen("/proc/self/smaps", "r");
    assert_non_null(maps);
    while (fgets(line, sizeof(line), maps) != NULL) {
        if (sscanf(line, "%lx-%lx ", &low, &high) == 2)
            inside = low <= at && at < high;
        else if (inside && strncmp(line, "VmFlags:", 8) == 0)
            found = strstr(line, " dd") != NULL;
    }
    fclose(maps);
    return found;
}

#endif
