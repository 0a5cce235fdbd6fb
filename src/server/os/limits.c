/* SPDX-License-Identifier: MIT */
#include "server/os/limits.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <sys/resource.h>
#include <unistd.h>

#include "server/os/cpus.h"
#include "server/os/log.h"

enum { OOM_SCORE_MAX = 1000, DESCRIPTORS_BESIDE_CONNECTIONS = 64 };

static const char oom_path[] = "/proc/self/oom_score_adj";

uint64_t limits_raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 0;
    if (limit.rlim_cur < limit.rlim_max) {
        rlim_t before = limit.rlim_cur;
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
            limit.rlim_cur = before;
    }
    return limit.rlim_cur;
}

/* Allows core files up to the hard limit, or none. */
static void set_core_dumps(bool on)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_CORE, &limit) != 0)
        return;
    limit.rlim_cur = on ? limit.rlim_max : 0;
    (void)setrlimit(RLIMIT_CORE, &limit);
    if (on && limit.rlim_max == 0)
        log_warning("core-dumps: the limit of this process allows none");
}

/* @return this process's oom_score_adj; 0 if it cannot be read */
static int oom_score(void)
{
    char text[16] = "";
    int fd = open(oom_path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
    if (fd >= 0)
        close(fd);
    return got > 0 ? atoi(text) : 0;
}

static void add_to_oom_score(uint64_t adjust)
{
    if (adjust == 0)
        return;
    char text[16];
    int score = oom_score() + (int)adjust;
    int len = snprintf(text, sizeof(text), "%d", MIN(score, OOM_SCORE_MAX));
    int fd = open(oom_path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, text, (size_t)len) != len)
        log_warning("worker-oom-score-adjust: %s", strerror(errno));
    if (fd >= 0)
        close(fd);
}

/* The limits that make system calls fail, and the errno by which they do. */
static const struct {
    int error, resource;
    const char *has, *names;
} limit_errors[] = {
    {ENOMEM, RLIMIT_AS, "bytes of address space", "ulimit -v, LimitAS="},
    {EMFILE, RLIMIT_NOFILE, "open descriptors", "ulimit -n, LimitNOFILE="},
    {EFBIG, RLIMIT_FSIZE, "bytes in a file", "ulimit -f, LimitFSIZE="},
    {EAGAIN, RLIMIT_NPROC, "processes of its user", "ulimit -u, LimitNPROC="},
};

void limits_explain(struct fault *fault)
{
    for (size_t i = 0; i < sizeof(limit_errors) / sizeof(limit_errors[0]); i++) {
        struct rlimit limit;
        struct fault reason = *fault;
        const char *error = strerror(limit_errors[i].error);
        if (strstr(reason.text, error) == NULL ||
            getrlimit((__rlimit_resource_t)limit_errors[i].resource, &limit) != 0 ||
            limit.rlim_cur == RLIM_INFINITY)
            continue;
        fault_set(fault, "%s; this process may have %llu %s (%s)", reason.text,
                  (unsigned long long)limit.rlim_cur, limit_errors[i].has, limit_errors[i].names);
        return;
    }
}

/* A write beyond the limit fails, as a write to a full disk does. */
static void warn_of_file_size(uint64_t segment_size)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur < segment_size)
        log_warning("limits: files may grow to %llu bytes, the segment to %llu: calls that create "
                    "users fail before it is there, and logs lose lines",
                    (unsigned long long)limit.rlim_cur, (unsigned long long)segment_size);
}

void limits_apply_to_master(struct limits limits)
{
    assert(limits.workers != 0);
    uint64_t descriptors = limits_raise_descriptors();
    set_core_dumps(limits.core_dumps);
    log_info("limits: %llu descriptors per process, core-dumps %s, worker-cpu-affinity %s, "
             "oom_score_adj %d, plus %llu in workers",
             (unsigned long long)descriptors, limits.core_dumps ? "on" : "off", limits.worker_cpus,
             oom_score(), (unsigned long long)limits.worker_oom_score_adjust);
    warn_of_file_size(limits.segment_size);
    uint64_t each = limits.max_connections / limits.workers + DESCRIPTORS_BESIDE_CONNECTIONS;
    if (descriptors != 0 && each > descriptors && limits.max_connections_set)
        log_warning("max-connections: %llu of them may need more than the %llu descriptors that "
                    "the limit allows each worker",
                    (unsigned long long)limits.max_connections, (unsigned long long)descriptors);
}

void limits_apply_to_worker(struct limits limits, unsigned number)
{
    struct fault fault;
    add_to_oom_score(limits.worker_oom_score_adjust);
    if (!cpus_bind(limits.worker_cpus, number, &fault))
        log_warning("worker-cpu-affinity: %s", fault.text);
}
