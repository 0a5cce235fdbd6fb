/* SPDX-License-Identifier: MIT */
/* How many CPUs this process may use. */
#ifndef ROSTERD_SERVER_CPUS_H
#define ROSTERD_SERVER_CPUS_H

/**
 * The least of the CPUs in the affinity mask and the quota of the process's
 * control group and of those above it (cgroup v2 cpu.max, v1
 * cpu.cfs_quota_us), rounded up; at least 1.
 * @param root "" or a directory that stands for "/", for tests
 */
unsigned cpus_usable(const char *root);

#endif
