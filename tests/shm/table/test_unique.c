/* SPDX-License-Identifier: MIT */
/* Unique keys: which inserts are refused, that an insert and its indexes are one commit, and
 * what a lookup by key sees. Uses a library that is built with kill points and with checks of
 * its list calls. */
#include "tests/shm/support.h"

#include <ctype.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm/core/hash.h"
#include "shm/core/layout.h"
#include "shm/core/mapping.h"
#include "shm/core/test_points.h"
#include "shm/table/unique.h"

enum { NAME, MAIL };

void (*shm_test_hook)(const char *point);

/* ---- users of this test: a body is a name, a mail address and a note, each with a final NUL
 * ---- */

/* Key 0 is the name, key 1 the mail address in lower case. */
static uint32_t key_of(unsigned key, const uint8_t *body, uint32_t body_len, uint8_t *out)
{
    const uint8_t *at = body, *end = body + body_len;
    if (key == MAIL) {
        const uint8_t *nul = memchr(at, 0, (size_t)(end - at));
        at = nul != NULL ? nul + 1 : end;
    }
    uint32_t len = (uint32_t)strnlen((const char *)at, (size_t)(end - at));
    for (uint32_t i = 0; i < len && i < SHM_KEY_MAX; i++)
        out[i] = key == MAIL ? (uint8_t)tolower(at[i]) : at[i];
    return len;
}

enum { BODY_SIZE = 640 };

static uint32_t make_body(uint8_t body[BODY_SIZE], const char *name, const char *mail,
                          const char *note)
{
    int len = snprintf((char *)body, BODY_SIZE, "%s%c%s%c%s", name, 0, mail, 0, note);
    assert_in_range(len, 0, BODY_SIZE - 1);
    return (uint32_t)len + 1;
}

struct person {
    uint64_t id;
    const char *name, *mail;
};

static int insert_people(struct shm_actor *actor, const struct person *people, size_t count,
                         struct shm_conflict *conflict)
{
    static uint8_t bodies[SHM_BATCH_MAX][BODY_SIZE];
    struct shm_new_user users[SHM_BATCH_MAX] = {0};
    for (size_t i = 0; i < count; i++) {
        user_id(users[i].id, people[i].id);
        users[i].body = bodies[i];
        users[i].body_len = make_body(bodies[i], people[i].name, people[i].mail, "");
    }
    int rc;
    do {
        rc = shm_users_insert(actor, users, count, conflict);
    } while (rc == SHM_EBUSY);
    return rc;
}

static int insert(struct shm_actor *actor, uint64_t id, const char *name, const char *mail)
{
    struct person one = {id, name, mail};
    return insert_people(actor, &one, 1, NULL);
}

static int find(struct shm_actor *actor, unsigned key, const char *value, struct shm_user *user)
{
    return shm_user_find_key(actor, key, (const uint8_t *)value, (uint32_t)strlen(value), user);
}

static void assert_found(struct shm_actor *actor, unsigned key, const char *value, uint64_t id)
{
    struct shm_user user;
    uint8_t expected[SHM_ID_SIZE];
    user_id(expected, id);
    assert_int_equal(find(actor, key, value, &user), SHM_OK);
    assert_memory_equal(user.id, expected, SHM_ID_SIZE);
}

static void assert_not_found(struct shm_actor *actor, unsigned key, const char *value)
{
    struct shm_user user;
    assert_int_equal(find(actor, key, value, &user), SHM_ENOENT);
}

/* Opens a new segment. */
static void reopen_unique(struct fixture *f, unsigned unique, uint64_t max_users)
{
    fixture_close(f);
    assert_int_equal(shm_store_unlink(f->name, NULL), SHM_OK);
    f->config.unique = unique;
    f->config.key_of = key_of;
    f->config.max_users = max_users;
    assert_int_equal(fixture_reopen(f), SHM_OK);
}

static int setup(void **state)
{
    shm_test_hook = NULL;
    if (fixture_setup(state) != 0)
        return -1;
    reopen_unique(*state, 1 << NAME | 1 << MAIL, 1000);
    return 0;
}

