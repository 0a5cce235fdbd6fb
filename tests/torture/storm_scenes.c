/* SPDX-License-Identifier: MIT */
/* Scenes of readers, dead processes and followers; and the list of all scenes. */
#include "tests/torture/storm_stage.h"

#include <signal.h>
#include <unistd.h>

#include "shm/core/layout.h"
#include "shm/core/mapping.h"
#include "shm/error.h"
#include "shm/store.h"

/* ---- readers ---- */

static void read_and_rest_in_section(struct shm_actor *actor)
{
    struct shm_user user;
    struct model_row before, after;
    uint8_t id[SHM_ID_SIZE];
    storm_id(id, STAGE_FIRST);
    if (shm_user_find(actor, id, &user) != SHM_OK)
        storm_fail("the first user was not found");
    storm_read(&user, &before);
    raise(SIGSTOP);
    storm_read(&user, &after);
    if (!storm_same(&before, &after))
        storm_fail("%s became %s under its reader", storm_row_text(&before),
                   storm_row_text(&after));
}

static void reader_stopped_in_its_section_is_waited_for(void)
{
    stage_begin(0);
    pid_t pid = stage_start_until_stopped(read_and_rest_in_section);
    stage_churn(30);
    if (shm_control()->retired.count == 0)
        storm_fail("a stopped reader was not waited for");
    stage_continue_to_the_end(pid);
    stage_end();
}

static void pass_by_and_rest(struct shm_actor *actor)
{
    struct shm_user user;
    uint8_t id[SHM_ID_SIZE];
    storm_id(id, STAGE_FIRST);
    stage_signal_at("reading", SIGSTOP);
    if (shm_user_find(actor, id, &user) != SHM_ENOENT)
        storm_fail("a deleted user was found");
}

/* The reader came after the delete, so the user may be unlinked from the lists; but the
 * reader's position is that user. */
static void user_under_a_reader_is_not_freed(void)
{
    stage_begin(0);
    stage_must_commit(SHM_DELETED, STAGE_FIRST,
                      1); /* too few for the writer to reclaim on its own */
    pid_t pid = stage_start_until_stopped(pass_by_and_rest);
    stage_reclaim(20);
    stage_continue_to_the_end(pid);
    stage_end();
}

static void list_and_rest(struct shm_actor *actor)
{
    storm_list_begin(actor);
    storm_list_some(10);
    shm_actor_offline(actor);
    raise(SIGSTOP);
    storm_list_end(actor);
}

static void resting_listing_shows_its_version(void)
{
    stage_begin(0);
    pid_t pid = stage_start_until_stopped(list_and_rest);
    stage_churn(30);
    stage_continue_to_the_end(pid);
    stage_end();
}

static void pin_late(struct shm_actor *actor)
{
    stage_signal_at("version loaded", SIGSTOP);
    storm_list_begin(actor);
    shm_actor_offline(actor);
    raise(SIGSTOP);
    storm_list_end(actor);
}

static void snapshot_stopped_before_its_pin_shows_its_version(void)
{
    stage_begin(0);
    pid_t pid = stage_start_until_stopped(pin_late);
    stage_churn(10);
    kill(pid, SIGCONT);
    stage_wait_until_stopped(pid);
    stage_churn(10);
    stage_continue_to_the_end(pid);
    stage_end();
}

static void list_till_revoked(struct shm_actor *actor)
{
    storm_list_begin(actor);
    storm_list_some(10);
    shm_actor_offline(actor);
    raise(SIGSTOP);
    stage_signal_at("reading",
                    SIGSTOP); /* in the next step, after it saw that the snapshot is valid */
    storm_list_end(actor);
    if (atomic_load(&storm->revoked) != 1)
        storm_fail("the listing was not revoked");
}

static void listing_revoked_in_a_step_reads_nothing_freed(void)
{
    stage_begin(1 << 10);
    pid_t pid = stage_start_until_stopped(list_till_revoked);
    stage_must_commit(SHM_UPDATED, 0, MODEL_ACCOUNTS); /* too few to be reclaimed at once */
    kill(pid, SIGCONT);
    stage_wait_until_stopped(pid);
    stage_churn(10); /* exceeds the cap */
    stage_continue_to_the_end(pid);
    stage_end();
}

/* ---- dead processes ---- */

static void hold_all_and_rest(struct shm_actor *actor)
{
    read_and_rest_in_section(actor);
}

static void pin_and_rest(struct shm_actor *actor)
{
    storm_list_begin(actor);
    shm_actor_offline(actor);
    raise(SIGSTOP);
}

static void dead_processes_delay_nothing(void)
{
    enum { DEAD = 10 };
    pid_t pid[DEAD];
    stage_begin(0);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < DEAD; i++)
            pid[i] = stage_start_until_stopped(i % 2 == 0 ? hold_all_and_rest : pin_and_rest);
        stage_churn(3);
        for (int i = 0; i < DEAD; i++) {
            kill(pid[i], SIGKILL);
            stage_wait_until_killed(pid[i]);
        }
        storm_check();
    }
    if (shm_control()->slots_ready != SHM_SLOTS_STEP)
        storm_fail("the slots of dead processes are not reused");
    stage_end();
}

/* ---- followers ---- */

