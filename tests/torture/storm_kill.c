/* SPDX-License-Identifier: MIT */
/* The storm itself: which processes are started, and which are killed when. */
#include "tests/torture/storm.h"

#include <math.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm/core/layout.h"

enum {
    KILLS_A_ROUND = 80,
    ROUNDS_A_SEGMENT = 6,
    HANGS_AFTER = 20, /* seconds */
};

struct storm_options storm_options;

static struct {
    pid_t pid;
    bool stopped;
    double go_on; /* when to continue it after a stop */
    uint64_t beats;
    double beaten; /* when its beats last changed */
} workers[STORM_WORKERS];

/* ---- processes ---- */

static const struct {
    const char *name;
    void (*run)(unsigned worker);
} roles[STORM_WORKERS] = {
    [0 ... MODEL_WRITERS - 1] = {"writer", storm_writer},
    [MODEL_WRITERS... STORM_TOOL - 1] = {"reader", storm_reader},
    [STORM_TOOL] = {"tool", storm_tool},
    [STORM_FOLLOWER] = {"follower", storm_follower},
    [STORM_JOURNAL] = {"journal", storm_journal},
    [STORM_MASTER] = {"master", storm_master},
};

static void start(unsigned i)
{
    storm_replay(&storm_model, storm_version());
    pid_t pid = storm_fork();
    if (pid == 0) {
        roles[i].run(i);
    }
    workers[i].pid = pid;
    workers[i].stopped = false;
    workers[i].beaten = storm_seconds();
}

