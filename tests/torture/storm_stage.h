/* SPDX-License-Identifier: MIT */
/*
 * The stage of a scene: what a storm meets now and then, brought about on purpose. Processes stop
 * or die at the library's points, while others do what would hurt them if the store did not wait.
 */
#ifndef ROSTERD_TESTS_TORTURE_STORM_STAGE_H
#define ROSTERD_TESTS_TORTURE_STORM_STAGE_H

#include "tests/torture/storm.h"

enum { STAGE_FIRST = MODEL_WRITERS * MODEL_ACCOUNTS, STAGE_SOME = 64 };

extern struct shm_actor *stage_actor; /* the scene's own process */

/** A segment with all accounts and STAGE_SOME users from id STAGE_FIRST on. */
void stage_begin(uint64_t snapshot_max_bytes);
/** Checks it, as after a round of the storm. */
void stage_end(void);

/** In a child, or in the parent before the fork: it gets this signal where it comes to the point
 * of the library. NULL: no more. */
void stage_signal_at(const char *point, int signal);
/** A process that joins, runs and leaves. */
pid_t stage_start(void (*run)(struct shm_actor *actor));
pid_t stage_start_until_stopped(void (*run)(struct shm_actor *actor));
void stage_wait_until_stopped(pid_t pid);
void stage_wait_until_killed(pid_t pid);
/** Continues it; it has to end without a fault. */
void stage_go_on_to_the_end(pid_t pid);

/** One write of the users with these ids, as the model has them. */
int stage_commit(struct shm_actor *actor, enum shm_change_kind kind, uint32_t from, uint32_t count);
void stage_must_commit(enum shm_change_kind kind, uint32_t from, uint32_t count);
void stage_reclaim(int times);
/** All users change, some come and go, and what that frees is used again. */
void stage_churn(int times);

/* scenes_pins.c */
void listing_behind_hundreds_of_pins_shows_its_version(void);
void pin_stored_between_two_looks_is_seen(void);
void reader_between_a_version_and_its_token_is_waited_for(void);
void half_a_pin_keeps_nothing(void);
void reader_coming_online_sees_what_was_unlinked_or_is_seen(void);

/* storm_commits.c */
void commit_of_a_dead_writer_is_whole_or_not_at_all(void);
void half_a_commit_is_seen_by_nobody(void);
void lock_holder_stopped_delays_no_reader(void);

/* scenes_page.c */
void listing_revoked_before_its_section_reads_nothing_freed(void);
/* scenes_chains.c */
void body_given_to_another_under_a_reader_is_not_taken_for_his(void);

/* scenes_attach.c */
void table_that_a_late_reader_knows_is_not_freed(void);
void growth_that_comes_late_takes_nothing_back(void);
void owner_whose_file_was_replaced_serves_it_not(void);

#endif