static void reclaim_all(struct fixture *f)
{
    struct shm_info info;
    for (int i = 0; i < 100; i++) {
        shm_actor_offline(f->actor);
        shm_maintain(f->actor);
        shm_actor_offline(f->actor);
        shm_store_info(f->store, &info);
        if (info.retired_count + info.held_count == 0)
            return;
    }
    fail_msg("%llu retired bodies are not freed", (unsigned long long)info.retired_count);
}

/* ---- refused inserts ---- */

static void assert_refused(struct fixture *f, const char *name, const char *mail, unsigned key)
{
    struct shm_conflict conflict;
    struct person one = {900, name, mail};
    assert_int_equal(insert_people(f->actor, &one, 1, &conflict), SHM_EKEY);
    assert_int_equal(conflict.which, 0);
    assert_int_equal(conflict.key, key);
}

static void taken_key_is_refused_and_named(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(insert(f->actor, 1, "ann", "ann@a"), SHM_OK);
    assert_refused(f, "ann", "other@a", NAME);
    assert_refused(f, "other", "ann@a", MAIL);
    assert_refused(f, "ann", "ann@a", NAME); /* of two taken keys, the first */
    assert_int_equal(insert(f->actor, 2, "anna", "anna@a"), SHM_OK);
    /* Each key is taken, but as the other key. */
    assert_int_equal(insert(f->actor, 3, "ann@a", "ann"), SHM_OK);
    segment_check(f->store, 3);
}

static void keys_are_compared_as_key_of_gives_them(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(insert(f->actor, 1, "Ann", "Ann@A.org"), SHM_OK);
    assert_int_equal(insert(f->actor, 2, "ann", ""), SHM_OK);
    assert_refused(f, "bob", "aNN@a.ORG", MAIL);
    assert_found(f->actor, MAIL, "ann@a.org", 1);
    assert_not_found(f->actor, MAIL, "Ann@A.org"); /* the caller must fold case as key_of does */
    assert_found(f->actor, NAME, "Ann", 1);
    assert_found(f->actor, NAME, "ann", 2);
}

static void any_number_of_users_has_no_key(void **state)
{
    struct fixture *f = *state;
    struct person people[] = {{1, "a", ""}, {2, "b", ""}, {3, "c", ""}};
    assert_int_equal(insert(f->actor, 4, "d", ""), SHM_OK);
    assert_int_equal(insert_people(f->actor, people, 3, NULL), SHM_OK);
    struct shm_user user;
    assert_int_equal(shm_user_find_key(f->actor, MAIL, (const uint8_t *)"", 0, &user), SHM_ENOENT);
    segment_check(f->store, 4);
}

static void longest_key_is_unique_too(void **state)
{
    struct fixture *f = *state;
    char name[SHM_KEY_MAX + 2];
    memset(name, 'x', sizeof(name));
    name[SHM_KEY_MAX] = '\0';
    assert_int_equal(insert(f->actor, 1, name, ""), SHM_OK);
    assert_refused(f, name, "", NAME);
    assert_found(f->actor, NAME, name, 1);
    name[SHM_KEY_MAX] = 'x'; /* one more byte is no key */
    name[SHM_KEY_MAX + 1] = '\0';
    assert_not_found(f->actor, NAME, name);
    segment_check(f->store, 1);
}

static void taken_id_comes_before_a_taken_key(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(insert(f->actor, 1, "ann", ""), SHM_OK);
    assert_int_equal(insert(f->actor, 1, "ann", ""), SHM_EEXIST);
}

static void segment_with_one_key_keeps_no_other(void **state)
{
    struct fixture *f = *state;
    struct shm_user user;
    struct shm_info info;
    reopen_unique(f, 1 << MAIL, 1000);
    assert_int_equal(insert(f->actor, 1, "ann", "a@a"), SHM_OK);
    assert_int_equal(insert(f->actor, 2, "ann", "b@a"), SHM_OK);
    assert_refused(f, "bob", "A@A", MAIL);
    assert_found(f->actor, MAIL, "b@a", 2);
    assert_int_equal(find(f->actor, NAME, "ann", &user), SHM_EINVAL);
    assert_int_equal(find(f->actor, SHM_KEYS, "ann", &user), SHM_EINVAL);
    shm_store_info(f->store, &info);
    assert_int_equal(info.unique, 1 << MAIL);
    segment_check(f->store, 2);
}

