/* SPDX-License-Identifier: MIT */
#include "service/observe/processes.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

enum {
    TRIES = 3,                 /* a child may end between two reads */
    DIGITS = 11,               /* of a pid, with a space */
    TICK_NS = 10000000,        /* USER_HZ is 100 on every architecture that Debian has */
    DESCRIPTORS_MS = 10 * 1000 /* see count_descriptors() */
};

static pid_t master_pid;
static uint64_t master_started_ms;

void processes_begin(void)
{
    master_pid = getpid();
    master_started_ms = clock_real_ms();
}

double processes_started_at(void)
{
    return (double)master_started_ms / 1000;
}

/* ---- files of /proc ---- */

/* Reads /proc/PID/NAME as a text, and cuts off what does not fit. @return false: it is not there */
static bool read_proc(pid_t pid, const char *name, char *text, size_t size)
{
    char path[64];
    size_t len = 0;
    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t got;
    while (len < size - 1 && (got = read(fd, text + len, size - 1 - len)) > 0)
        len += (size_t)got;
    close(fd);
    text[len] = '\0';
    return len != 0;
}

/* What proc(5) calls comm, utime + stime, cutime + cstime, starttime, vsize and rss. */
struct stat_line {
    char name[16];
    uint64_t own_ticks, buried_ticks, started, virtual_bytes, pages;
};

/* The name may contain anything, so the last parenthesis ends it. */
static bool read_stat(pid_t pid, struct stat_line *line)
{
    char text[1024];
    uint64_t user, system, buried_user, buried_system;
    if (!read_proc(pid, "stat", text, sizeof(text)))
        return false;
    const char *begin = strchr(text, '('), *end = strrchr(text, ')');
    if (begin == NULL || end == NULL ||
        sscanf(end + 1,
               " %*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %" SCNu64 " %" SCNu64 " %" SCNu64
               " %" SCNu64 " %*s %*s %*s %*s %" SCNu64 " %" SCNu64 " %" SCNu64,
               &user, &system, &buried_user, &buried_system, &line->started, &line->virtual_bytes,
               &line->pages) != 7)
        return false;
    snprintf(line->name, sizeof(line->name), "%.*s", (int)(end - begin - 1), begin + 1);
    line->own_ticks = user + system;
    line->buried_ticks = buried_user + buried_system;
    return true;
}

/* @return how many pages of the process belong to files and to segments; at most `resident` */
static uint64_t read_shared_pages(pid_t pid, uint64_t resident)
{
    char text[256];
    uint64_t shared;
    if (!read_proc(pid, "statm", text, sizeof(text)) ||
        sscanf(text, "%*s %*s %" SCNu64, &shared) != 1)
        return 0;
    return MIN(shared, resident);
}

/* ---- descriptors ---- */

/* Linux 6.2 and later tell the number as the folder's size. Before, the folder is read. @param
 * slow set to true in the second case */
static uint64_t count_descriptors(pid_t pid, bool *slow)
{
    char path[64];
    struct stat st;
    uint64_t count = 0;
    snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    if (stat(path, &st) == 0 && st.st_size > 0)
        return (uint64_t)st.st_size;
    DIR *folder = opendir(path);
    if (folder == NULL)
        return 0;
    *slow = true;
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(folder);
    return count;
}

/* Reading the folders of a server with many connections takes milliseconds, so their number is used
 * again for DESCRIPTORS_MS. */
static uint64_t count_all_descriptors(const pid_t *pids, size_t count)
{
    static uint64_t kept, kept_until_ms;
    uint64_t now = clock_monotonic_ms(), sum = 0;
    bool slow = false;
    if (now < kept_until_ms)
        return kept;
    for (size_t i = 0; i < count; i++)
        sum += count_descriptors(pids[i], &slow);
    kept = sum;
    kept_until_ms = slow ? now + DESCRIPTORS_MS : 0;
    return sum;
}

static uint64_t most_descriptors(pid_t pid)
{
    struct rlimit limit;
    return prlimit(pid, RLIMIT_NOFILE, NULL, &limit) == 0 ? limit.rlim_cur : 0;
}

/* ---- all processes ---- */

