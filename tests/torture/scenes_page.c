/* SPDX-License-Identifier: MIT */
/* Scenes of listings that continue after a pause. */
#include "tests/torture/storm_stage.h"

#include <signal.h>
#include <unistd.h>

#include "shm/core/mapping.h"
#include "shm/error.h"
#include "shm/store.h"

static void list_and_stop_before_the_section(struct shm_actor *actor)
{
    struct shm_snapshot snapshot;
    struct shm_cursor cursor;
    struct shm_user user;
    struct model_row row;
    if (shm_snapshot_begin(actor, &snapshot) != SHM_OK)
        storm_fail("no pin for a snapshot of the table");
    shm_cursor_first(&cursor, actor, &snapshot);
    /* The listing rests on a user that is created and deleted by others. */
    for (unsigned i = 0; i < STAGE_FIRST + 2; i++)
        if (shm_cursor_next(&cursor, &user) != SHM_OK)
            storm_fail("the listing ends after %u users", i);
    shm_actor_offline(actor);
    stage_signal_at("going online", SIGSTOP);
    int rc = shm_cursor_next(&cursor, &user);
    if (rc == SHM_OK) {
        storm_read(&user, &row);
        storm_fail("a revoked listing continues with %s", storm_row_text(&row));
    }
    if (rc != SHM_EREVOKED)
        storm_fail("a revoked listing's step returns \"%s\"", shm_strerror(rc));
    shm_snapshot_end(actor, &snapshot);
}

/* An offline reader delays nothing: while it is stopped, its snapshot is revoked, and the
 * memory that the snapshot held is freed and reused. So a value of `revoked` read before the
 * read section proves nothing. */
void listing_revoked_before_its_section_reads_nothing_freed(void)
{
    stage_begin(1 << 10);
    pid_t pid = stage_start_until_stopped(list_and_stop_before_the_section);
    stage_churn(10);
    if (shm_control()->held_count != 0)
        storm_fail("the snapshot of a stopped process was not revoked");
    stage_continue_to_the_end(pid);
    stage_end();
}