static void tool_that_knows_no_keys_cannot_write(void **state)
{
    struct fixture *f = *state;
    struct shm_store *store;
    struct shm_actor *actor;
    struct shm_user user;
    assert_int_equal(insert(f->actor, 1, "ann", ""), SHM_OK);
    fixture_close(f);
    assert_int_equal(shm_store_attach(&store, f->name, SHM_ATTACH_WRITE, NULL, &f->fault), SHM_OK);
    assert_int_equal(shm_actor_join(&actor, store, SHM_ACTOR_TOOL, 0, &f->fault), SHM_OK);
    assert_int_equal(insert(actor, 2, "bob", ""), SHM_EINVAL);
    assert_int_equal(find(actor, NAME, "ann", &user), SHM_EINVAL);
    shm_actor_leave(actor);
    shm_store_close(store);
    assert_int_equal(fixture_reopen(f), SHM_OK);
    segment_check(f->store, 1);
}

static void config_without_key_of_is_refused(void **state)
{
    struct fixture *f = *state;
    fixture_close(f);
    assert_int_equal(shm_store_unlink(f->name, NULL), SHM_OK);
    f->config.key_of = NULL;
    assert_int_equal(fixture_reopen(f), SHM_EINVAL);
    f->config.key_of = key_of;
    f->config.unique = 1 << SHM_KEYS;
    assert_int_equal(fixture_reopen(f), SHM_EINVAL);
    assert_non_null(strstr(f->fault.text, "unique"));
    f->config.unique = 1;
    assert_int_equal(fixture_reopen(f), SHM_OK);
}

/* ---- all or nothing ---- */

struct totals {
    uint64_t users, seq, version, feed_head, used, free;
};

static struct totals totals_of(struct fixture *f)
{
    struct shm_info info;
    const struct shm_control *control = shm_control();
    shm_store_info(f->store, &info);
    return (struct totals){control->users,     control->seq,    control->version,
                           control->feed_head, info.bytes_used, info.bytes_free};
}

static void refused_batch_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    struct shm_conflict conflict;
    static const struct {
        struct person people[4];
        size_t which;
        unsigned key;
    } cases[] = {
        {{{11, "p", "p@a"}, {12, "q", "q@a"}, {13, "ann", "r@a"}, {14, "s", "s@a"}}, 2, NAME},
        {{{11, "p", "p@a"}, {12, "q", "q@a"}, {13, "r", "r@a"}, {14, "s", "Ann@a"}}, 3, MAIL},
        {{{11, "p", "p@a"}, {12, "p", "q@a"}, {13, "r", "r@a"}, {14, "s", "s@a"}}, 1, NAME},
        {{{11, "p", "p@a"}, {12, "q", "q@a"}, {13, "r", "r@a"}, {14, "s", "P@A"}}, 3, MAIL},
    };
    assert_int_equal(insert(f->actor, 1, "ann", "ann@a"), SHM_OK);
    assert_int_equal(insert(f->actor, 2, "bob", "bob@a"), SHM_OK);
    const struct totals before = totals_of(f);
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        assert_int_equal(insert_people(f->actor, cases[i].people, 4, &conflict), SHM_EKEY);
        assert_int_equal(conflict.which, cases[i].which);
        assert_int_equal(conflict.key, cases[i].key);
        const struct totals after = totals_of(f);
        assert_memory_equal(&after, &before, sizeof(after));
        assert_not_found(f->actor, NAME, "p");
        assert_not_found(f->actor, MAIL, "p@a");
        segment_check(f->store, 2);
    }
    struct person good[] = {{11, "p", "p@a"}, {12, "q", "q@a"}, {13, "r", ""}, {14, "s", "s@a"}};
    assert_int_equal(insert_people(f->actor, good, 4, &conflict), SHM_OK);
    for (size_t i = 0; i < 4; i++)
        assert_found(f->actor, NAME, good[i].name, good[i].id);
    segment_check(f->store, 6);
}

static void name_of(char name[16], uint64_t n)
{
    snprintf(name, 16, "n%llu", (unsigned long long)n);
}

/* Inserts users [from, to), `step` per commit, with names n0, n1, ... Every third has no mail
 * address. */
