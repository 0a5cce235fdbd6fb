/* SPDX-License-Identifier: MIT */
/* What watches tell of the change feed: each change once, whatever happened before they came to it,
 * from every place where a token can begin. With a real store. */
#include <string.h>

#include "service/directory/directory_fields.h"
#include "shm/disk.h"
#include "tests/service/directory/changes_kit.h"
#include "tests/shm/changes.h"

/* ---- order and body ---- */

static void changes_are_told_in_their_order(void **state)
{
    (void)state;
    struct directory_place place;
    begin_now(&place);
    create(1);
    expect_told(&place, C, 1, 1);
    update(1);
    create(2);
    expect_told(&place, U, 1, 2);
    expect_told(&place, C, 2, 3);
    delete (1);
    expect_told(&place, D, 1, 0);
    expect_quiet(&place);
}

static void watch_begins_exactly_after_its_version(void **state)
{
    (void)state;
    struct directory_place place;
    for (uint64_t n = 0; n < 5; n++)
        create(n);
    for (uint64_t version = 0; version <= 5; version++) {
        begin(&place, version);
        for (uint64_t n = version; n < 5; n++)
            expect_told(&place, C, n, n + 1);
        expect_quiet(&place);
    }
}

static void of_several_updates_the_last_is_told(void **state)
{
    (void)state;
    struct directory_place place;
    create(1);
    begin_now(&place);
    for (unsigned i = 0; i < 3; i++)
        update(1);
    expect_told(&place, U, 1, 4);
    expect_quiet(&place);
}

static void new_user_is_created_as_it_is_and_its_updates_are_not_told_again(void **state)
{
    (void)state;
    struct directory_place place;
    begin_now(&place);
    create(1);
    create(2);
    update(1);
    update(1);
    expect_told(&place, C, 1, 4);
    expect_told(&place, C, 2, 2);
    expect_quiet(&place);
    assert_null(place.late);
    update(1);
    expect_told(&place, U, 1, 5);
    expect_quiet(&place);
}

static void user_who_came_and_went_is_not_told(void **state)
{
    (void)state;
    struct directory_place place;
    begin_now(&place);
    create(1);
    update(1);
    delete (1);
    create(1); /* another user of the same id */
    update(1);
    expect_told(&place, C, 1, 5);
    expect_quiet(&place);
    delete (1);
    expect_told(&place, D, 1, 0);
    expect_quiet(&place);
    assert_null(place.late);
}

static void update_after_the_created_body_is_told(void **state)
{
    (void)state;
    struct directory_place place;
    begin_now(&place);
    create(1);
    update(1);
    expect_told(&place, C, 1, 2);
    update(1);
    expect_told(&place, U, 1, 3);
    delete (1);
    expect_told(&place, D, 1, 0);
    expect_quiet(&place);
}

static void many_new_users_are_told_once(void **state)
{
    (void)state;
    enum { USERS_MADE = 3000 };
    struct directory_place place;
    begin_now(&place);
    for (uint64_t n = 0; n < USERS_MADE; n++)
        create(n);
    for (uint64_t n = 0; n < USERS_MADE; n++)
        update(n);
    for (uint64_t n = 0; n < USERS_MADE; n++)
        expect_told(&place, C, n, USERS_MADE + 1 + n);
    assert_int_equal(place.late->count, 1);
    expect_quiet(&place);
    assert_null(place.late);
}

/* A user who is created in a row with others, but was looked up before them, as another watch made
 * the message: what comes later is told. */
static void update_after_the_shared_body_is_told(void **state)
{
    (void)state;
    struct directory_place first, second;
    begin_now(&first);
    begin_now(&second);
    create(1);
    create(2);
    create(3);
    update(1);
    expect_told(&first, C, 1, 4);
    expect_told(&first, C, 2, 2);
    update(2);
    update(3);
    expect_told(&second, C, 1, 4);
    expect_told(&second, C, 2, 2);
    expect_told(&second, C, 3, 6);
    expect_told(&second, U, 2, 5);
    expect_quiet(&second);
    directory_changes_end(&first);
}

