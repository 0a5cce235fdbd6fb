/* SPDX-License-Identifier: MIT */
/* Scenes of conditional writes, of users whose unique keys change, and of hidden parts. */
#include "tests/torture/storm_stage.h"

#include <signal.h>
#include <unistd.h>

#include "shm/core/mapping.h"
#include "shm/error.h"
#include "shm/store.h"
#include "shm/table/cursor.h"

/* Names and e-mails behind those of the stage's users are free. */
enum { OTHER = STAGE_SOME + 1, GONE = 40, PASSED = 10 };

/* ---- conditional writes ---- */

static void write_if(enum shm_change_kind kind, uint64_t version, int expected)
{
    storm_op_begin(MODEL_PARENT, kind);
    storm_op_add(STAGE_FIRST, STAGE_FIRST, STAGE_FIRST + 1, 0);
    storm_op_only_if(version);
    int rc = storm_op_do(stage_actor);
    if (rc != expected)
        storm_fail("a write of kind %d of version %llu returned \"%s\"", (int)kind,
                   (unsigned long long)version, shm_strerror(rc));
}

static void write_old_and_new_version(enum shm_change_kind kind)
{
    stage_begin(0);
    uint64_t version = storm_model.row[STAGE_FIRST].version;
    stage_must_commit(SHM_UPDATED, STAGE_FIRST, 1);
    write_if(kind, version, SHM_ESTALE);
    write_if(kind, version + 2, SHM_ESTALE); /* of the future */
    write_if(kind, version + 1, SHM_OK);
    stage_end();
}

void update_of_an_older_version_is_refused(void)
{
    write_old_and_new_version(SHM_UPDATED);
}

void delete_of_an_older_version_is_refused(void)
{
    write_old_and_new_version(SHM_DELETED);
}

/* ---- names ---- */

static int give_name(struct shm_actor *actor, uint32_t id, uint32_t name)
{
    storm_op_begin(MODEL_PARENT, SHM_UPDATED);
    storm_op_add(id, name, name + 1, 0);
    return storm_op_do(actor);
}

static void must_give_name(uint32_t id, uint32_t name)
{
    int rc = give_name(stage_actor, id, name);
    if (rc != SHM_OK)
        storm_fail("giving user %u name %u returned \"%s\"", id, name, shm_strerror(rc));
}

static uint32_t name_to_give;

static void rename_to_the_point(struct shm_actor *actor)
{
    give_name(actor, STAGE_FIRST, name_to_give);
}

static void look_at_all_names(struct shm_actor *actor)
{
    storm_check_table(actor);
}

/* The writer stops in a rename: everybody sees the former name, and nobody the new one. */
void half_a_rename_is_never_seen(void)
{
    static const char *const within[] = {"sealed", "half published", "published", "half replayed"};
    stage_begin(0);
    for (uint32_t i = 0; i < sizeof(within) / sizeof(*within); i++) {
        name_to_give = STAGE_FIRST + OTHER + i;
        storm_replay(&storm_model, storm_version());
        stage_signal_at(within[i], SIGSTOP);
        pid_t pid = stage_start_until_stopped(rename_to_the_point);
        stage_signal_at(NULL, 0);
        stage_continue_to_the_end(stage_start(look_at_all_names));
        stage_continue_to_the_end(pid);
        storm_check();
    }
    stage_end();
}

void former_name_can_be_taken_at_once(void)
{
    stage_begin(0);
    must_give_name(STAGE_FIRST, STAGE_FIRST + OTHER);
    must_give_name(STAGE_FIRST + 1, STAGE_FIRST);
    must_give_name(STAGE_FIRST, STAGE_FIRST + 1);
    storm_check_table(stage_actor);
    stage_end();
}

static void list_old_names(struct shm_actor *actor)
{
    storm_list_begin(actor);
    storm_list_some(STAGE_FIRST + 2); /* stands on a user that gets another name */
    shm_actor_offline(actor);
    raise(SIGSTOP);
    storm_list_end(actor);
}

void listing_shows_the_names_of_its_time(void)
{
    stage_begin(0);
    pid_t pid = stage_start_until_stopped(list_old_names);
    for (uint32_t round = 1; round <= 3; round++) {
        for (uint32_t i = 0; i < STAGE_SOME; i++)
            must_give_name(STAGE_FIRST + i, STAGE_FIRST + i + (round % 2 == 0 ? 0 : OTHER));
        stage_reclaim(20);
    }
    stage_continue_to_the_end(pid);
    stage_end();
}

/* ---- hidden parts ---- */

void hidden_part_is_kept_with_its_body(void)
{
    stage_begin(0);
    for (int i = 0; i < 4; i++) {
        stage_must_commit(SHM_UPDATED, 0, STAGE_FIRST);
        must_give_name(STAGE_FIRST, STAGE_FIRST + (i % 2 == 0 ? OTHER : 0));
        storm_check_table(stage_actor);
    }
    stage_end();
}

/* The bodies that the listing reads have been replaced, some are held for it. */
void hidden_part_is_read_to_its_end_only(void)
{
    stage_begin(0);
    pid_t pid = stage_start_until_stopped(list_old_names);
    for (int i = 0; i < 2; i++)
        stage_must_commit(SHM_UPDATED, 0, STAGE_FIRST + STAGE_SOME);
    stage_continue_to_the_end(pid);
    stage_end();
}

/* ---- a listing among users that its snapshot does not show ---- */

static void rest_among_deleted_users(struct shm_actor *actor)
{
    static uint16_t order[MODEL_IDS];
    struct shm_snapshot snapshot;
    struct shm_cursor cursor;
    struct shm_user user;
    uint32_t n = 0;
    bool rested = false;
    int rc;
    if (shm_snapshot_begin(actor, &snapshot) != SHM_OK)
        storm_fail("no pin for a snapshot of the table");
    uint32_t count = model_order(&storm_model, order);
    shm_cursor_pass_max = PASSED;
    shm_cursor_first(&cursor, actor, &snapshot);
    while ((rc = shm_cursor_next(&cursor, &user)) == SHM_OK || rc == SHM_EMORE) {
        if (rc == SHM_EMORE) {
            shm_actor_offline(actor);
            if (!rested)
                raise(SIGSTOP);
            rested = true;
            continue;
        }
        if (n == count || user.seq != storm_model.row[order[n]].seq)
            storm_fail("number %u of %u users of a listing has seq %llu", n, count,
                       (unsigned long long)user.seq);
        n++;
    }
    if (rc != SHM_ENOENT || n != count || !rested)
        storm_fail("a listing that rested ends after %u of %u users: %s", n, count,
                   shm_strerror(rc));
    shm_snapshot_end(actor, &snapshot);
}

/* The node at which the listing rests is freed, and becomes that of another user. */
void position_that_was_freed_is_found_again(void)
{
    stage_begin(0);
    stage_must_commit(SHM_DELETED, STAGE_FIRST, GONE); /* too few to be reclaimed at once */
    pid_t pid = stage_start_until_stopped(rest_among_deleted_users);
    stage_reclaim(20);
    if (shm_control()->retired.count + shm_control()->unlinked.count != 0)
        storm_fail("the nodes under the listing are not freed");
    stage_must_commit(SHM_CREATED, STAGE_FIRST, GONE);
    stage_continue_to_the_end(pid);
    stage_end();
}