static int insert_range(struct shm_actor *actor, uint64_t from, uint64_t to, size_t step)
{
    static char names[SHM_BATCH_MAX][16];
    struct person people[SHM_BATCH_MAX];
    int rc = SHM_OK;
    while (from < to && rc == SHM_OK) {
        size_t count = to - from < step ? (size_t)(to - from) : step;
        for (size_t i = 0; i < count; i++) {
            name_of(names[i], from + i);
            people[i] = (struct person){from + i, names[i], (from + i) % 3 != 0 ? names[i] : ""};
        }
        rc = insert_people(actor, people, count, NULL);
        from += count;
    }
    return rc;
}

static void check_range(struct shm_actor *actor, uint64_t from, uint64_t to)
{
    char name[16];
    for (uint64_t n = from; n < to; n++) {
        name_of(name, n);
        assert_found(actor, NAME, name, n);
        if (n % 3 != 0)
            assert_found(actor, MAIL, name, n);
        else
            assert_not_found(actor, MAIL, name);
    }
}

/* Full tables have chains of several users, and batches whose users share a bucket. */
static void every_user_of_a_full_table_is_found_by_each_key(void **state)
{
    enum { USERS = 10900 }; /* for 8,192 buckets */
    struct fixture *f = *state;
    reopen_unique(f, 3, USERS);
    assert_int_equal(insert_range(f->actor, 0, USERS, SHM_BATCH_MAX), SHM_OK);
    check_range(f->actor, 0, USERS);
    assert_int_equal(insert(f->actor, USERS, "one more", ""), SHM_EFULL);
    assert_not_found(f->actor, NAME, "n10900");
    segment_check(f->store, USERS);
    fixture_close(f);
    assert_int_equal(fixture_reopen(f), SHM_OK);
    check_range(f->actor, 0, USERS);
}

/* ---- versions ---- */

static struct shm_actor *reader;
static unsigned times_hooked;

/* The points of a commit at which everything but `version` may be stored. */
static bool is_before_the_commit_is_seen(const char *point)
{
    static const char *const points[] = {"before seal",  "sealed",    "half published",
                                         "half indexed", "published", "half replayed"};
    for (size_t i = 0; i < sizeof(points) / sizeof(*points); i++)
        if (strcmp(point, points[i]) == 0)
            return true;
    return false;
}

static void look_for_uncommitted(const char *point)
{
    if (is_before_the_commit_is_seen(point)) {
        times_hooked++;
        assert_not_found(reader, NAME, "eve");
        assert_not_found(reader, MAIL, "eve@a");
    } else if (strcmp(point, "replayed") == 0) { /* version is the last word of the commit */
        assert_found(reader, NAME, "eve", 2);
        assert_found(reader, MAIL, "eve@a", 2);
    }
}

static void lookup_by_key_sees_only_commits(void **state)
{
    struct fixture *f = *state;
    times_hooked = 0;
    assert_int_equal(shm_actor_join(&reader, f->store, SHM_ACTOR_WORKER, 1, &f->fault), SHM_OK);
    assert_int_equal(insert(f->actor, 1, "ann", ""), SHM_OK);
    shm_test_hook = look_for_uncommitted;
    assert_int_equal(insert(f->actor, 2, "eve", "eve@a"), SHM_OK);
    shm_test_hook = NULL;
    assert_int_equal(times_hooked, 6);
    assert_found(reader, NAME, "eve", 2);
    shm_actor_leave(reader);
}

static int update(struct shm_actor *actor, uint64_t id, const char *name, const char *mail,
                  const char *note, struct shm_conflict *conflict)
{
    uint8_t body[BODY_SIZE];
    struct shm_new_user user = {.body = body, .body_len = make_body(body, name, mail, note)};
    user_id(user.id, id);
    return shm_users_update(actor, &user, 1, conflict);
}

static int delete (struct shm_actor *actor, uint64_t id)
{
    uint8_t ids[1][SHM_ID_SIZE];
    user_id(ids[0], id);
    return shm_users_delete(actor, (const uint8_t(*)[SHM_ID_SIZE])ids, 1, NULL);
}

