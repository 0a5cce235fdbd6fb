/* SPDX-License-Identifier: MIT */
/* The CPUs that a process may use. A directory stands for the file system with the control groups.
 */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "server/os/cpus.h"
#include "tests/base/write_below.h"

static char root[64];

static void write_file(const char *path, const char *text)
{
    write_below(root, path, text);
}

static int make_root(void **state)
{
    (void)state;
    strcpy(root, "/tmp/rosterd-cpus-XXXXXX");
    return mkdtemp(root) != NULL ? 0 : -1;
}

static int remove_root(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof(command), "rm -r '%s'", root);
    return system(command);
}

static unsigned affinity(void)
{
    cpu_set_t set;
    assert_int_equal(sched_getaffinity(0, sizeof(set), &set), 0);
    return (unsigned)CPU_COUNT(&set);
}

static void without_a_quota_it_is_the_affinity_mask(void **state)
{
    (void)state;
    assert_int_equal(cpus_usable(root), affinity()); /* no control groups */
    write_file("/proc/self/cgroup", "0::/a\n");
    write_file("/sys/fs/cgroup/a/cpu.max", "max 100000\n");
    assert_int_equal(cpus_usable(root), affinity());
}

static void affinity_mask_of_one_is_one(void **state)
{
    (void)state;
    cpu_set_t before, one;
    assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
    CPU_ZERO(&one);
    for (size_t cpu = 0; CPU_COUNT(&one) == 0; cpu++)
        if (CPU_ISSET(cpu, &before))
            CPU_SET(cpu, &one);
    assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
    unsigned usable = cpus_usable(root);
    assert_int_equal(sched_setaffinity(0, sizeof(before), &before), 0);
    assert_int_equal(usable, 1);
}

static void quota_below_one_cpu_is_one(void **state)
{
    (void)state;
    write_file("/proc/self/cgroup", "0::/a\n");
    write_file("/sys/fs/cgroup/a/cpu.max", "20000 100000\n");
    assert_int_equal(cpus_usable(root), 1);
}

static void least_quota_of_the_group_and_those_above_counts(void **state)
{
    (void)state;
    write_file("/proc/self/cgroup", "0::/a/b/c\n");
    write_file("/sys/fs/cgroup/a/b/c/cpu.max", "max 100000\n");
    write_file("/sys/fs/cgroup/a/cpu.max", "100000 100000\n"); /* group b has no quota */
    assert_int_equal(cpus_usable(root), 1);
}

static void quota_of_a_containers_root_counts(void **state)
{
    (void)state;
    /* a path of the host that is not mounted in the container */
    write_file("/proc/self/cgroup", "0::/../system.slice/x.scope\n");
    write_file("/sys/fs/cgroup/cpu.max", "50000 100000\n");
    assert_int_equal(cpus_usable(root), 1);
}

static void quota_of_version_1_counts(void **state)
{
    (void)state;
    write_file("/proc/self/cgroup", "5:memory:/m\n4:cpu,cpuacct:/docker/x\n0::/\n");
    write_file("/sys/fs/cgroup/cpu/docker/x/cpu.cfs_quota_us", "90000\n");
    write_file("/sys/fs/cgroup/cpu/docker/x/cpu.cfs_period_us", "100000\n");
    assert_int_equal(cpus_usable(root), 1);
    write_file("/sys/fs/cgroup/cpu/docker/x/cpu.cfs_quota_us", "-1\n");
    assert_int_equal(cpus_usable(root), affinity());
}

static void cpuset_is_not_mistaken_for_cpu(void **state)
{
    (void)state;
    write_file("/proc/self/cgroup", "5:cpuset:/m\n");
    write_file("/sys/fs/cgroup/cpu/m/cpu.cfs_quota_us", "10000\n");
    write_file("/sys/fs/cgroup/cpu/m/cpu.cfs_period_us", "100000\n");
    assert_int_equal(cpus_usable(root), affinity());
}

static void nonsense_in_the_files_is_no_quota(void **state)
{
    (void)state;
    static const char *const nonsense[] = {
        "", "\n", "0 100000\n", "100000 0\n", "-5 100000\n", "many 100000\n", "100000\n"};
    write_file("/proc/self/cgroup", "garbage\n\n::\n0:\n0::relative\n0::/a\n");
    for (size_t i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++) {
        write_file("/sys/fs/cgroup/a/cpu.max", nonsense[i]);
        assert_int_equal(cpus_usable(root), affinity());
    }
}

#define test(name) cmocka_unit_test_setup_teardown(name, make_root, remove_root)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(without_a_quota_it_is_the_affinity_mask),
        test(affinity_mask_of_one_is_one),
        test(quota_below_one_cpu_is_one),
        test(least_quota_of_the_group_and_those_above_counts),
        test(quota_of_a_containers_root_counts),
        test(quota_of_version_1_counts),
        test(cpuset_is_not_mistaken_for_cpu),
        test(nonsense_in_the_files_is_no_quota),
    };
    return cmocka_run_group_tests_name("cpus", tests, NULL, NULL);
}