/* The client reads one event between two changes: each user is looked up at another commit. */
static void full_set_tells_a_change_twice_and_loses_none(void **state)
{
    (void)state;
    enum { USERS_MADE = DIRECTORY_LATE_MAX + 10 };
    struct directory_place place;
    begin_now(&place);
    for (uint64_t n = 0; n < USERS_MADE; n++)
        create(n);
    for (uint64_t n = 0; n < USERS_MADE; n++)
        update(n);
    for (uint64_t n = 0; n < USERS_MADE; n++) {
        expect_told(&place, C, n, USERS_MADE + 1 + n);
        create(USERS_MADE + n);
    }
    for (uint64_t n = DIRECTORY_LATE_MAX; n < USERS_MADE; n++)
        expect_told(&place, U, n, USERS_MADE + 1 + n);
    for (uint64_t n = USERS_MADE; n < (uint64_t)2 * USERS_MADE; n++)
        expect_told(&place, C, n, USERS_MADE + 1 + n);
    expect_quiet(&place);
    assert_null(place.late);
}

/* ---- tokens ---- */

static void resume_tells_no_change_again(void **state)
{
    (void)state;
    struct directory_place place;
    begin_now(&place);
    for (uint64_t n = 0; n < 4; n++) /* 1 to 4 */
        create(n);
    update(0);  /* 5 */
    delete (1); /* 6 */
    update(3);  /* 7 */
    const struct directory_resume first = expect_told(&place, C, 0, 5).resume;
    const struct directory_resume third = expect_told(&place, C, 2, 3).resume;
    const struct directory_resume fourth = expect_told(&place, C, 3, 7).resume;
    update(0); /* 8 */
    resume(&place, &first);
    expect_told(&place, C, 2, 3);
    expect_told(&place, C, 3, 7);
    expect_told(&place, U, 0, 8);
    expect_quiet(&place);
    resume(&place, &third);
    expect_told(&place, C, 3, 7);
    expect_told(&place, U, 0, 8);
    expect_quiet(&place);
    resume(&place, &fourth);
    expect_told(&place, U, 0, 8);
    expect_quiet(&place);
    assert_null(place.late);
    changes.rebuilt = 8; /* and after a reboot */
    directory_changes_clear(&changes);
    resume(&place, &fourth);
    expect_told(&place, U, 0, 8);
    expect_quiet(&place);
    assert_null(place.late);
}

static void each_token_goes_on_exactly_after_its_event(void **state)
{
    (void)state;
    enum { EVENTS = 4 + 3 + 1 + 256 };
    static struct told all[EVENTS];
    struct directory_place place;
    create(500);
    begin_now(&place);
    struct directory_resume before = directory_changes_token(&changes, &place);
    assert_int_equal(commit(f->actor, SHM_CREATED, 0, 4), SHM_OK);
    assert_int_equal(commit(f->actor, SHM_UPDATED, 500, 1), SHM_OK);
    assert_int_equal(commit(f->actor, SHM_CREATED, 10, 3), SHM_OK);
    assert_int_equal(commit(f->actor, SHM_CREATED, 1000, 256), SHM_OK);
    for (unsigned i = 0; i < EVENTS; i++)
        assert_true(next(&place, &all[i]));
    expect_quiet(&place);
    for (unsigned from = 0; from <= EVENTS; from++) {
        resume(&place, from == 0 ? &before : &all[from - 1].resume);
        for (unsigned i = from; i < EVENTS; i++) {
            struct told told = expect_told(&place, all[i].type, all[i].n, all[i].version);
            expect_same(&told.resume, &all[i].resume);
        }
        expect_quiet(&place);
    }
}

static void last_event_of_a_commit_needs_no_older_change(void **state)
{
    (void)state;
    struct directory_place place;
    begin_now(&place);
    assert_int_equal(commit(f->actor, SHM_CREATED, 0, 3), SHM_OK);
    assert_int_equal(expect_told(&place, C, 0, 1).resume.done, 1);
    assert_int_equal(expect_told(&place, C, 1, 1).resume.done, 2);
    assert_int_equal(expect_told(&place, C, 2, 1).resume.done, 0);
}

static void token_of_a_later_or_a_forgotten_state_is_refused(void **state)
{
    (void)state;
    struct directory_place place = {.fields = DIRECTORY_ALL};
    struct directory_resume token = {.version = 2};
    create(1);
    assert_int_equal(directory_changes_resume(&changes, &place, &token), SHM_ERESYNC);
    token.version = 1;
    assert_int_equal(directory_changes_resume(&changes, &place, &token), SHM_OK);
    token.version = 0;
    assert_int_equal(directory_changes_resume(&changes, &place, &token), SHM_OK);
    begin_now(&place);
    assert_false(directory_changes_lost(&changes, &place));
    for (unsigned i = 0; i <= SHM_FEED_SIZE; i++)
        update(1);
    struct directory_message message;
    assert_true(directory_changes_lost(&changes, &place));
    assert_int_equal(directory_changes_next(&changes, &place, &message), DIRECTORY_LOST);
    assert_int_equal(directory_changes_resume(&changes, &place, &token), SHM_ERESYNC);
}