static void lookup_by_key_gives_the_newest_body(void **state)
{
    struct fixture *f = *state;
    struct shm_user user;
    assert_int_equal(insert(f->actor, 1, "ann", "ann@a"), SHM_OK);
    for (int i = 0; i < 5; i++) {
        char note[32];
        snprintf(note, sizeof(note), "note %d", i);
        assert_int_equal(update(f->actor, 1, "ann", "ann@a", note, NULL), SHM_OK);
        assert_int_equal(find(f->actor, MAIL, "ann@a", &user), SHM_OK);
        assert_string_equal((const char *)user.body + sizeof("ann") + sizeof("ann@a"), note);
    }
    assert_refused(f, "ann", "", NAME);
    reclaim_all(f);
    assert_refused(f, "ann", "", NAME);
    segment_check(f->store, 1);
}

static void update_to_an_equal_key_changes_no_key(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(insert(f->actor, 1, "ann", "Ann@a"), SHM_OK);
    assert_int_equal(insert(f->actor, 2, "bob", ""), SHM_OK);
    const struct shm_node *ann = user_node(f->actor, 1), *bob = user_node(f->actor, 2);
    assert_int_equal(update(f->actor, 1, "ann", "ANN@a", "the same key", NULL), SHM_OK);
    assert_int_equal(update(f->actor, 2, "bob", "", "none as before", NULL), SHM_OK);
    assert_ptr_equal(user_node(f->actor, 1), ann);
    assert_ptr_equal(user_node(f->actor, 2), bob);
    segment_check(f->store, 2);
}

static void deleted_users_keys_are_free_at_once(void **state)
{
    struct fixture *f = *state;
    struct shm_snapshot snapshot;
    struct shm_cursor cursor;
    struct shm_user user;
    uint8_t old[SHM_ID_SIZE];
    user_id(old, 1);
    assert_int_equal(insert(f->actor, 1, "ann", "ann@a"), SHM_OK);
    assert_int_equal(shm_snapshot_begin(f->actor, &snapshot), SHM_OK);
    assert_int_equal(delete (f->actor, 1), SHM_OK);
    assert_not_found(f->actor, NAME, "ann");
    assert_not_found(f->actor, MAIL, "ann@a");
    assert_int_equal(insert(f->actor, 2, "ann", "ann@a"), SHM_OK);
    assert_found(f->actor, NAME, "ann", 2);
    assert_found(f->actor, MAIL, "ann@a", 2);
    assert_refused(f, "ann", "", NAME); /* both nodes are in the chain */
    segment_check(f->store, 1);

    shm_cursor_first(&cursor, f->actor, &snapshot);
    assert_int_equal(shm_cursor_next(&cursor, &user), SHM_OK);
    assert_memory_equal(user.id, old, SHM_ID_SIZE);
    assert_int_equal(shm_cursor_next(&cursor, &user), SHM_ENOENT);
    shm_snapshot_end(f->actor, &snapshot);

    reclaim_all(f);
    assert_found(f->actor, NAME, "ann", 2);
    assert_refused(f, "bob", "ann@a", MAIL);
    segment_check(f->store, 1);
}

/* The links of a recycled node may hold anything: no index uses them. */
static void recycled_nodes_are_linked_by_the_keys_of_their_new_users(void **state)
{
    struct fixture *f = *state;
    for (uint64_t round = 0; round < 6; round++) {
        const uint64_t from = 100 * round;
        char name[16];
        assert_int_equal(insert_range(f->actor, from, from + 50, round % 2 == 0 ? 1 : 50), SHM_OK);
        check_range(f->actor, from, from + 50);
        segment_check(f->store, 50);
        for (uint64_t n = from; n < from + 50; n++)
            assert_int_equal(delete (f->actor, n), SHM_OK);
        segment_check(f->store, 0);
        reclaim_all(f);
        segment_check(f->store, 0);
        for (uint64_t n = from; n < from + 50; n++) {
            name_of(name, n);
            assert_not_found(f->actor, NAME, name);
        }
    }
}

/* Until the commit, `died` of a recycled node is the link of the free list: it does not mean a
 * deletion. */
