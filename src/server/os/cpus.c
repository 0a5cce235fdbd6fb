/* SPDX-License-Identifier: MIT */
#include "server/os/cpus.h"

#include <assert.h>
#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

#include "base/cgroup.h"

/* @return the number of CPUs in the affinity mask; 1 if it is unknown */
static unsigned count_affinity(void)
{
    /* the kernel refuses a mask that is smaller than its own */
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

/* Reads a list such as "0,2-3". @return false: it is not a list of CPUs below CPU_SETSIZE */
static bool parse_cpu_list(const char *list, cpu_set_t *set)
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
    return strcmp(list, "off") == 0 || strcmp(list, "auto") == 0 || parse_cpu_list(list, &set);
}

/* The CPUs that a list or "auto" stands for. */
static bool cpus_of_list(const char *list, cpu_set_t *set, struct fault *fault)
{
    if (strcmp(list, "auto") == 0)
        return sched_getaffinity(0, sizeof(*set), set) == 0 || fault_set_errno(fault, "%s", list);
    return parse_cpu_list(list, set) || fault_set(fault, "%s: it is not a list of CPUs", list);
}

bool cpus_bind(const char *list, unsigned number, struct fault *fault)
{
    cpu_set_t all, one;
    if (strcmp(list, "off") == 0)
        return true;
    if (!cpus_of_list(list, &all, fault))
        return false;
    int nth = (int)(number % (unsigned)CPU_COUNT(&all));
    size_t cpu = 0;
    while (!CPU_ISSET(cpu, &all) || nth-- != 0)
        cpu++;
    assert(cpu < CPU_SETSIZE);
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    return sched_setaffinity(0, sizeof(one), &one) == 0 || fault_set_errno(fault, "%s", list);
}

/* A quota in CPUs, rounded up; UINT_MAX: no quota. */
static unsigned quota_cpus(long long quota, long long period)
{
    if (quota <= 0 || period <= 0)
        return UINT_MAX;
    long long cpus = (quota + period - 1) / period;
    return cpus < UINT_MAX ? (unsigned)cpus : UINT_MAX;
}

/* The first line of a file. @return false: it cannot be read */
static bool read_first_line(char *line, size_t size, const char *directory, const char *name)
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
    if (!read_first_line(line, sizeof(line), directory, "cpu.max") ||
        sscanf(line, "%lld %lld", &quota, &period) != 2)
        return UINT_MAX;
    return quota_cpus(quota, period);
}

/* cgroup v1: a quota of -1 means none. */
static unsigned quota_v1(const char *directory)
{
    char quota[64], period[64];
    if (!read_first_line(quota, sizeof(quota), directory, "cpu.cfs_quota_us") ||
        !read_first_line(period, sizeof(period), directory, "cpu.cfs_period_us"))
        return UINT_MAX;
    return quota_cpus(atoll(quota), atoll(period));
}

/* The smallest quota of a group and of all groups above it. In a container the path of the group
 * may be a path of the host, of which only the root is mounted here: missing groups are skipped. */
static unsigned least_quota(const char *mount, const char *group,
                            unsigned (*quota_of)(const char *directory))
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof(path), "%s%s", mount, group) >= (int)sizeof(path))
        return UINT_MAX;
    unsigned least = UINT_MAX;
    for (char *end = path + strlen(path);;) {
        unsigned quota = quota_of(path);
        least = MIN(least, quota);
        if (end <= path + strlen(mount))
            return least;
        while (end > path + strlen(mount) && *--end != '/')
            ;
        *end = '\0';
    }
}

/* The quota of one line of /proc/self/cgroup. */
static unsigned quota_of_line(const char *root, char *line)
{
    char mount[PATH_MAX];
    bool v2;
    const char *group = cgroup_parse_line(line, "cpu", &v2);
    if (group == NULL)
        return UINT_MAX;
    snprintf(mount, sizeof(mount), "%s/sys/fs/cgroup%s", root, v2 ? "" : "/cpu");
    return least_quota(mount, group, v2 ? quota_v2 : quota_v1);
}

unsigned cpus_usable(const char *root)
{
    unsigned least = count_affinity();
    char path[PATH_MAX], line[PATH_MAX];
    snprintf(path, sizeof(path), "%s/proc/self/cgroup", root);
    FILE *file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        unsigned quota = quota_of_line(root, line);
        least = MIN(least, quota);
    }
    if (file != NULL)
        fclose(file);
    return least;
}
