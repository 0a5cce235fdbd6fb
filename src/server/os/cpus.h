/* SPDX-License-Identifier: MIT */
/* How many CPUs this process may use. */
#ifndef ROSTERD_SERVER_OS_CPUS_H
#define ROSTERD_SERVER_OS_CPUS_H

#include <stdbool.h>

/**
 * The least of the CPUs in the affinity mask and the quota of the process's
 * control group and of those above it (cgroup v2 cpu.max, v1
 * cpu.cfs_quota_us), rounded up; at least 1.
 * @param root "" or a directory that stands for "/", for tests
 */
unsigned cpus_usable(const char *root);

/** Whether it is "off", "auto" or a list such as "0,2-3,7". */
bool cpus_is_list(const char *list);
/**
 * Binds the calling process to one CPU: of the list, or where that is "auto" of those that it may
 * use, the one at `number`, modulo how many there are. With "off" nothing happens.
 * @return false with errno set
 */
bool cpus_bind(const char *list, unsigned number);

#endif