static void key_twice_in_a_batch_of_recycled_nodes_is_refused(void **state)
{
    struct fixture *f = *state;
    struct shm_conflict conflict;
    struct person twice[] = {{11, "p", ""}, {12, "q", ""}, {13, "p", ""}};
    assert_int_equal(insert_range(f->actor, 0, 10, 10), SHM_OK);
    for (uint64_t n = 0; n < 10; n++)
        assert_int_equal(delete (f->actor, n), SHM_OK);
    reclaim_all(f);
    assert_true(shm_control()->alloc[SHM_ALLOC_NODE_FREE] != 0);
    assert_int_equal(insert_people(f->actor, twice, 3, &conflict), SHM_EKEY);
    assert_int_equal(conflict.which, 2);
    twice[2] = (struct person){11, "r", ""};
    assert_int_equal(insert_people(f->actor, twice, 3, &conflict), SHM_EEXIST);
    assert_int_equal(conflict.which, 2);
    segment_check(f->store, 0);
}

/* ---- processes ---- */

static const char *kill_point;

static void kill_at_point(const char *point)
{
    if (strcmp(point, kill_point) == 0)
        kill(getpid(), SIGKILL);
}

static void insert_and_die(struct fixture *f, int count)
{
    struct shm_actor *actor;
    if (shm_actor_join(&actor, f->store, SHM_ACTOR_WORKER, 1, &f->fault) != SHM_OK)
        _exit(98);
    shm_test_hook = kill_at_point;
    insert_range(actor, 100, 100 + (uint64_t)count, (size_t)count);
}

static void writer_killed_at(void **state, uint64_t count)
{
    static const struct {
        const char *name;
        bool committed;
    } points[] = {{"before seal", false}, {"sealed", true},    {"half published", true},
                  {"half indexed", true}, {"published", true}, {"half replayed", true},
                  {"replayed", true},     {"applied", true}};
    for (size_t point = 0; point < sizeof(points) / sizeof(*points); point++) {
        assert_int_equal(setup(state), 0);
        struct fixture *f = *state;
        assert_int_equal(insert_range(f->actor, 0, 100, 10), SHM_OK);
        kill_point = points[point].name;
        int status = in_child(insert_and_die, f, (int)count);
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
            fail_msg("the writer was not killed at \"%s\"", kill_point);
        /* The names exist with their users, or are free. */
        assert_int_equal(insert(f->actor, 900, "n100", ""),
                         points[point].committed ? SHM_EKEY : SHM_OK);
        check_range(f->actor, 0, points[point].committed ? 100 + count : 100);
        segment_check(f->store, points[point].committed ? 100 + count : 101);
        fixture_teardown(state);
    }
}

static void killed_writer_of_one_leaves_its_keys_or_nothing(void **state)
{
    writer_killed_at(state, 1);
}

static void killed_writer_of_a_batch_leaves_its_keys_or_nothing(void **state)
{
    writer_killed_at(state, SHM_BATCH_MAX);
}

enum { RACERS = 2, RACED = 3000 };
static uint64_t (*winners)[RACED]; /* by name: id of the winner plus one; shared */

/* Inserts all names in order, each with an id of its own. The two processes take turns in using
 * batches. */
static void race(struct fixture *f, int number)
{
    struct shm_actor *actor;
    struct shm_conflict conflict;
    char names[8][16];
    struct person people[8];
    if (shm_actor_join(&actor, f->store, SHM_ACTOR_WORKER, (unsigned)number, &f->fault) != SHM_OK)
        _exit(98);
    for (uint64_t n = 0; n < RACED;) {
        size_t count = n % 64 == 0 ? 8 : 1;
        for (size_t i = 0; i < count; i++) {
            name_of(names[i], n + i);
            people[i] = (struct person){(uint64_t)number * 1000000 + n + i, names[i], ""};
        }
        int rc = insert_people(actor, people, count, &conflict);
        if (rc == SHM_EKEY && count == 1) {
            n++;
            continue;
        }
        if (rc == SHM_EKEY) { /* a name of the batch is taken: try them one by one */
            for (size_t i = 0; i < count; i++)
                if (insert_people(actor, &people[i], 1, NULL) == SHM_OK)
                    winners[number][n + i] = people[i].id + 1;
        } else if (rc == SHM_OK) {
            for (size_t i = 0; i < count; i++)
                winners[number][n + i] = people[i].id + 1;
        } else {
            _exit(1);
        }
        n += count;
        shm_actor_offline(actor);
    }
    shm_actor_leave(actor);
}

