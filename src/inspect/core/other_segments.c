/* SPDX-License-Identifier: MIT */
#include "inspect/core/other_segments.h"

#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "inspect/core/segment_user.h"

#define SHM_DIRECTORY "/dev/shm"

void other_segments_describe(char *text, size_t size)
{
    glob_t found;
    unsigned count = 0;
    const char *first = NULL;
    text[0] = '\0';
    if (glob(SHM_DIRECTORY "/rosterd-*", 0, NULL, &found) == 0) {
        for (size_t i = 0; i < found.gl_pathc; i++) {
            const char *name = found.gl_pathv[i] + strlen(SHM_DIRECTORY);
            if (strchr(name, '.') != NULL) /* a segment's other files */
                continue;
            if (!segment_is_meant(name, geteuid()))
                continue;
            first = first != NULL ? first : name;
            count++;
        }
        if (first != NULL)
            snprintf(text, size, "; there is %s%s: name it by --segment", first,
                     count > 1 ? " and others" : "");
        globfree(&found);
    }
}