static void token_knows_the_users_of_its_version(void **state)
{
    (void)state;
    struct directory_place place;
    assert_int_equal(commit(f->actor, SHM_CREATED, 0, 5), SHM_OK);
    assert_int_equal(commit(f->actor, SHM_CREATED, 5, 5), SHM_OK);
    begin(&place, 1); /* as one whose snapshot is a commit old */
    assert_int_equal(place.known_seq, 5);
    assert_int_equal(expect_told(&place, C, 5, 2).resume.known_seq, 6);
    begin_now(&place);
    assert_int_equal(place.known_seq, 10);
}

static void commit_that_is_not_published_is_not_told(void **state)
{
    (void)state;
    struct directory_place place;
    fixture_close(f);
    f->config.data_file = "/nowhere/rosterd.db";
    f->config.durable = true;
    assert_int_equal(fixture_reopen(f), SHM_OK);
    directory_changes_init(&changes, f->store, f->actor);
    create(1);
    create(2);
    const struct shm_durable first = {.version = 1, .feed = 1, .users = 1};
    assert_int_equal(shm_publish(f->actor, &first), SHM_OK);
    begin(&place, 0);
    expect_told(&place, C, 1, 1);
    expect_quiet(&place);
    const struct directory_resume later = {.version = 2, .known_seq = 2};
    assert_int_equal(directory_changes_resume(&changes, &place, &later), SHM_ERESYNC);
    begin_now(&place);
    assert_int_equal(place.known_seq, 1);
    const struct shm_durable second = {.version = 2, .feed = 2, .users = 2};
    assert_int_equal(shm_publish(f->actor, &second), SHM_OK);
    expect_told(&place, C, 2, 2);
}

/* ---- entries made from the table ---- */

/* The store made the entries up to version 4 from the table: as if users 0 and 1 had been there at
 * version 2 and the server had started again after version 4. */
static void begin_before_a_load(struct directory_place *place)
{
    assert_int_equal(commit(f->actor, SHM_CREATED, 0, 3), SHM_OK); /* 1 */
    update(0);                                                     /* 2: for the client's token */
    update(1);                                                     /* 3: known */
    update(2);                                                     /* 4: new, for this client */
    changes.rebuilt = 4;
    const struct directory_resume token = {.version = 2, .known_seq = 2};
    *place = (struct directory_place){.fields = DIRECTORY_ALL};
    assert_int_equal(directory_changes_resume(&changes, place, &token), SHM_OK);
}

static void unknown_user_of_a_rebuilt_feed_is_created(void **state)
{
    (void)state;
    struct directory_place place;
    begin_before_a_load(&place);
    assert_int_equal(expect_told(&place, U, 1, 3).resume.known_seq, 2);
    /* the last of the rebuilt entries: all users are known */
    assert_int_equal(expect_told(&place, C, 2, 4).resume.known_seq, 3);
    expect_quiet(&place);
    assert_int_equal(place.known_seq, 3);
    update(2);
    assert_int_equal(expect_told(&place, U, 2, 5).resume.known_seq, 3);
}

static void user_of_a_rebuilt_feed_is_created_before_its_newer_update(void **state)
{
    (void)state;
    struct directory_place place;
    begin_before_a_load(&place);
    update(2);
    update(1);
    expect_told(&place, C, 2, 5);
    expect_told(&place, U, 1, 6);
    expect_quiet(&place);
    assert_null(place.late);
}

static void end_of_an_unknown_user_of_a_rebuilt_feed_is_not_told(void **state)
{
    (void)state;
    struct directory_place place, knows;
    begin_before_a_load(&place);
    delete (2);
    changes.rebuilt = 5;
    knows = place;
    knows.known_seq = 3;
    assert_int_equal(expect_told(&place, U, 1, 3).resume.known_seq, 2);
    expect_quiet(&place);
    assert_int_equal(expect_told(&knows, U, 1, 3).resume.known_seq, 3); /* each has its token */
    expect_told(&knows, D, 2, 0);
    expect_quiet(&knows);
}

/* The client resumes after a load, and then with each token that it got in the rebuilt part, after
 * another load: whatever it has been told of, it is told of its end. */