static void each_name_goes_to_one_of_two_processes(void **state)
{
    struct fixture *f = *state;
    pid_t pids[RACERS];
    uint64_t won[RACERS] = {0};
    char name[16];
    reopen_unique(f, 1 << NAME, RACERS * RACED);
    winners = mmap(NULL, RACERS * sizeof(*winners), PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(winners != MAP_FAILED);
    for (int i = 0; i < RACERS; i++)
        pids[i] = start_child(race, f, i);
    for (int i = 0; i < RACERS; i++) {
        int status;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_int_equal(status, 0);
    }
    for (uint64_t n = 0; n < RACED; n++) {
        int by = winners[0][n] != 0 ? 0 : 1;
        assert_int_equal(winners[1 - by][n], 0); /* the other process did not get it */
        assert_true(winners[by][n] != 0);        /* and this one did */
        won[by]++;
        name_of(name, n);
        assert_found(f->actor, NAME, name, winners[by][n] - 1);
    }
    print_message("names won: %llu and %llu\n", (unsigned long long)won[0],
                  (unsigned long long)won[1]);
    segment_check(f->store, RACED);
    munmap(winners, RACERS * sizeof(*winners));
}

/* ---- memory ---- */

static void index_costs_at_most_32_bytes_a_user(void **state)
{
    enum { USERS = 70000 };
    struct fixture *f = *state;
    uint64_t used[3];
    for (unsigned keys = 0; keys < 3; keys++) {
        struct shm_info info;
        reopen_unique(f, (1u << keys) - 1, USERS);
        assert_int_equal(insert_range(f->actor, 0, USERS, SHM_BATCH_MAX), SHM_OK);
        shm_store_info(f->store, &info);
        used[keys] = info.bytes_used;
    }
    double one = (double)(used[1] - used[0]) / USERS, two = (double)(used[2] - used[1]) / USERS;
    print_message("an index costs %.1f bytes a user\n", one);
    assert_true(one > 0 && one <= 32);
    assert_true(two > 0 && two <= 32);
}

/* A client that could make ids collide could not make keys collide, nor one key with the other. */
static void keys_and_ids_are_hashed_with_other_parts_of_the_secret(void **state)
{
    (void)state;
    for (uint64_t n = 0; n < 100; n++) {
        uint8_t bytes[SHM_ID_SIZE];
        user_id(bytes, n);
        uint64_t id = shm_hash_id(shm_header(), bytes);
        uint64_t first = shm_unique_hash(shm_header(), 0, bytes, sizeof(bytes));
        uint64_t second = shm_unique_hash(shm_header(), 1, bytes, sizeof(bytes));
        assert_true(id != first && id != second && first != second);
    }
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        WITH(keys_and_ids_are_hashed_with_other_parts_of_the_secret),
        WITH(taken_key_is_refused_and_named),
        WITH(keys_are_compared_as_key_of_gives_them),
        WITH(any_number_of_users_has_no_key),
        WITH(longest_key_is_unique_too),
        WITH(taken_id_comes_before_a_taken_key),
        WITH(segment_with_one_key_keeps_no_other),
        WITH(tool_that_knows_no_keys_cannot_write),
        WITH(config_without_key_of_is_refused),
        WITH(refused_batch_leaves_nothing),
        WITH(every_user_of_a_full_table_is_found_by_each_key),
        WITH(lookup_by_key_sees_only_commits),
        WITH(lookup_by_key_gives_the_newest_body),
        WITH(update_to_an_equal_key_changes_no_key),
        WITH(deleted_users_keys_are_free_at_once),
        WITH(recycled_nodes_are_linked_by_the_keys_of_their_new_users),
        WITH(key_twice_in_a_batch_of_recycled_nodes_is_refused),
        cmocka_unit_test(killed_writer_of_one_leaves_its_keys_or_nothing),
        cmocka_unit_test(killed_writer_of_a_batch_leaves_its_keys_or_nothing),
        WITH(each_name_goes_to_one_of_two_processes),
        WITH(index_costs_at_most_32_bytes_a_user),
    };
    return cmocka_run_group_tests_name("unique", tests, NULL, NULL);
}
