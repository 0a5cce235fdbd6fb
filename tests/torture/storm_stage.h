/* SPDX-License-Identifier: MIT */
/*
 * The stage of a scene: provokes on purpose what the storm meets by chance. Processes stop or die
 * at the library's points, while others do what would harm them if the store did not wait.
 */
#ifndef ROSTERD_TESTS_TORTURE_STORM_STAGE_H
#define ROSTERD_TESTS_TORTURE_STORM_STAGE_H

#include "tests/torture/storm.h"

enum { STAGE_FIRST = MODEL_WRITERS * MODEL_ACCOUNTS, STAGE_SOME = 64 };

extern struct shm_actor *stage_actor; /* actor of the scene's own process */

/** Creates a segment with all accounts, and with STAGE_SOME users from id STAGE_FIRST on. */
void stage_begin(uint64_t snapshot_max_bytes);
/** Checks the segment, as after a round of the storm. */
void stage_end(void);

/** Makes the process get this signal when it reaches the point of the library. Call it in a
 * child, or in the parent before the fork. NULL: no point any more. */
void stage_signal_at(const char *point, int signal);
/** Starts a process that joins, runs the function and leaves. */
pid_t stage_start(void (*run)(struct shm_actor *actor));
pid_t stage_start_until_stopped(void (*run)(struct shm_actor *actor));
void stage_wait_until_stopped(pid_t pid);
void stage_wait_until_killed(pid_t pid);
/** Continues the process, which must end without a failure. */
void stage_continue_to_the_end(pid_t pid);

/** Writes the users with these ids once, as the model has them. @return the store's answer */
int stage_commit(struct shm_actor *actor, enum shm_change_kind kind, uint32_t from, uint32_t count);
void stage_must_commit(enum shm_change_kind kind, uint32_t from, uint32_t count);
void stage_reclaim(int times);
/** Updates all users, creates and deletes some; the memory that this frees is reused. */
void stage_churn(int times);

/* scenes_pins.c */
void listing_with_hundreds_of_older_pins_shows_its_version(void);
void pin_stored_between_two_looks_is_seen(void);
void reader_between_a_version_and_its_token_is_waited_for(void);
void half_stored_pin_holds_nothing(void);
void reader_coming_online_sees_what_was_unlinked_or_is_seen(void);

/* storm_commits.c */
void commit_of_a_dead_writer_is_whole_or_not_at_all(void);
void half_a_commit_is_never_seen(void);
void lock_holder_stopped_delays_no_reader(void);

/* scenes_requests.c */
void request_is_noted_with_its_commit_or_not_at_all(void);
void request_that_is_not_published_is_not_done_again(void);

/* scenes_page.c */
void listing_revoked_before_its_section_reads_nothing_freed(void);
/* scenes_chains.c */
void body_reused_for_another_user_is_not_returned_by_a_lookup(void);

/* scenes_versions.c */
void update_of_an_older_version_is_refused(void);
void delete_of_an_older_version_is_refused(void);
void half_a_rename_is_never_seen(void);
void former_name_can_be_taken_at_once(void);
void listing_shows_the_names_of_its_time(void);
void hidden_part_is_kept_with_its_body(void);
void hidden_part_is_read_to_its_end_only(void);
void position_that_was_freed_is_found_again(void);

/* scenes_disk.c */
void published_version_is_kept_for_those_who_come_later(void);
void version_of_the_disk_is_kept_for_the_journal(void);
void reader_of_the_former_publication_is_waited_for(void);
void half_a_publication_has_its_own_token(void);
void list_filled_since_the_look_is_not_judged_by_it(void);
void tool_that_reads_while_the_mode_changes_is_waited_for(void);
void commit_wakes_the_journal(void);
void writer_killed_while_it_rings_silences_no_other(void);

/* scenes_attach.c */
void table_that_a_late_reader_knows_is_not_freed(void);
void late_growth_never_shrinks_the_arena(void);
void owner_whose_file_was_replaced_refuses_to_serve_it(void);

#endif