static void end_of_a_user_created_by_a_rebuilt_feed_is_told_after_the_next_load(void **state)
{
    (void)state;
    struct directory_place place;
    begin_before_a_load(&place);
    update(0); /* 5 */
    changes.rebuilt = 5;
    expect_told(&place, U, 1, 3);
    const struct directory_resume inside = expect_told(&place, C, 2, 4).resume;
    resume(&place, &inside); /* the same server */
    expect_told(&place, U, 0, 5);
    expect_quiet(&place);
    const struct directory_resume behind = directory_changes_token(&changes, &place);
    assert_int_equal(behind.known_seq, 3);
    delete (2); /* 6 */
    directory_changes_clear(&changes);
    changes.rebuilt = 6;
    resume(&place, &behind);
    expect_told(&place, D, 2, 0);
    expect_quiet(&place);
    resume(&place, &inside);
    expect_told(&place, U, 0, 5);
    expect_told(&place, D, 2, 0);
    expect_quiet(&place);
}

static void rebuilt_commit_is_told_again_from_its_begin(void **state)
{
    (void)state;
    struct directory_place place = {.fields = DIRECTORY_ALL};
    assert_int_equal(commit(f->actor, SHM_CREATED, 0, 3), SHM_OK);
    assert_int_equal(commit(f->actor, SHM_UPDATED, 0, 3), SHM_OK);
    const struct directory_resume token = {.version = 2, .done = 2, .known_seq = 3};
    changes.rebuilt = 2;
    assert_int_equal(directory_changes_resume(&changes, &place, &token), SHM_OK);
    for (uint64_t n = 0; n < 3; n++)
        expect_told(&place, U, n, 2);
    expect_quiet(&place);
}

static void rebuilt_commit_of_creations_is_not_told_again(void **state)
{
    (void)state;
    struct directory_place place;
    begin_now(&place);
    assert_int_equal(commit(f->actor, SHM_CREATED, 0, 4), SHM_OK);
    expect_told(&place, C, 0, 1);
    const struct directory_resume token = expect_told(&place, C, 1, 1).resume;
    directory_changes_clear(&changes);
    changes.rebuilt = 1;
    resume(&place, &token);
    /* the entries still say SHM_CREATED here: the store has not made them again */
    expect_told(&place, C, 2, 1);
    expect_told(&place, C, 3, 1);
    expect_quiet(&place);
}

/* ---- shared messages ---- */

static void watches_at_one_place_share_the_message(void **state)
{
    (void)state;
    struct directory_place a, b, names;
    begin_now(&a);
    begin_now(&b);
    begin_now(&names);
    names.fields = DIRECTORY_NAME;
    create(1);
    update(1);
    assert_true(expect_told(&a, C, 1, 2).made);
    update(1); /* b comes later: it gets what a got, and then the update */
    assert_false(expect_told(&b, C, 1, 2).made);
    assert_true(expect_told(&names, C, 1, 0).made);
    expect_told(&a, U, 1, 3);
    assert_false(expect_told(&b, U, 1, 3).made);
    expect_quiet(&a);
    expect_quiet(&b);
    expect_quiet(&names);
}

static void watch_far_behind_does_not_take_the_messages_of_others(void **state)
{
    (void)state;
    struct directory_place behind, first, second;
    create(0);
    begin_now(&behind);
    for (uint64_t n = 1; n <= DIRECTORY_CHANGES_SHARED; n++)
        create(n);
    begin(&first, 1 + DIRECTORY_CHANGES_SHARED - 10);
    second = first;
    uint64_t last = DIRECTORY_CHANGES_SHARED;
    create(last + 1);
    struct told told;
    while (next(&first, &told))
        assert_true(told.made);
    for (uint64_t n = 1; n <= last; n++)
        expect_told(&behind, C, n, n + 1);
    while (next(&second, &told))
        assert_false(told.made);
}

/* ---- a model ---- */

enum { MODEL_USERS = 12 };

/* What a client knows, and whether its stream was resumed, since it was last quiet, by a token that
 * had no room for all that the watch knew: then it may be told of a body again, or of the end of a
 * user whom it never knew. */
struct replica {
    struct directory_place place;
    struct directory_resume token;
    uint64_t version[MODEL_USERS]; /* 0: there is no such user */
    bool broken;
};

static void replica_take(struct replica *replica, const struct told *told)
{
    uint64_t *version = &replica->version[told->n];
    replica->token = told->resume;
    if (told->type == D) {
        assert_true(*version != 0 || replica->broken);
    } else if (told->type == C) {
        assert_int_equal(*version, 0);
    } else {
        assert_true(*version != 0);
        assert_true(told->version > *version || (told->version == *version && replica->broken));
    }
    *version = told->version;
}

