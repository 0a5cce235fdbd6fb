/* SPDX-License-Identifier: MIT */
#include "tests/service/directory/changes_kit.h"

#include <string.h>

#include "service/directory/directory_fields.h"
#include "shm/disk.h"
#include "tests/shm/changes.h"
#include "user/etag.h"

typedef Rosterd__Directory__V1__WatchUsersResponse Response;

struct fixture *f;
struct directory_changes changes;

int open_changes(void **state)
{
    if (fixture_setup(state) != 0)
        return -1;
    f = *state;
    fixture_close(f);
    f->config.max_users = MANY;
    if (fixture_reopen(f) != SHM_OK)
        return -1;
    directory_changes_init(&changes, f->store, f->actor);
    return 0;
}

int close_changes(void **state)
{
    directory_changes_clear(&changes);
    return fixture_teardown(state);
}

void create(uint64_t n)
{
    assert_int_equal(commit(f->actor, SHM_CREATED, n, 1), SHM_OK);
}

void update(uint64_t n)
{
    assert_int_equal(commit(f->actor, SHM_UPDATED, n, 1), SHM_OK);
}

void delete (uint64_t n)
{
    assert_int_equal(commit(f->actor, SHM_DELETED, n, 1), SHM_OK);
}

void begin(struct directory_place *place, uint64_t version)
{
    *place = (struct directory_place){.fields = DIRECTORY_ALL};
    assert_int_equal(directory_changes_from(&changes, place, version), SHM_OK);
}

void begin_now(struct directory_place *place)
{
    begin(place, shm_published(f->store));
}

/* ---- what is told ---- */

static uint64_t number_of(const ProtobufCBinaryData *name)
{
    uint8_t id[SHM_ID_SIZE], other[SHM_ID_SIZE];
    assert_true(directory_name_parse(name, id));
    for (uint64_t n = 0; n < MANY; n++) {
        user_id(other, n);
        if (memcmp(id, other, sizeof(id)) == 0)
            return n;
    }
    fail_msg("a user that was never created");
    return 0;
}

/* Reads entries until one is told. @return false: there is none */
bool next(struct directory_place *place, struct told *told)
{
    struct directory_message message;
    enum directory_step step;
    do {
        step = directory_changes_next(&changes, place, &message);
    } while (step == DIRECTORY_PASSED);
    shm_actor_offline(f->actor);
    if (step == DIRECTORY_NONE)
        directory_changes_quiet(&changes, place, shm_published(f->store));
    if (step == DIRECTORY_NONE)
        return false;
    assert_int_equal(step, DIRECTORY_TOLD);
    Response *response =
        rosterd__directory__v1__watch_users_response__unpack(NULL, message.len, message.bytes);
    assert_non_null(response);
    *told = (struct told){.type = response->type, .made = message.made};
    told->n = number_of(&response->user->name);
    if (response->user->etag.len != 0)
        assert_true(
            user_etag_parse(response->user->etag.data, response->user->etag.len, &told->version));
    assert_true(directory_resume_parse(&told->resume, &response->resume_token));
    rosterd__directory__v1__watch_users_response__free_unpacked(response, NULL);
    return true;
}

struct told expect_told(struct directory_place *place, unsigned type, uint64_t n, uint64_t version)
{
    struct told told = {0};
    assert_true(next(place, &told));
    assert_int_equal(told.type, type);
    assert_int_equal(told.n, n);
    assert_int_equal(told.version, version);
    return told;
}

void expect_quiet(struct directory_place *place)
{
    struct told told;
    assert_false(next(place, &told));
}

void resume(struct directory_place *place, const struct directory_resume *resume)
{
    directory_changes_end(place);
    *place = (struct directory_place){.fields = DIRECTORY_ALL};
    assert_int_equal(directory_changes_resume(&changes, place, resume), SHM_OK);
}

void expect_same(const struct directory_resume *a, const struct directory_resume *b)
{
    assert_memory_equal(a->table, b->table, sizeof(a->table));
    assert_int_equal(a->version, b->version);
    assert_int_equal(a->done, b->done);
    assert_int_equal(a->known_seq, b->known_seq);
    assert_int_equal(a->among, b->among);
    assert_int_equal(a->creates, b->creates);
    assert_int_equal(a->late_count, b->late_count);
    for (unsigned i = 0; i < a->late_count; i++)
        assert_memory_equal(&a->late[i], &b->late[i], sizeof(a->late[i]));
}
