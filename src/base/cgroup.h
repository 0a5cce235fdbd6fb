/* SPDX-License-Identifier: MIT */
/* A process's control groups, as /proc/self/cgroup lists them. */
#ifndef ROSTERD_BASE_CGROUP_H
#define ROSTERD_BASE_CGROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/**
 * Parses a line of /proc/self/cgroup: "0::/group" (v2) or "4:cpu,cpuacct:/group" (v1).
 * @param line is taken apart
 * @param v2 set to whether the group is one of v2, which stands for every controller
 * @return the group's path; NULL: the line is not about this controller
 */
static inline const char *cgroup_parse_line(char *line, const char *controller, bool *v2)
{
    line[strcspn(line, "\n")] = '\0';
    char *controllers = strchr(line, ':');
    char *group = controllers != NULL ? strchr(++controllers, ':') : NULL;
    if (group == NULL || group[1] != '/')
        return NULL;
    *group++ = '\0';
    *v2 = *controllers == '\0';
    if (*v2)
        return group;
    for (char *name; (name = strsep(&controllers, ",")) != NULL;)
        if (strcmp(name, controller) == 0)
            return group;
    return NULL;
}

#endif
