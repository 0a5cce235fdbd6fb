/* SPDX-License-Identifier: MIT */
#include "tests/torture/storm_stage.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm/core/test_points.h"
#include "shm/error.h"
#include "shm/store.h"

void (*shm_test_hook)(const char *point);
struct shm_actor *stage_actor;

/* ---- processes that stop or die at a point ---- */

static const char *the_point;
static int the_signal;

static void stage_hook(const char *point)
{
    storm_hook(point);
    if (the_point != NULL && strcmp(point, the_point) == 0) {
        the_point = NULL;
        raise(the_signal);
    }
}

void stage_signal_at(const char *point, int signal)
{
    the_point = point;
    the_signal = signal;
    shm_test_hook = stage_hook;
}

pid_t stage_start(void (*run)(struct shm_actor *actor))
{
    pid_t pid = storm_fork();
    if (pid == 0) {
        storm_op.head.count = 0;
        struct shm_actor *actor = storm_join(SHM_ACTOR_WORKER, 1);
        run(actor);
        shm_actor_leave(actor);
        _exit(0);
    }
    return pid;
}

void stage_wait_until_stopped(pid_t pid)
{
    int status;
    if (waitpid(pid, &status, WUNTRACED) != pid || !WIFSTOPPED(status))
        storm_fail("the process did not reach \"%s\": wait status %#x",
                   the_point != NULL ? the_point : "", (unsigned)status);
}

pid_t stage_start_until_stopped(void (*run)(struct shm_actor *actor))
{
    pid_t pid = stage_start(run);
    stage_wait_until_stopped(pid);
    return pid;
}

void stage_continue_to_the_end(pid_t pid)
{
    int status;
    kill(pid, SIGCONT);
    if (waitpid(pid, &status, 0) != pid)
        storm_fail("wait: %s", strerror(errno));
    if (WIFSIGNALED(status))
        storm_fail("the process crashed with signal %d", WTERMSIG(status));
    if (status != 0)
        storm_fail("the process ended with status %d", WEXITSTATUS(status));
}

void stage_wait_until_killed(pid_t pid)
{
    int status;
    if (waitpid(pid, &status, 0) != pid || !WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
        storm_fail("the process was not killed at \"%s\": wait status %#x",
                   the_point != NULL ? the_point : "", (unsigned)status);
    atomic_fetch_add(&storm->kills, 1);
}

/* ---- writing ---- */

int stage_commit(struct shm_actor *actor, enum shm_change_kind kind, uint32_t from, uint32_t count)
{
    storm_op_begin(MODEL_PARENT, kind);
    for (uint32_t id = from; id < from + count; id++) {
        const struct model_row *row = &storm_model.row[id];
        storm_op_add(id, id, id + 1, row->there ? row->is.amount : 0);
    }
    return storm_op_do(actor);
}

void stage_must_commit(enum shm_change_kind kind, uint32_t from, uint32_t count)
{
    int rc = stage_commit(stage_actor, kind, from, count);
    if (rc != SHM_OK)
        storm_fail("a write of kind %d of %u users returned: %s", (int)kind, count,
                   shm_strerror(rc));
}

void stage_begin(uint64_t snapshot_max_bytes)
{
    storm_open(1000, 3, snapshot_max_bytes);
    stage_actor = storm_join(SHM_ACTOR_MASTER, 0);
    shm_test_hook = storm_hook;
    stage_must_commit(SHM_CREATED, STAGE_FIRST, STAGE_SOME);
}

void stage_reclaim(int times)
{
    for (int i = 0; i < times; i++) {
        shm_maintain(stage_actor);
        shm_actor_offline(stage_actor);
    }
}

void stage_churn(int times)
{
    for (int i = 0; i < times; i++) {
        stage_must_commit(SHM_UPDATED, 0, STAGE_FIRST);
        stage_must_commit(SHM_DELETED, STAGE_FIRST, STAGE_SOME);
        stage_reclaim(2);
        stage_must_commit(SHM_CREATED, STAGE_FIRST, STAGE_SOME);
        stage_reclaim(2);
    }
}

void stage_end(void)
{
    storm_journal_catch_up(stage_actor); /* the model of this process has the newest version */
    storm_check();
    shm_actor_leave(stage_actor);
    shm_store_close(storm_store);
}
