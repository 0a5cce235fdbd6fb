/* SPDX-License-Identifier: MIT */
#include "server/os/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "server/os/cpus.h"

enum { OOM_SCORE_MAX = 1000, DESCRIPTORS_BESIDE = 64 };

static const char oom_path[] = "/proc/self/oom_score_adj";

/* A connection is a descriptor; what the administrator allows is used. */
static rlim_t raise_descriptors(void)
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

/* What the administrator allows, or none. */
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

static int oom_score(void)
{
    char text[16] = "";
    int fd = open(oom_path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
    if (fd >= 0)
        close(fd);
    return got > 0 ? atoi(text) : 0;
}

/* A write past it is an error of that write, as one to a full disk. */
static void warn_of_file_size(const struct options *options)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur < options->segment_size)
        log_warning("limits: files may grow to %llu bytes, the segment to %llu: calls that create "
                    "users fail before it is there, and logs lose lines",
                    (unsigned long long)limit.rlim_cur, (unsigned long long)options->segment_size);
}

void limits_of_master(const struct options *options)
{
    rlim_t descriptors = raise_descriptors();
    set_core_dumps(options->core_dumps != 0);
    log_info("limits: %llu descriptors a process, core-dumps %s, worker-cpu-affinity %s, "
             "OOM score %d, of workers %llu more",
             (unsigned long long)descriptors, options->core_dumps != 0 ? "on" : "off",
             options->worker_cpus, oom_score(),
             (unsigned long long)options->worker_oom_score_adjust);
    warn_of_file_size(options);
    uint64_t each = options->max_connections / options->workers + DESCRIPTORS_BESIDE;
    if (descriptors != 0 && each > descriptors && !options_is_default(options, "max-connections"))
        log_warning("max-connections: %llu of them may need more than the %llu descriptors that "
                    "the limit allows each worker",
                    (unsigned long long)options->max_connections, (unsigned long long)descriptors);
}

void limits_of_worker(const struct options *options, unsigned number)
{
    char text[16];
    int score = oom_score() + (int)options->worker_oom_score_adjust;
    int len = snprintf(text, sizeof(text), "%d", score < OOM_SCORE_MAX ? score : OOM_SCORE_MAX);
    int fd = options->worker_oom_score_adjust != 0 ? open(oom_path, O_WRONLY | O_CLOEXEC) : -1;
    if (options->worker_oom_score_adjust != 0 && (fd < 0 || write(fd, text, (size_t)len) != len))
        log_warning("worker-oom-score-adjust: %s", strerror(errno));
    if (fd >= 0)
        close(fd);
    if (!cpus_bind(options->worker_cpus, number))
        log_warning("worker-cpu-affinity: %s: %s", options->worker_cpus, strerror(errno));
}
