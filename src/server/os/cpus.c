/* SPDX-License-Identifier: MIT */
#include "server/os/cpus.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned affinity(void)
{
    /* the kernel refuses masks smaller than its own */
    for (size_t cpus = 1024; cpus <= 1 << 16; cpus *= 2) {
        cpu_set_t *set = CPU_ALLOC(cpus);
        if (set == NULL)
            break;
        size_t size = CPU_ALLOC_SIZE(cpus);
        int count = sched_getaffinity(0, size, set) == 0 ? CPU_COUNT_S(size, set) : 0;
        CPU_FREE(set);
        if (count > 0)
            return (unsigned)count;
    }
    return 1;
}

/* "0,2-3" into the set. @return false: it is something else */
static bool parse_list(const char *list, cpu_set_t *set)
{
    CPU_ZERO(set);
    for (const char *at = list;; at++) {
        char *end;
        if (*at < '0' || *at > '9')
            return false;
        unsigned long first = strtoul(at, &end, 10), last = first;
        if (*end == '-' && end[1] >= '0' && end[1] <= '9')
            last = strtoul(end + 1, &end, 10);
        if (first > last || last >= CPU_SETSIZE)
            return false;
        for (unsigned long cpu = first; cpu <= last; cpu++)
            CPU_SET(cpu, set);
        at = end;
        if (*at == '\0')
            return true;
        if (*at != ',')
            return false;
    }
}

bool cpus_is_list(const char *list)
{
    cpu_set_t set;
    return strcmp(list, "off") == 0 || strcmp(list, "auto") == 0 || parse_list(list, &set);
}

bool cpus_bind(const char *list, unsigned number)
{
    cpu_set_t all, one;
    if (strcmp(list, "off") == 0)
        return true;
    if (strcmp(list, "auto") == 0) {
        if (sched_getaffinity(0, sizeof(all), &all) != 0)
            return false;
    } else if (!parse_list(list, &all)) {
        errno = EINVAL;
        return false;
    }
    int nth = (int)number % CPU_COUNT(&all);
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &all) || nth-- != 0)
            continue;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        return sched_setaffinity(0, sizeof(one), &one) == 0;
    }
    return false;
}

static unsigned round_up(long long quota, long long period)
{
    if (quota <= 0 || period <= 0)
        return UINT_MAX;
    long long cpus = (quota + period - 1) / period;
    return cpus < UINT_MAX ? (unsigned)cpus : UINT_MAX;
}

/* The file's line in `line`. @return false where there is no such file */
static bool read_line(char *line, size_t size, const char *directory, const char *name)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof(path), "%s/%s", directory, name) >= (int)sizeof(path))
        return false;
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    bool got = fgets(line, (int)size, file) != NULL;
    fclose(file);
    return got;
}

/* cgroup v2: "max 100000" or "150000 100000". */
static unsigned quota_v2(const char *directory)
{
    char line[128];
    long long quota, period;
    if (!read_line(line, sizeof(line), directory, "cpu.max") ||
        sscanf(line, "%lld %lld", &quota, &period) != 2)
        return UINT_MAX;
    return round_up(quota, period);
}

/* cgroup v1: -1 is no quota. */
static unsigned quota_v1(const char *directory)
{
    char quota[64], period[64];
    if (!read_line(quota, sizeof(quota), directory, "cpu.cfs_quota_us") ||
        !read_line(period, sizeof(period), directory, "cpu.cfs_period_us"))
        return UINT_MAX;
    return round_up(atoll(quota), atoll(period));
}

/* The least quota of the group and of all above it. In a container the path can be one
 * of the host, of which only the root is mounted here: what is missing is passed over. */
static unsigned least_quota(const char *mount, const char *group,
                            unsigned (*quota_of)(const char *directory))
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof(path), "%s%s", mount, group) >= (int)sizeof(path))
        return UINT_MAX;
    unsigned least = UINT_MAX;
    for (char *end = path + strlen(path);;) {
        unsigned quota = quota_of(path);
        least = quota < least ? quota : least;
        if (end <= path + strlen(mount))
            return least;
        while (end > path + strlen(mount) && *--end != '/')
            ;
        *end = '\0';
    }
}

/* One line of /proc/self/cgroup: "0::/group" (v2) or "4:cpu,cpuacct:/group" (v1). */
static unsigned quota_of_line(const char *root, char *line)
{
    char mount[PATH_MAX];
    line[strcspn(line, "\n")] = '\0';
    char *controllers = strchr(line, ':');
    char *group = controllers != NULL ? strchr(++controllers, ':') : NULL;
    if (group == NULL || group[1] != '/')
        return UINT_MAX;
    *group++ = '\0';
    if (*controllers == '\0') {
        snprintf(mount, sizeof(mount), "%s/sys/fs/cgroup", root);
        return least_quota(mount, group, quota_v2);
    }
    char *rest = controllers;
    for (char *name; (name = strsep(&rest, ",")) != NULL;) {
        if (strcmp(name, "cpu") != 0)
            continue;
        snprintf(mount, sizeof(mount), "%s/sys/fs/cgroup/cpu", root);
        return least_quota(mount, group, quota_v1);
    }
    return UINT_MAX;
}

unsigned cpus_usable(const char *root)
{
    unsigned least = affinity();
    char path[PATH_MAX], line[PATH_MAX];
    snprintf(path, sizeof(path), "%s/proc/self/cgroup", root);
    FILE *file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        unsigned quota = quota_of_line(root, line);
        least = quota < least ? quota : least;
    }
    if (file != NULL)
        fclose(file);
    return least;
}
