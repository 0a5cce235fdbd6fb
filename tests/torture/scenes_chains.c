/* SPDX-License-Identifier: MIT */
/* Scenes of readers on chains that change during the walk. */
#include "tests/torture/storm_stage.h"

#include <string.h>

#include "shm/careful.h"
#include "shm/core/layout.h"
#include "shm/core/store_handle.h"
#include "shm/core/test_points.h"
#include "shm/error.h"
#include "shm/store.h"

enum { ATTEMPTS = 100, LOOKED_FOR = 0 }; /* no body is older than this user's */

static const struct shm_node *node_of(uint32_t n)
{
    struct shm_user user;
    uint8_t id[SHM_ID_SIZE];
    storm_id(id, n);
    if (shm_user_find(stage_actor, id, &user) != SHM_OK)
        storm_fail("user %u was not found", n);
    shm_actor_offline(stage_actor);
    return (const struct shm_node *)(uintptr_t)(user.id - offsetof(struct shm_node, id));
}

/* ---- the body under a reader becomes another user's ---- */

static enum { RESTS, HAS_VERSION, STANDS, CHANGED } reader_is;
static bool was_reused;

/* Updates each user once, so that a body which the reader may know follows the one in that
 * memory. */
static void give_to_another(const struct shm_body *body)
{
    stage_must_commit(SHM_UPDATED, LOOKED_FOR, 1);
    stage_reclaim(20);
    for (uint32_t n = LOOKED_FOR + 1; n < STAGE_FIRST + STAGE_SOME && !was_reused; n++) {
        stage_must_commit(SHM_UPDATED, n, 1);
        was_reused = node_of(n)->body == body;
    }
}

static void change_under_it(const char *point)
{
    static const struct shm_body *newer;
    storm_hook(point);
    if (reader_is == RESTS && strcmp(point, "careful lookup") == 0) {
        reader_is = HAS_VERSION;
        stage_must_commit(SHM_UPDATED, LOOKED_FOR, 1);
        newer = node_of(LOOKED_FOR)->body;
    } else if (reader_is == HAS_VERSION && strcmp(point, "careful body") == 0) {
        reader_is = STANDS; /* the reader is before the newest body, then on it */
    } else if (reader_is == STANDS && strcmp(point, "careful body") == 0) {
        reader_is = CHANGED;
        give_to_another(newer);
    }
}

static void look_while_it_changes(struct shm_reader *reader)
{
    struct shm_record record;
    struct shm_fault fault;
    struct model_row row;
    uint8_t id[SHM_ID_SIZE];
    storm_id(id, LOOKED_FOR);
    reader_is = RESTS;
    shm_test_hook = change_under_it;
    int rc = shm_reader_find(reader, id, &record, &fault);
    shm_test_hook = storm_hook;
    if (rc != SHM_OK)
        storm_fail("an unprotected lookup failed: %s",
                   rc == SHM_ECORRUPT ? fault.text : shm_strerror(rc));
    if (reader_is != CHANGED)
        storm_fail("an unprotected reader did not reach the point");
    const struct shm_user user = {.id = record.id,
                                  .body = record.body,
                                  .body_len = record.body_len,
                                  .hidden_len = record.hidden_len,
                                  .seq = record.seq,
                                  .version = record.version};
    storm_read(&user, &row);
    if (row.is.id != LOOKED_FOR)
        storm_fail("an unprotected reader looked for user %u and got user %u", LOOKED_FOR,
                   row.is.id);
}

/* Bodies vary in size, so it takes some attempts until one fits into the other's memory. */
void body_reused_for_another_user_is_not_returned_by_a_lookup(void)
{
    struct shm_reader *reader;
    struct shm_fault fault;
    stage_begin(0);
    struct shm_store look = *storm_store;
    look.locked_out = true;
    if (shm_reader_open(&reader, &look, &fault) != SHM_OK)
        storm_fail("an unprotected reader failed: %s", fault.text);
    for (int i = 0; i < ATTEMPTS && !was_reused; i++)
        look_while_it_changes(reader);
    if (!was_reused)
        storm_fail("no memory was reused");
    shm_reader_close(reader);
    stage_end();
}