static void replica_compare(struct replica *replica)
{
    struct told told;
    while (next(&replica->place, &told))
        replica_take(replica, &told);
    replica->token = directory_changes_token(&changes, &replica->place);
    replica->broken = false;
    assert_null(replica->place.late);
    for (uint64_t n = 0; n < MODEL_USERS; n++) {
        uint8_t id[SHM_ID_SIZE];
        struct shm_user user = {.version = 0};
        user_id(id, n);
        (void)shm_user_find(f->actor, id, &user);
        assert_int_equal(replica->version[n], user.version);
    }
    shm_actor_offline(f->actor);
}

static void replica_resume(struct replica *replica)
{
    resume(&replica->place, &replica->token);
    replica->broken |= replica->token.late_count == DIRECTORY_RESUME_LATE;
}

static void change_something(const uint64_t *random)
{
    enum shm_change_kind kind = (enum shm_change_kind)(1 + *random % 3);
    uint64_t n = *random / 3 % MODEL_USERS;
    uint64_t count = 1 + *random / 100 % 3;
    (void)commit(f->actor, kind, n, n + count <= MODEL_USERS ? count : 1);
}

static void replicas_equal_the_table_whenever_they_are_quiet(void **state)
{
    (void)state;
    enum { REPLICAS = 4, STEPS = 200000 };
    static struct replica replicas[REPLICAS];
    uint64_t random = 1;
    for (unsigned i = 0; i < REPLICAS; i++) {
        begin_now(&replicas[i].place);
        replicas[i].token = directory_changes_token(&changes, &replicas[i].place);
    }
    for (unsigned i = 0; i < STEPS; i++) {
        struct told told;
        random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
        uint64_t what = random >> 33;
        struct replica *replica = &replicas[what / 16 % REPLICAS];
        if (what % 16 < 7)
            change_something(&(uint64_t){what / 64});
        else if (what % 16 == 7)
            replica_resume(replica);
        else if (what % 400 == 8)
            replica_compare(replica);
        else if (next(&replica->place, &told))
            replica_take(replica, &told);
    }
    for (unsigned i = 0; i < REPLICAS; i++)
        replica_compare(&replicas[i]);
}

/* ---- late ranges ---- */

static bool covers(const struct directory_late *set, uint64_t seq, uint64_t version)
{
    const struct shm_change change = {.version = version, .kind = SHM_UPDATED, .seq = seq};
    return directory_late_covers(set, &change);
}

static void range_covers_its_users_up_to_its_commit(void **state)
{
    (void)state;
    struct directory_late *set = NULL;
    directory_late_add(&set, &(struct directory_late_range){5, 6, 10});
    directory_late_add(&set, &(struct directory_late_range){7, 7, 10});
    directory_late_extend(set, 8, 10);
    assert_int_equal(set->count, 1);
    directory_late_extend(set, 10, 10); /* not the next one */
    directory_late_extend(set, 9, 11);  /* another commit */
    directory_late_add(&set, &(struct directory_late_range){10, 10, 10});
    directory_late_add(&set, &(struct directory_late_range){11, 11, 12});
    for (uint64_t seq = 4; seq <= 12; seq++) {
        uint64_t last = seq >= 5 && seq <= 8 ? 10 : seq == 10 ? 10 : seq == 11 ? 12 : 0;
        for (uint64_t version = 9; version <= 13; version++)
            assert_int_equal(covers(set, seq, version), version <= last);
    }
    directory_late_pass(&set, 9);
    assert_int_equal(set->count, 3);
    directory_late_pass(&set, 10);
    assert_int_equal(set->count, 1);
    assert_true(covers(set, 11, 12));
    directory_late_pass(&set, 11);
    assert_non_null(set);
    directory_late_pass(&set, 12);
    assert_null(set);
    directory_late_extend(set, 13, 13);
    directory_late_pass(&set, 13);
    assert_null(set);
}

/* ---- tokens as text ---- */

