/* SPDX-License-Identifier: MIT */
/* Scenes of commits that are published late: what is kept for readers of the former publication,
 * and that the journal wakes up. */
#include "tests/torture/storm_stage.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "shm/core/actor_handle.h"
#include "shm/core/layout.h"
#include "shm/core/mapping.h"
#include "shm/core/test_points.h"
#include "shm/disk.h"
#include "shm/error.h"
#include "shm/readers/reclaim.h"
#include "shm/store.h"

static void stage_publish(void)
{
    storm_journal_catch_up(stage_actor);
}

static void stage_begin_durable(void)
{
    storm_set_mode(STORM_DURABLE);
    stage_begin(0);
    stage_publish();
}

static void reclaim(struct shm_actor *actor, int expected)
{
    unsigned steps;
    if (shm_reclaim(actor, 1000, &steps) != expected)
        storm_fail("the writer lock is %s", expected == SHM_OK ? "held" : "free");
}

/* ---- what only the published version shows ---- */

static void check_table_after_a_pause(struct shm_actor *actor)
{
    raise(SIGSTOP);
    storm_check_table(actor);
}

void published_version_is_kept_for_those_who_come_later(void)
{
    stage_begin_durable();
    pid_t pid = stage_start_until_stopped(check_table_after_a_pause);
    stage_churn(10);
    stage_continue_to_the_end(pid);
    stage_end();
}

static void write_and_pause(struct shm_actor *actor)
{
    struct storm_journal journal;
    storm_journal_begin(&journal, actor);
    stage_signal_at("half copied", SIGSTOP); /* offline, and it has chosen its version */
    storm_journal_step(&journal);
}

/* Readers see each commit at once, and the journal asks for a version that is older by then. */
void version_of_the_disk_is_kept_for_the_journal(void)
{
    storm_set_mode(STORM_SEEN);
    stage_begin(0);
    stage_publish();
    stage_must_commit(SHM_UPDATED, 0, STAGE_FIRST);
    stage_must_commit(SHM_DELETED, STAGE_FIRST, STAGE_SOME);
    stage_must_commit(SHM_CREATED, STAGE_FIRST, STAGE_SOME);
    pid_t journal = stage_start_until_stopped(write_and_pause);
    stage_churn(10);
    stage_continue_to_the_end(journal);
    stage_end();
}

/* ---- who has loaded the former version ---- */

static void list_later(struct shm_actor *actor)
{
    raise(SIGSTOP);
    stage_signal_at("version loaded", SIGSTOP);
    storm_list_begin(actor);
    shm_actor_offline(actor);
    raise(SIGSTOP);
    storm_list_end(actor);
}

/* A reader that came online after these commits, and knows the version before them. */
static pid_t reader_before_a_publication(void)
{
    stage_begin_durable();
    pid_t reader = stage_start_until_stopped(list_later);
    stage_must_commit(SHM_UPDATED, 0, 10); /* too few for the writer to reclaim on its own */
    stage_must_commit(SHM_DELETED, STAGE_FIRST, 10);
    kill(reader, SIGCONT);
    stage_wait_until_stopped(reader);
    return reader;
}

static void reader_lists(pid_t reader)
{
    kill(reader, SIGCONT);
    stage_wait_until_stopped(reader);
    stage_must_commit(SHM_CREATED, STAGE_FIRST, 10);
    stage_churn(3);
    stage_publish();
    stage_churn(3);
    stage_continue_to_the_end(reader);
    stage_end();
}

void reader_of_the_former_publication_is_waited_for(void)
{
    pid_t reader = reader_before_a_publication();
    stage_publish();
    stage_reclaim(4);
    reader_lists(reader);
}

static void publish_to_the_middle(struct shm_actor *actor)
{
    stage_signal_at("half replayed", SIGSTOP);
    storm_journal_catch_up(actor);
}

static void look_now_and_reclaim_later(struct shm_actor *actor)
{
    reclaim(actor, SHM_EBUSY); /* but it has looked */
    raise(SIGSTOP);
    for (int i = 0; i < 4; i++)
        reclaim(actor, SHM_OK);
}

void half_a_publication_has_its_own_token(void)
{
    pid_t reader = reader_before_a_publication();
    pid_t publisher = stage_start_until_stopped(publish_to_the_middle);
    pid_t reclaimer = stage_start_until_stopped(look_now_and_reclaim_later);
    stage_continue_to_the_end(publisher);
    stage_continue_to_the_end(reclaimer);
    reader_lists(reader);
}

/* ---- a list that was filled since the look ---- */

static struct shm_actor *late, *holder, *other; /* two readers, and one more that reclaims */
static struct shm_snapshot of_late, of_holder;

static void pin(struct shm_actor *actor, struct shm_snapshot *snapshot)
{
    if (shm_snapshot_begin(actor, snapshot) != SHM_OK)
        storm_fail("no snapshot");
    shm_actor_offline(actor);
}

static void publish_version(uint64_t version)
{
    const struct shm_durable durable = {.version = version, .feed = shm_control()->disk.feed};
    atomic_store(&storm->disk, version);
    if (shm_publish(other, &durable) != SHM_OK)
        storm_fail("version %llu cannot be published", (unsigned long long)version);
}

/* `late` was online during the look and pins the version that was published then. A body that it
 * needs is held for a newer pin, which had another list at the time of the look, and ends. */
