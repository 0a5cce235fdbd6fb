/* SPDX-License-Identifier: MIT */
/* The CPUs that this process may use. */
#ifndef ROSTERD_SERVER_OS_CPUS_H
#define ROSTERD_SERVER_OS_CPUS_H

#include <stdbool.h>

#include "base/fault.h"

/**
 * The smallest of: the number of CPUs in the affinity mask, and the CPU quotas of the process's
 * control group and of the groups above it (cgroup v2 cpu.max, v1 cpu.cfs_quota_us), rounded up.
 * @param root "", or in tests a directory that stands for "/"
 * @return at least 1
 */
unsigned cpus_usable(const char *root);

/** Whether the text is "off", "auto" or a list such as "0,2-3,7". */
bool cpus_is_list(const char *list);
/**
 * Binds the calling process to one CPU: number `number`, modulo their count, of the list; with
 * "auto", of the CPUs that the process may use; with "off" it does nothing.
 * @return false: "LIST: REASON"
 */
bool cpus_bind(const char *list, unsigned number, struct fault *fault);

#endif
