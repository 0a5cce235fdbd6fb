/* SPDX-License-Identifier: MIT */
/* What must hold at the end of a round, when each of its processes has left or is dead. */
#include "tests/torture/storm.h"

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm/core/layout.h"
#include "shm/core/mapping.h"
#include "shm/error.h"

enum { RECLAIM_SECONDS = 5, BYTES_OF_TEXT = 400 };

static void first_fault(void *data, const char *line)
{
    char *text = data;
    if (text[0] == '\0')
        snprintf(text, BYTES_OF_TEXT, "%s", line);
}

static void verify(const char *when, bool reclaimed)
{
    struct shm_verify_report report;
    char text[BYTES_OF_TEXT] = "";
    const struct shm_control *control = shm_control();
    int rc = shm_store_verify(storm_store, &report, first_fault, text);
    if (rc != SHM_OK)
        storm_fail("verify %s: %s; %llu faults, first: %s", when, shm_strerror(rc),
                   (unsigned long long)report.faults, text);
    if (report.users != storm_model.users)
        storm_fail("verify %s counts %llu users instead of %llu", when,
                   (unsigned long long)report.users, (unsigned long long)storm_model.users);
    uint64_t arena = control->arena_end - SHM_BASE - SHM_ARENA_AT;
    if (report.bytes_used + report.bytes_free + report.bytes_tables != arena)
        storm_fail("verify %s: %llu bytes used, %llu free and %llu of tables are not the arena's"
                   " %llu",
                   when, (unsigned long long)report.bytes_used,
                   (unsigned long long)report.bytes_free, (unsigned long long)report.bytes_tables,
                   (unsigned long long)arena);
    if (reclaimed && report.bodies != report.users)
        storm_fail("verify %s: %llu bodies of %llu users", when, (unsigned long long)report.bodies,
                   (unsigned long long)report.users);
}

/* No process reads or has a snapshot: everything retired must be freed. */
static void reclaim(struct shm_actor *actor)
{
    const struct shm_control *control = shm_control();
    double until = storm_seconds() + RECLAIM_SECONDS;
    while (control->retired.count + control->unlinked.count + control->held_count != 0) {
        shm_maintain(actor);
        shm_actor_offline(actor);
        if (storm_seconds() > until)
            storm_fail(
                "reclaim makes no progress: %llu bodies retired, %llu unlinked, %llu held by pins",
                (unsigned long long)control->retired.count,
                (unsigned long long)control->unlinked.count,
                (unsigned long long)control->held_count);
        usleep(200);
    }
    if (control->retired.bytes + control->unlinked.bytes + control->held_bytes != 0)
        storm_fail("nothing is retired, but %llu bytes are counted",
                   (unsigned long long)(control->retired.bytes + control->unlinked.bytes +
                                        control->held_bytes));
}

/* What readers see is checked, then the journal does the rest of its work. */
static void publish_rest(struct shm_actor *actor)
{
    storm_check_table(actor);
    storm_journal_catch_up(actor);
    if (storm_version() != storm_newest())
        storm_fail("version %llu is published of %llu", (unsigned long long)storm_version(),
                   (unsigned long long)storm_newest());
}

static void check(void)
{
    /* From here on, a dead writer's sealed commit counts as committed. */
    (void)shm_actor_reap(storm_store);
    struct shm_actor *actor = storm_join(SHM_ACTOR_MASTER, 0);
    storm_check_acknowledged();
    storm_replay(&storm_model, storm_version());
    publish_rest(actor);
    verify("before reclaim", false);
    storm_check_table(actor);
    storm_check_feed(actor);
    reclaim(actor);
    storm_check_table(actor);
    verify("after reclaim", true);
    shm_actor_leave(actor);
}

/* Runs in a process of its own, because a broken table may make it crash or hang. */
void storm_check(void)
{
    int status;
    pid_t pid = storm_fork();
    if (pid == 0) {
        alarm(60);
        check();
        _exit(0);
    }
    waitpid(pid, &status, 0);
    if (status != 0)
        storm_fail("the check after a round ended with %s %d",
                   WIFSIGNALED(status) ? "signal" : "status",
                   WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    storm_replay(&storm_model, storm_version());
}