static void follow_half_an_entry(struct shm_actor *actor)
{
    struct storm_place place;
    storm_follow_begin(actor, &place);
    raise(SIGSTOP); /* there are changes to follow when it continues */
    stage_signal_at("half copied", SIGSTOP);
    storm_follow(actor, &place);
    if (atomic_load(&storm->resyncs) != 1)
        storm_fail("an overtaken follower continued");
    storm_follow(actor, &place);
}

static void follower_overtaken_by_the_ring_notices(void)
{
    stage_begin(0);
    pid_t pid = stage_start_until_stopped(follow_half_an_entry);
    stage_must_commit(SHM_UPDATED, 0, 1);
    kill(pid, SIGCONT);
    stage_wait_until_stopped(pid);
    for (uint32_t changes = 0; changes < SHM_FEED_SIZE; changes += STAGE_FIRST) {
        stage_must_commit(SHM_UPDATED, 0, STAGE_FIRST);
        stage_reclaim(1);
    }
    stage_continue_to_the_end(pid);
    stage_end();
}

const struct storm_scene storm_scenes[] = {
    {"reader_stopped_in_its_section_is_waited_for", reader_stopped_in_its_section_is_waited_for},
    {"user_under_a_reader_is_not_freed", user_under_a_reader_is_not_freed},
    {"resting_listing_shows_its_version", resting_listing_shows_its_version},
    {"snapshot_stopped_before_its_pin_shows_its_version",
     snapshot_stopped_before_its_pin_shows_its_version},
    {"listing_revoked_in_a_step_reads_nothing_freed",
     listing_revoked_in_a_step_reads_nothing_freed},
    {"listing_with_hundreds_of_older_pins_shows_its_version",
     listing_with_hundreds_of_older_pins_shows_its_version},
    {"pin_stored_between_two_looks_is_seen", pin_stored_between_two_looks_is_seen},
    {"reader_between_a_version_and_its_token_is_waited_for",
     reader_between_a_version_and_its_token_is_waited_for},
    {"half_stored_pin_holds_nothing", half_stored_pin_holds_nothing},
    {"reader_coming_online_sees_what_was_unlinked_or_is_seen",
     reader_coming_online_sees_what_was_unlinked_or_is_seen},
    {"listing_revoked_before_its_section_reads_nothing_freed",
     listing_revoked_before_its_section_reads_nothing_freed},
    {"dead_processes_delay_nothing", dead_processes_delay_nothing},
    {"commit_of_a_dead_writer_is_whole_or_not_at_all",
     commit_of_a_dead_writer_is_whole_or_not_at_all},
    {"half_a_commit_is_never_seen", half_a_commit_is_never_seen},
    {"lock_holder_stopped_delays_no_reader", lock_holder_stopped_delays_no_reader},
    {"follower_overtaken_by_the_ring_notices", follower_overtaken_by_the_ring_notices},
    {"body_reused_for_another_user_is_not_returned_by_a_lookup",
     body_reused_for_another_user_is_not_returned_by_a_lookup},
    {"owner_killed_while_it_creates_leaves_nothing_or_all",
     owner_killed_while_it_creates_leaves_nothing_or_all},
    {"table_that_a_late_reader_knows_is_not_freed", table_that_a_late_reader_knows_is_not_freed},
    {"late_growth_never_shrinks_the_arena", late_growth_never_shrinks_the_arena},
    {"owner_whose_file_was_replaced_refuses_to_serve_it",
     owner_whose_file_was_replaced_refuses_to_serve_it},
    {"published_version_is_kept_for_those_who_come_later",
     published_version_is_kept_for_those_who_come_later},
    {"version_of_the_disk_is_kept_for_the_journal", version_of_the_disk_is_kept_for_the_journal},
    {"reader_of_the_former_publication_is_waited_for",
     reader_of_the_former_publication_is_waited_for},
    {"half_a_publication_has_its_own_token", half_a_publication_has_its_own_token},
    {"list_filled_since_the_look_is_not_judged_by_it",
     list_filled_since_the_look_is_not_judged_by_it},
    {"tool_that_reads_while_the_mode_changes_is_waited_for",
     tool_that_reads_while_the_mode_changes_is_waited_for},
    {"update_of_an_older_version_is_refused", update_of_an_older_version_is_refused},
    {"delete_of_an_older_version_is_refused", delete_of_an_older_version_is_refused},
    {"half_a_rename_is_never_seen", half_a_rename_is_never_seen},
    {"former_name_can_be_taken_at_once", former_name_can_be_taken_at_once},
    {"listing_shows_the_names_of_its_time", listing_shows_the_names_of_its_time},
    {"hidden_part_is_kept_with_its_body", hidden_part_is_kept_with_its_body},
    {"hidden_part_is_read_to_its_end_only", hidden_part_is_read_to_its_end_only},
    {"position_that_was_freed_is_found_again", position_that_was_freed_is_found_again},
    {"commit_wakes_the_journal", commit_wakes_the_journal},
    {"request_is_noted_with_its_commit_or_not_at_all",
     request_is_noted_with_its_commit_or_not_at_all},
    {"request_that_is_not_published_is_not_done_again",
     request_that_is_not_published_is_not_done_again},
    {"writer_killed_while_it_rings_silences_no_other",
     writer_killed_while_it_rings_silences_no_other},
    {"owner_killed_while_it_loads_leaves_nothing_or_all",
     owner_killed_while_it_loads_leaves_nothing_or_all},
    {"killed_at_random_they_lose_nothing_acknowledged", storm_storm},
    {0},
};