static void refill(const char *point)
{
    if (strcmp(point, "looked") != 0)
        return;
    shm_test_hook = NULL;
    pin(late, &of_late);
    reclaim(other, SHM_OK);
    publish_version(of_late.version + 1);
    holder->pins_free = 0; /* as if it had taken and ended many pins meanwhile */
    pin(holder, &of_holder);
    publish_version(of_late.version + 2);
    for (int i = 0; i < 3; i++)
        reclaim(other, SHM_OK);
    if (shm_control()->held_count != 2)
        storm_fail("%llu bodies are held, not 2", (unsigned long long)shm_control()->held_count);
    shm_snapshot_end(holder, &of_holder);
}

static void count_users_of_late(uint32_t expected)
{
    struct shm_cursor cursor;
    struct shm_user user;
    uint32_t count = 0;
    int rc;
    shm_cursor_first(&cursor, late, &of_late);
    while ((rc = shm_cursor_next(&cursor, &user)) == SHM_OK || rc == SHM_EMORE) {
        struct model_row row;
        if (rc != SHM_OK)
            continue;
        storm_read(&user, &row);
        if (row.version > of_late.version)
            storm_fail("a listing at version %llu has %s", (unsigned long long)of_late.version,
                       storm_row_text(&row));
        count++;
    }
    if (count != expected)
        storm_fail("a listing has %u of %u users", count, expected);
    shm_snapshot_end(late, &of_late);
    shm_actor_offline(late);
}

void list_filled_since_the_look_is_not_judged_by_it(void)
{
    stage_begin_durable();
    late = storm_join(SHM_ACTOR_WORKER, 1);
    holder = storm_join(SHM_ACTOR_WORKER, 2);
    other = storm_join(SHM_ACTOR_WORKER, 3);
    pin(holder, &of_holder);
    stage_must_commit(SHM_UPDATED, 0, 1);
    stage_publish();
    for (int i = 0; i < 3; i++)
        reclaim(other, SHM_OK);
    shm_snapshot_end(holder, &of_holder); /* its list has a body */
    stage_must_commit(SHM_UPDATED, 0, 1);
    stage_must_commit(SHM_UPDATED, 1, 1);
    shm_actor_online(late);
    shm_test_hook = refill;
    reclaim(stage_actor, SHM_OK);
    if (shm_test_hook != NULL)
        storm_fail("there was no look");
    for (int i = 0; i < 3; i++)
        reclaim(other, SHM_OK);
    count_users_of_late(STAGE_FIRST + STAGE_SOME);
    shm_actor_leave(late);
    shm_actor_leave(holder);
    shm_actor_leave(other);
    stage_end();
}

/* ---- another mode ---- */

static void list_as_tool(struct shm_actor *actor)
{
    shm_actor_leave(actor);
    storm_become_tool(SHM_ATTACH_READ);
    actor = storm_join(SHM_ACTOR_TOOL, STORM_TOOL);
    list_later(actor);
    shm_actor_leave(actor);
    _exit(0);
}

void tool_that_reads_while_the_mode_changes_is_waited_for(void)
{
    stage_begin_durable();
    pid_t tool = stage_start_until_stopped(list_as_tool);
    stage_must_commit(SHM_UPDATED, 0, 10);
    stage_must_commit(SHM_DELETED, STAGE_FIRST, 10);
    kill(tool, SIGCONT);
    stage_wait_until_stopped(tool);
    shm_actor_leave(stage_actor);
    shm_store_close(storm_store);
    storm_set_mode(STORM_MEMORY);
    storm_reopen();
    stage_actor = storm_join(SHM_ACTOR_MASTER, 0);
    stage_reclaim(4);
    reader_lists(tool);
}

/* ---- the bell ---- */

static void sleep_until_it_rings(struct shm_actor *actor)
{
    enum { LONG_S = 8 };
    double from = storm_seconds();
    shm_disk_sleep(actor, storm_newest(), LONG_S * 1000);
    if (storm_seconds() - from > LONG_S / 2)
        storm_fail("a commit does not wake the journal");
}

static pid_t sleeping_journal(void)
{
    double until = storm_seconds() + 10;
    stage_begin_durable();
    pid_t pid = stage_start(sleep_until_it_rings);
    while (__atomic_load_n(&shm_control()->disk.sleeping, __ATOMIC_ACQUIRE) == 0) {
        usleep(1000);
        if (storm_seconds() > until)
            storm_fail("the journal does not sleep");
    }
    usleep(5000); /* or it sees that it has work */
    return pid;
}

void commit_wakes_the_journal(void)
{
    pid_t journal = sleeping_journal();
    stage_must_commit(SHM_UPDATED, 0, 1);
    stage_continue_to_the_end(journal);
    stage_end();
}

static void update_one(struct shm_actor *actor)
{
    stage_commit(actor, SHM_UPDATED, 0, 1);
}

void writer_killed_while_it_rings_silences_no_other(void)
{
    pid_t journal = sleeping_journal();
    stage_signal_at("bell half rung", SIGKILL);
    stage_wait_until_killed(stage_start(update_one));
    stage_signal_at(NULL, 0);
    stage_must_commit(SHM_UPDATED, 1, 1);
    stage_continue_to_the_end(journal);
    stage_end();
}