static void ended(unsigned i, int status, bool killed)
{
    workers[i].pid = 0;
    if (killed && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
        atomic_fetch_add(&storm->kills, 1);
    else if (WIFSIGNALED(status))
        storm_fail("%s %u crashed with signal %d", roles[i].name, i, WTERMSIG(status));
    else if (WEXITSTATUS(status) != 0)
        storm_fail("%s %u ended with status %d", roles[i].name, i, WEXITSTATUS(status));
}

static void kill_one(unsigned i)
{
    if (workers[i].pid != 0)
        kill(workers[i].pid, SIGKILL);
}

static void bury(unsigned i)
{
    int status;
    if (workers[i].pid != 0 && waitpid(workers[i].pid, &status, 0) == workers[i].pid)
        ended(i, status, true);
}

static void kill_all_but(unsigned survivor)
{
    for (unsigned i = 0; i < STORM_WORKERS; i++)
        if (i != survivor)
            kill_one(i);
    for (unsigned i = 0; i < STORM_WORKERS; i++)
        if (i != survivor)
            bury(i);
}

static void kill_all(void)
{
    kill_all_but(STORM_WORKERS);
}

static void stop_one(unsigned i)
{
    if (workers[i].pid == 0)
        return;
    kill(workers[i].pid, SIGSTOP);
    workers[i].stopped = true;
    workers[i].go_on = storm_seconds() + (double)storm_random(60) / 1000;
}

static void continue_due_processes(double now)
{
    for (unsigned i = 0; i < STORM_WORKERS; i++) {
        if (workers[i].pid == 0 || !workers[i].stopped || workers[i].go_on > now)
            continue;
        workers[i].stopped = false;
        workers[i].beaten = now;
        kill(workers[i].pid, SIGCONT);
    }
}

/* Looks for a process that failed, crashed or hangs. */
static void look_after(double now)
{
    for (unsigned i = 0; i < STORM_WORKERS; i++) {
        int status;
        if (workers[i].pid == 0)
            continue;
        if (waitpid(workers[i].pid, &status, WNOHANG) == workers[i].pid)
            ended(i, status, false);
        uint64_t beats = atomic_load(&storm->beats[i]);
        if (beats != workers[i].beats || workers[i].stopped)
            workers[i].beaten = now;
        workers[i].beats = beats;
        if (now - workers[i].beaten > HANGS_AFTER)
            storm_fail("%s %u hangs", roles[i].name, i);
    }
}

pid_t storm_tool_pid(void)
{
    return workers[STORM_TOOL].pid;
}

void storm_wait_for_tool(void)
{
    while (workers[STORM_TOOL].pid != 0 && atomic_load(&storm->tool) != workers[STORM_TOOL].pid) {
        usleep(100);
        look_after(storm_seconds());
    }
}

/* ---- rounds ---- */

static void start_missing(void)
{
    for (unsigned i = 0; i < STORM_WORKERS; i++)
        if (workers[i].pid == 0)
            start(i);
}

/* Starts more processes than there are slots: some die while they create slots. */
static void crowd(void)
{
    enum { CROWD = SHM_SLOTS_STEP + 4 };
    pid_t pids[CROWD];
    for (unsigned i = 0; i < CROWD; i++) {
        pids[i] = storm_fork();
        if (pids[i] == 0) {
            struct shm_actor *actor = storm_join(SHM_ACTOR_WORKER, i);
            storm_list_begin(actor);
            if (storm_random(2) == 0)
                shm_actor_offline(actor);
            pause();
        }
    }
    usleep((useconds_t)storm_random(10000));
    for (unsigned i = 0; i < CROWD; i++) {
        int status;
        kill(pids[i], SIGKILL);
        waitpid(pids[i], &status, 0);
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
            storm_fail("a process of the crowd ended with wait status %#x", (unsigned)status);
        atomic_fetch_add(&storm->kills, 1);
    }
}

static void strike(void)
{
    uint64_t what = storm_random(100);
    if (what == 99) {
        crowd();
    } else if (what < 3) {
        continue_due_processes(INFINITY); /* the check would wait for a stopped process */
        kill_all_but(storm_random(2) == 0 ? STORM_TOOL : STORM_WORKERS);
        storm_attach_again(false);
    } else if (what < 15) {
        /* A stopped holder of the writer lock only delays the others. */
        stop_one((unsigned)storm_random(STORM_WORKERS));
    } else {
        unsigned victims[3], count = what < 85 ? 1 : 3;
        for (unsigned i = 0; i < count; i++)
            kill_one(victims[i] = (unsigned)storm_random(STORM_WORKERS));
        for (unsigned i = 0; i < count; i++)
            bury(victims[i]);
    }
}

static void end_round(void)
{
    if (storm_random(2) == 0) {
        kill_all();
    } else {
        atomic_store(&storm->stop, 1);
        continue_due_processes(INFINITY);
        for (unsigned left = STORM_WORKERS; left > 0; usleep(1000)) {
            look_after(storm_seconds());
            left = 0;
            for (unsigned i = 0; i < STORM_WORKERS; i++)
                left += workers[i].pid != 0;
        }
        atomic_store(&storm->stop, 0);
    }
    storm_check();
    atomic_fetch_add(&storm->rounds, 1);
}

static bool enough(double started)
{
    return atomic_load(&storm->kills) >= storm_options.kills ||
           (storm_options.seconds > 0 && storm_seconds() - started >= storm_options.seconds);
}

static void run_round(double started)
{
    /* Longest pause between kills, in microseconds. */
    static const uint64_t pauses[] = {2000, 8000, 8000, 30000};
    uint64_t pause_us = pauses[storm_random(4)];
    uint64_t kills = atomic_load(&storm->kills) + KILLS_A_ROUND;
    uint64_t commits = atomic_load(&storm->commits);
    while (atomic_load(&storm->kills) < kills && !enough(started)) {
        start_missing();
        usleep((useconds_t)storm_random(pause_us));
        double now = storm_seconds();
        continue_due_processes(now);
        look_after(now);
        strike();
    }
    start_missing();
    end_round();
    if (atomic_load(&storm->commits) == commits)
        storm_fail("nothing was committed in a round");
}

void storm_storm(void)
{
    double started = storm_seconds();
    while (!enough(started)) {
        storm_new_segment();
        for (int i = 0; i < ROUNDS_A_SEGMENT && !enough(started); i++) {
            run_round(started);
            if (storm_random(2) == 0)
                start(STORM_TOOL);
            storm_attach_again(true);
            kill_one(STORM_TOOL);
            bury(STORM_TOOL);
        }
    }
    shm_store_close(storm_store);
}