static void token_comes_back_and_no_other_text_does(void **state)
{
    (void)state;
    char text[DIRECTORY_RESUME_MAX + 1];
    struct directory_resume resume = {.table = {0xff, 1, 2, 3, 4, 5, 6, 7},
                                      .version = UINT64_C(1) << 40,
                                      .done = 255,
                                      .creates = true,
                                      .known_seq = 1234567};
    for (unsigned late = 0; late <= DIRECTORY_RESUME_LATE; late++) {
        struct directory_resume back = {0};
        resume.late_count = late;
        ProtobufCBinaryData data = {.data = (uint8_t *)text};
        data.len = directory_resume_format(text, &resume);
        assert_in_range(data.len, DIRECTORY_RESUME_SIZE, DIRECTORY_RESUME_MAX);
        assert_true(directory_resume_parse(&back, &data));
        expect_same(&back, &resume);
        for (size_t i = 0; i < data.len; i++) {
            text[i] ^= 1;
            assert_false(directory_resume_parse(&back, &data));
            text[i] ^= 1;
        }
        const size_t whole = data.len;
        for (data.len = 0; data.len < whole; data.len++)
            assert_false(directory_resume_parse(&back, &data));
        if (late < DIRECTORY_RESUME_LATE)
            resume.late[late] = (struct directory_late_range){
                late % 2 != 0 ? 1 + late : UINT64_MAX / 2, UINT64_MAX / 2 + late,
                resume.version + (late % 3 != 0 ? 1 : UINT64_MAX / 2)};
    }
}

/* Sealed as a real one: such a text is refused as a whole. */
static void token_of_bad_ranges_is_refused(void **state)
{
    (void)state;
    static const struct {
        size_t len;
        uint8_t ranges[12];
        bool good;
    } all[] = {
        {3, {1, 0, 1}, true},
        {3, {0, 0, 0}, true},
        {3, {1, 0}, true}, /* its third number is 0 */
        {3, {5, 0x80, 0x80}, false},
        {12,
         {1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 1},
         false}, /* last < first */
    };
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
        enum { VALUE = SEALED_RAW_SIZE - 4 };
        uint8_t raw[SEALED_RAW_MAX] = {0};
        char text[SEALED_TEXT_MAX];
        struct directory_resume resume;
        memcpy(raw + VALUE, all[i].ranges, all[i].len);
        size_t len = VALUE + all[i].len;
        sealed_text_format(text, raw, len + 4, len, SEALED_WATCH_TOKEN);
        ProtobufCBinaryData data = {.len = (len + 4) / 3 * 4, .data = (uint8_t *)text};
        assert_int_equal(directory_resume_parse(&resume, &data), all[i].good);
    }
}

int main(void)
{
#define CHANGES_TEST(test) cmocka_unit_test_setup_teardown(test, open_changes, close_changes)
    const struct CMUnitTest tests[] = {
        CHANGES_TEST(changes_are_told_in_their_order),
        CHANGES_TEST(watch_begins_exactly_after_its_version),
        CHANGES_TEST(of_several_updates_the_last_is_told),
        CHANGES_TEST(new_user_is_created_as_it_is_and_its_updates_are_not_told_again),
        CHANGES_TEST(user_who_came_and_went_is_not_told),
        CHANGES_TEST(update_after_the_created_body_is_told),
        CHANGES_TEST(many_new_users_are_told_once),
        CHANGES_TEST(update_after_the_shared_body_is_told),
        CHANGES_TEST(full_set_tells_a_change_twice_and_loses_none),
        CHANGES_TEST(each_token_goes_on_exactly_after_its_event),
        CHANGES_TEST(resume_tells_no_change_again),
        CHANGES_TEST(last_event_of_a_commit_needs_no_older_change),
        CHANGES_TEST(token_of_a_later_or_a_forgotten_state_is_refused),
        CHANGES_TEST(token_knows_the_users_of_its_version),
        CHANGES_TEST(commit_that_is_not_published_is_not_told),
        CHANGES_TEST(unknown_user_of_a_rebuilt_feed_is_created),
        CHANGES_TEST(user_of_a_rebuilt_feed_is_created_before_its_newer_update),
        CHANGES_TEST(end_of_an_unknown_user_of_a_rebuilt_feed_is_not_told),
        CHANGES_TEST(end_of_a_user_created_by_a_rebuilt_feed_is_told_after_the_next_load),
        CHANGES_TEST(rebuilt_commit_is_told_again_from_its_begin),
        CHANGES_TEST(rebuilt_commit_of_creations_is_not_told_again),
        CHANGES_TEST(watches_at_one_place_share_the_message),
        CHANGES_TEST(watch_far_behind_does_not_take_the_messages_of_others),
        CHANGES_TEST(replicas_equal_the_table_whenever_they_are_quiet),
        cmocka_unit_test(range_covers_its_users_up_to_its_commit),
        cmocka_unit_test(token_comes_back_and_no_other_text_does),
        cmocka_unit_test(token_of_bad_ranges_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
