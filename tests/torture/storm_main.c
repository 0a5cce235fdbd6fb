/* SPDX-License-Identifier: MIT */
/*
 * Runs the scenes and the storm, each in a process of its own, and prints the results in cmocka's
 * format, which tests/tally.py counts:
 *   storm [--kills N] [--seconds N] [--seed N] [--keep] [NAME...]    no NAME: all
 * With --until-caught, meant for a library with a fault built in, it ends at the first failure.
 */
#include "tests/torture/storm.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "shm/error.h"
#include "shm/segment/segment_file.h"

enum { SCENE_SECONDS = 60 };

static bool until_caught, keep;

static void usage(void)
{
    fprintf(stderr, "usage: storm [--kills N] [--seconds N] [--seed N] [--keep] [--until-caught]"
                    " [NAME...]\n");
    exit(2);
}

static uint64_t number(const char *text)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0') {
        fprintf(stderr, "storm: not a number: %s\n", text);
        usage();
    }
    return value;
}

static char path[300]; /* of the segment */

/* On a signal: the storm's processes die with this one, and the segment is removed. */
static void on_signal(int signal)
{
    if (!keep)
        unlink(path);
    _exit(128 + signal);
}

static struct storm *share(void)
{
    void *at = mmap(NULL, sizeof(struct storm), PROT_READ | PROT_WRITE,
                    MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED) {
        perror("storm: memory for the ledger");
        exit(1);
    }
    return at;
}

/* Waits for the scene and for all processes that it forked: none may outlive the scene. */
static int wait_for(pid_t pid, double seconds)
{
    double until = storm_seconds() + seconds;
    int status = 0, one;
    while (waitpid(pid, &status, WNOHANG) == 0) {
        if (storm_seconds() > until) {
            kill(pid, SIGKILL);
            waitpid(pid, &status, 0);
            break;
        }
        usleep(5000);
    }
    while (waitpid(-1, &one, 0) > 0) {
    }
    return status;
}

static void say_why(int status)
{
    if (atomic_load(&storm->failed) == 2)
        printf("%s\n", storm->failure);
    else if (WIFSIGNALED(status))
        printf("the scene's process %s\n", WTERMSIG(status) == SIGKILL ? "did not end" : "crashed");
    else
        printf("the scene ended with status %d\n", WEXITSTATUS(status));
}

static bool run(const struct storm_scene *scene)
{
    double seconds = SCENE_SECONDS, started = storm_seconds();
    if (scene->run == storm_storm)
        seconds +=
            storm_options.seconds > 0 ? storm_options.seconds : 0.2 * (double)storm_options.kills;
    storm = share();
    printf("[ RUN      ] %s\n", scene->name);
    fflush(stdout);
    pid_t pid = storm_fork();
    if (pid == 0) {
        signal(SIGINT, SIG_DFL);
        signal(SIGTERM, SIG_DFL);
        signal(SIGHUP, SIG_DFL);
        storm_seed(storm_options.seed);
        scene->run();
        _exit(0);
    }
    int status = wait_for(pid, seconds);
    bool ok = status == 0 && atomic_load(&storm->failed) == 0;
    if (!ok)
        say_why(status);
    if (scene->run == storm_storm)
        printf("storm: %llu kills, %llu commits, %llu refused, %llu of them stale, %llu lookups,"
               " %llu listings, %llu revoked, %llu changes followed, %llu attaches, %llu of them "
               "killed, %llu tools,"
               " %llu times full, %llu refused for duplicates, %llu verified alive,"
               " %llu read carefully, %llu published, %llu users written to disk;"
               " %llu rounds, %.1f s, seed %llu\n",
               (unsigned long long)storm->kills, (unsigned long long)storm->commits,
               (unsigned long long)storm->refusals, (unsigned long long)storm->stale,
               (unsigned long long)storm->lookups, (unsigned long long)storm->listings,
               (unsigned long long)storm->revoked, (unsigned long long)storm->changes_read,
               (unsigned long long)(storm->attaches + storm->attaches_killed),
               (unsigned long long)storm->attaches_killed, (unsigned long long)storm->tools,
               (unsigned long long)storm->full, (unsigned long long)storm->duplicates,
               (unsigned long long)storm->verified, (unsigned long long)storm->careful,
               (unsigned long long)storm->publications, (unsigned long long)storm->written,
               (unsigned long long)storm->rounds, storm_seconds() - started,
               (unsigned long long)storm_options.seed);
    printf("%s %s\n", ok ? "[       OK ]" : "[  FAILED  ]", scene->name);
    fflush(stdout);
    if (ok || !keep)
        (void)shm_store_unlink(storm_name, &(struct shm_fault){0});
    munmap(storm, sizeof(*storm));
    return ok;
}

static bool named(int argc, char **argv, const char *name)
{
    for (int i = optind; i < argc; i++)
        if (strcmp(argv[i], name) == 0)
            return true;
    return optind == argc;
}

static void parse(int argc, char **argv)
{
    static const struct option options[] = {
        {"kills", required_argument, NULL, 'k'},  {"seconds", required_argument, NULL, 's'},
        {"seed", required_argument, NULL, 'r'},   {"keep", no_argument, NULL, 'K'},
        {"until-caught", no_argument, NULL, 'u'}, {0},
    };
    int c;
    storm_options = (struct storm_options){.kills = 250, .seconds = 0};
    storm_options.seed = (uint64_t)time(NULL) * 1000 + (uint64_t)getpid();
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (c) {
        case 'k':
            storm_options.kills = number(optarg);
            break;
        case 's':
            storm_options.seconds = (double)number(optarg);
            break;
        case 'r':
            storm_options.seed = number(optarg);
            break;
        case 'K':
            keep = true;
            break;
        case 'u':
            until_caught = true;
            break;
        default:
            usage();
        }
    }
}

int main(int argc, char **argv)
{
    int failed = 0;
    parse(argc, argv);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    if (!keep) /* no core files: mutants crash dozens of times */
        setrlimit(RLIMIT_CORE, &(struct rlimit){0});
    snprintf(storm_name, sizeof(storm_name), "/rosterd-storm-%ld", (long)getpid());
    if (shm_file_path(path, storm_name, NULL) != SHM_OK)
        return 1;
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    signal(SIGHUP, on_signal);
    for (const struct storm_scene *scene = storm_scenes; scene->name != NULL; scene++) {
        if (!named(argc, argv, scene->name))
            continue;
        failed += run(scene) ? 0 : 1;
        if (failed > 0 && until_caught)
            break;
    }
    return failed == 0 ? 0 : 1;
}