/* One look at all of them. */
struct look {
    struct processes *processes;
    uint64_t most_shared; /* bytes */
    size_t num_counted;
    pid_t counted[1 + PROCESSES_MAX]; /* whose descriptors are counted */
};

/* CPU time of a process that /proc hides. One tick less than the kernel may count for it when it
 * has ended, because the kernel rounds its two parts down. */
static uint64_t hidden_ticks(pid_t pid)
{
    clockid_t clock;
    struct timespec time;
    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &time) != 0)
        return 0;
    uint64_t ticks = ((uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec) / TICK_NS;
    return ticks == 0 ? 0 : ticks - 1;
}

static void add_named(struct look *look, const char *name, const struct stat_line *line,
                      uint64_t memory)
{
    struct processes *processes = look->processes;
    struct process_figures figures = {
        .cpu_ticks = line->own_ticks, .memory = memory, .started = line->started};
    snprintf(figures.name, sizeof(figures.name), "%s", name);
    for (size_t i = 0; i < processes->count; i++) {
        struct process_figures *other = &processes->all[i];
        if (strcmp(other->name, name) != 0)
            continue;
        if (figures.started > other->started)
            *other = figures;
        return;
    }
    processes->all[processes->count++] = figures;
}

static void add_figures(struct look *look, pid_t pid, const char *name,
                        const struct stat_line *line)
{
    struct processes *processes = look->processes;
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t shared = page * read_shared_pages(pid, line->pages);
    uint64_t memory = page * line->pages - shared;
    processes->cpu_ticks += line->own_ticks;
    processes->resident += memory;
    processes->virtual_bytes += line->virtual_bytes;
    look->most_shared = MAX(look->most_shared, shared);
    if (name == NULL)
        return;
    add_named(look, name, line, memory);
    processes->max_fds += most_descriptors(pid);
    look->counted[look->num_counted++] = pid;
}

/* A child that has another name is no part of this server: the program that replaces it, which
 * shows itself on a page of its own, or an orphan that a container gave to process 1. */
static void add_child(struct look *look, pid_t pid)
{
    static const char worker[] = "rosterd-w";
    struct stat_line line;
    char name[16];
    if (!read_stat(pid, &line)) {
        look->processes->cpu_ticks += hidden_ticks(pid);
    } else if (strcmp(line.name, "rosterd-passwd") == 0) {
        add_figures(look, pid, NULL, &line);
    } else if (strcmp(line.name, "rosterd-journal") == 0) {
        add_figures(look, pid, "journal", &line);
    } else if (strncmp(line.name, worker, sizeof(worker) - 1) == 0) {
        snprintf(name, sizeof(name), "worker-%.6s", line.name + sizeof(worker) - 1);
        add_figures(look, pid, name, &line);
    }
}

static void add_children(struct look *look)
{
    static char text[PROCESSES_MAX * DIGITS + 1];
    char name[64], *at = text, *end;
    snprintf(name, sizeof(name), "task/%d/children", (int)master_pid);
    if (!read_proc(master_pid, name, text, sizeof(text)))
        return;
    for (size_t i = 0; i < PROCESSES_MAX; i++, at = end) {
        long pid = strtol(at, &end, 10);
        if (end == at || *end == '\0') /* nothing, or a number that may be cut off */
            return;
        add_child(look, (pid_t)pid);
    }
}

/* @return what the master's children had used that are dead and buried by then */
static uint64_t look_at_all(struct look *look)
{
    struct stat_line line;
    *look->processes = (struct processes){.cpu_ticks = 0};
    look->most_shared = 0;
    look->num_counted = 0;
    if (!read_stat(master_pid, &line))
        return 0;
    look->processes->cpu_ticks = line.buried_ticks;
    add_figures(look, master_pid, "master", &line);
    add_children(look);
    look->processes->resident += look->most_shared;
    return line.buried_ticks;
}

/* A child that is buried during the look may count twice, or not at all; then the master has got
 * its time. */
void processes_read(struct processes *processes)
{
    static struct look look;
    struct stat_line after;
    uint64_t buried;
    int tries = 0;
    look.processes = processes;
    do
        buried = look_at_all(&look);
    while (++tries < TRIES && read_stat(master_pid, &after) && after.buried_ticks != buried);
    processes->open_fds = count_all_descriptors(look.counted, look.num_counted);
}
