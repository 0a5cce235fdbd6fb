/* SPDX-License-Identifier: MIT */
/* Scenes of requests that are done once. */
#include "tests/torture/storm_stage.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "shm/error.h"
#include "shm/store.h"

enum { NEW_USER = STAGE_FIRST + STAGE_SOME, WARM = 1 };

static unsigned the_request = WARM + 1;

static struct shm_request scene_request(unsigned n)
{
    struct shm_request request = {.time = 1000, .fingerprint = n};
    memset(request.id, (int)n, sizeof(request.id));
    return request;
}

/* The first request is done already: it has transactions for memory. */
static void begin_with_requests(void)
{
    struct shm_request request = scene_request(WARM);
    stage_begin(0);
    storm_request = &request;
    stage_must_commit(SHM_UPDATED, 0, 1);
    storm_request = NULL;
}

static void create_by_request(struct shm_actor *actor)
{
    struct shm_request request = scene_request(the_request);
    storm_request = &request;
    stage_commit(actor, SHM_CREATED, NEW_USER, 1);
}

static void die_in_a_request(const char *point, bool committed)
{
    struct shm_request request = scene_request(the_request);
    uint64_t version = storm_newest();
    stage_signal_at(point, SIGKILL);
    stage_wait_until_killed(stage_start(create_by_request));
    stage_signal_at(NULL, 0);
    shm_actor_reap(storm_store);
    int rc = shm_request_find(stage_actor, &request);
    if (rc != (committed ? SHM_OK : SHM_ENOENT))
        storm_fail("a writer killed at \"%s\": its request is %snoted", point,
                   rc == SHM_OK ? "" : "not ");
    if (storm_newest() != version + committed || (committed && request.version != version + 1))
        storm_fail("a writer killed at \"%s\": its request has version %llu of %llu", point,
                   (unsigned long long)request.version, (unsigned long long)storm_newest());
}

void request_is_noted_with_its_commit_or_not_at_all(void)
{
    static const char *const before[] = {"locked", "before seal"};
    static const char *const behind[] = {"sealed",        "half published", "published",
                                         "half replayed", "replayed",       "applied"};
    begin_with_requests();
    for (size_t i = 0; i < sizeof(behind) / sizeof(*behind); i++, the_request++) {
        for (size_t k = 0; k < sizeof(before) / sizeof(*before); k++)
            die_in_a_request(before[k], false);
        die_in_a_request(behind[i], true);
        storm_check();
        stage_must_commit(SHM_DELETED, NEW_USER, 1);
    }
    stage_end();
}

static void repeat_the_request(struct shm_actor *actor)
{
    struct shm_request request = scene_request(the_request);
    struct shm_new_user user = {.body = (const uint8_t *)"another", .body_len = 7};
    struct shm_conflict conflict;
    user.request = &request;
    memset(user.id, 0x5a, sizeof(user.id));
    int rc = shm_users_insert(actor, &user, 1, &conflict);
    if (rc != SHM_EREPEAT)
        storm_fail("a request that is not published is done again: \"%s\"", shm_strerror(rc));
    if (conflict.version != storm_newest())
        storm_fail("the repeat rests on version %llu", (unsigned long long)conflict.version);
}

void request_that_is_not_published_is_not_done_again(void)
{
    storm_set_mode(STORM_DURABLE);
    begin_with_requests();
    stage_continue_to_the_end(stage_start(create_by_request));
    stage_continue_to_the_end(stage_start(repeat_the_request));
    stage_end();
}
