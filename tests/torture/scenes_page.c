/* SPDX-License-Identifier: MIT */
/* Scenes of listings that go on after a rest. */
#include "config.h"

#include "tests/torture/storm_stage.h"

#include <signal.h>
#include <unistd.h>

static void list_and_stop_before_the_section(struct shm_actor *actor)
{
    storm_list_begin(actor);
    storm_list_some(10);
    shm_actor_offline(actor);
    stage_signal_at("going online", SIGSTOP);
    storm_list_end(actor);
    if (atomic_load(&storm->revoked) != 1)
        storm_fail("the listing was not revoked");
}

/* Offline it holds nothing up: while it is stopped its snapshot is revoked, and what that kept is
 * freed and used again. So what it knew of `revoked` before the section is worth nothing. */
void listing_revoked_before_its_section_reads_nothing_freed(void)
{
    stage_begin(1 << 10);
    pid_t pid = stage_start_until_stopped(list_and_stop_before_the_section);
    stage_churn(10);
    if (shm_control()->held_count != 0)
        storm_fail("the snapshot of a stopped process was not revoked");
    stage_go_on_to_the_end(pid);
    stage_end();
}
