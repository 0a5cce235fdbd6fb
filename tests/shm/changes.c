/* SPDX-License-Identifier: MIT */
#include "tests/shm/changes.h"

int commit(struct shm_actor *actor, enum shm_change_kind kind, uint64_t n, size_t count)
{
    static struct shm_new_user users[SHM_BATCH_MAX];
    static uint8_t ids[SHM_BATCH_MAX][SHM_ID_SIZE];
    int rc;
    for (size_t i = 0; i < count; i++) {
        user_id(ids[i], n + i);
        user_id(users[i].id, n + i);
        users[i].body = (const uint8_t *)"a body";
        users[i].body_len = 6;
    }
    do {
        if (kind == SHM_CREATED)
            rc = shm_users_insert(actor, users, count, NULL);
        else if (kind == SHM_UPDATED)
            rc = shm_users_update(actor, users, count, NULL);
        else
            rc = shm_users_delete(actor, ids, count, NULL);
        shm_actor_offline(actor);
    } while (rc == SHM_EBUSY);
    return rc;
}

void expect(struct shm_actor *actor, struct shm_follower *follower, uint64_t version,
            enum shm_change_kind kind, uint64_t n)
{
    struct shm_change change;
    uint8_t id[SHM_ID_SIZE];
    assert_int_equal(shm_feed_next(actor, follower, &change), SHM_OK);
    user_id(id, n);
    assert_int_equal(change.version, version);
    assert_int_equal(change.kind, kind);
    assert_memory_equal(change.id, id, SHM_ID_SIZE);
}

void expect_none(struct shm_actor *actor, struct shm_follower *follower)
{
    struct shm_change change;
    assert_int_equal(shm_feed_next(actor, follower, &change), SHM_ENOENT);
}

uint64_t fill_ring(struct fixture *f)
{
    for (uint64_t n = 0; n < USERS; n++)
        assert_int_equal(commit(f->actor, SHM_CREATED, n, 1), SHM_OK);
    for (uint64_t n = USERS; n < 2 * SHM_FEED_SIZE + 1000; n++)
        assert_int_equal(commit(f->actor, SHM_UPDATED, n % USERS, 1), SHM_OK);
    return 2 * SHM_FEED_SIZE + 1000;
}
