/* SPDX-License-Identifier: MIT */
#include "tests/shm/durable/durable_fixture.h"

#include <string.h>

#include "shm/core/layout.h"
#include "shm/core/mapping.h"

enum { BODY = 16 };

uint32_t durable_key_of(unsigned key, const uint8_t *body, uint32_t body_len, uint8_t *out)
{
    if (key != 0 || body_len != BODY)
        return 0;
    memcpy(out, body, 8);
    return 8;
}

int durable_renew(struct fixture *f)
{
    fixture_close(f);
    if (shm_store_unlink(f->name, &f->fault) != SHM_OK)
        return SHM_ESYS;
    return fixture_reopen(f);
}

int durable_setup(void **state)
{
    if (fixture_setup(state) != 0)
        return -1;
    struct fixture *f = *state;
    f->config.data_file = "/nowhere/rosterd.db";
    f->config.durable = true;
    f->config.unique = 1;
    f->config.key_of = durable_key_of;
    return durable_renew(f) == SHM_OK ? 0 : -1;
}

int durable_write(struct shm_actor *actor, enum shm_change_kind kind, uint64_t n, size_t count,
                  uint64_t stamp, struct shm_conflict *conflict)
{
    static struct shm_new_user users[SHM_BATCH_MAX];
    static uint8_t ids[SHM_BATCH_MAX][SHM_ID_SIZE], bodies[SHM_BATCH_MAX][BODY];
    for (size_t i = 0; i < count; i++) {
        uint64_t number = n + i;
        user_id(ids[i], number);
        user_id(users[i].id, number);
        memcpy(bodies[i], &number, 8);
        memcpy(bodies[i] + 8, &stamp, 8);
        users[i].body = bodies[i];
        users[i].body_len = BODY;
    }
    int rc = kind == SHM_CREATED   ? shm_users_insert(actor, users, count, conflict)
             : kind == SHM_UPDATED ? shm_users_update(actor, users, count, conflict)
                                   : shm_users_delete(actor, ids, count, conflict);
    shm_actor_offline(actor);
    return rc;
}

uint64_t durable_commit(struct fixture *f, enum shm_change_kind kind, uint64_t n, uint64_t stamp)
{
    struct shm_conflict conflict;
    assert_int_equal(durable_write(f->actor, kind, n, 1, stamp, &conflict), SHM_OK);
    assert_int_equal(conflict.version, shm_newest(f->store));
    return conflict.version;
}

void durable_publish(struct fixture *f)
{
    const struct shm_control *control = shm_control();
    struct shm_durable durable = {
        .version = control->version, .feed = control->feed_head, .users = control->users};
    assert_int_equal(shm_publish(f->actor, &durable), SHM_OK);
}

void durable_publish_version(struct fixture *f, uint64_t version)
{
    struct shm_durable durable = {.version = version, .feed = shm_control()->disk.feed};
    assert_int_equal(shm_publish(f->actor, &durable), SHM_OK);
}

uint64_t durable_stamp(const uint8_t *body)
{
    uint64_t stamp;
    memcpy(&stamp, body + 8, sizeof(stamp));
    return stamp;
}

static void check_answer(int rc, const struct shm_user *user, uint64_t stamp)
{
    assert_int_equal(rc, stamp != 0 ? SHM_OK : SHM_ENOENT);
    if (stamp != 0)
        assert_int_equal(durable_stamp(user->body), stamp);
}

void durable_check(struct shm_actor *actor, uint64_t n, uint64_t stamp)
{
    struct shm_user user;
    uint8_t id[SHM_ID_SIZE];
    user_id(id, n);
    int rc = shm_user_find(actor, id, &user);
    check_answer(rc, &user, stamp);
    rc = shm_user_find_key(actor, 0, (const uint8_t *)&n, sizeof(n), &user);
    check_answer(rc, &user, stamp);
    shm_actor_offline(actor);
}

void durable_check_at(struct shm_actor *actor, uint64_t n, uint64_t version, uint64_t stamp)
{
    struct shm_user user;
    uint8_t id[SHM_ID_SIZE];
    user_id(id, n);
    int rc = shm_user_find_at(actor, id, version, &user);
    check_answer(rc, &user, stamp);
    shm_actor_offline(actor);
}

void durable_maintain(struct fixture *f, int times)
{
    for (int i = 0; i < times; i++)
        shm_maintain(f->actor);
}
