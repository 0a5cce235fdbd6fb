/* SPDX-License-Identifier: MIT */
/* The careful reader, protected and unprotected: while a writer runs at full speed, and on what
 * writers leave that die in the middle of a commit. */
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "shm/careful.h"
#include "shm/core/mapping.h"
#include "shm/core/store_handle.h"
#include "shm/core/test_points.h"
#include "tests/shm/support.h"

void (*shm_test_hook)(const char *point);

enum { STAYING = 200, COMING = 200, BODY_LEAST = 16, BODY_MOST = 600, ROUND = 16 };

/* Opens a reader of this process's own segment. Unprotected: as if the segment could not be
 * written. */
static struct shm_reader *reader_open(struct fixture *f, struct shm_store *look, bool protected)
{
    struct shm_reader *reader;
    *look = *f->store;
    look->locked_out = !protected;
    assert_int_equal(shm_reader_open(&reader, look, &f->fault), SHM_OK);
    assert_true((shm_reader_unprotected(reader) == NULL) == protected);
    return reader;
}

/* ---- users whose bodies reveal a mixture ---- */

static void fill(struct shm_new_user *user, uint8_t body[BODY_MOST], uint64_t n, uint64_t stamp)
{
    user_id(user->id, n);
    user->body = body;
    user->body_len = (uint32_t)(BODY_LEAST + stamp * 7 % (BODY_MOST - BODY_LEAST));
    memset(body, (int)(stamp % 251), user->body_len);
    memcpy(body, &n, sizeof(n));
}

/* Checks that the body is no mixture. @return the user's number */
static uint64_t check_record(const struct shm_record *record)
{
    uint64_t n;
    uint8_t id[SHM_ID_SIZE];
    assert_in_range(record->body_len, BODY_LEAST, BODY_MOST);
    memcpy(&n, record->body, sizeof(n));
    user_id(id, n);
    assert_memory_equal(record->id, id, SHM_ID_SIZE);
    for (uint32_t i = sizeof(n); i < record->body_len; i++)
        assert_int_equal(record->body[i], record->body[sizeof(n)]);
    return n;
}

typedef int write_users(struct shm_actor *actor, const struct shm_new_user *users, size_t count,
                        struct shm_conflict *conflict);

static void write_round(struct shm_actor *actor, write_users *write_them, uint64_t from,
                        uint64_t stamp)
{
    static uint8_t bodies[ROUND][BODY_MOST];
    struct shm_new_user users[ROUND] = {0};
    for (size_t i = 0; i < ROUND; i++)
        fill(&users[i], bodies[i], from + i, stamp + i);
    while (write_them(actor, users, ROUND, NULL) == SHM_EBUSY)
        usleep(100);
}

static void delete_round(struct shm_actor *actor, uint64_t from)
{
    uint8_t ids[ROUND][SHM_ID_SIZE];
    for (size_t i = 0; i < ROUND; i++)
        user_id(ids[i], from + i);
    while (shm_users_delete(actor, (const uint8_t(*)[SHM_ID_SIZE])ids, ROUND, NULL) == SHM_EBUSY)
        usleep(100);
}

static void write_for_ever(struct fixture *f, int argument)
{
    struct shm_actor *actor;
    (void)argument;
    if (shm_actor_join(&actor, f->store, SHM_ACTOR_WORKER, 1, NULL) != SHM_OK)
        _exit(1);
    for (uint64_t stamp = 1;; stamp++) {
        uint64_t turn = stamp % (COMING / ROUND) * ROUND;
        write_round(actor, shm_users_update, stamp % (STAYING / ROUND) * ROUND, stamp);
        delete_round(actor, STAYING + turn);
        write_round(actor, shm_users_insert, STAYING + turn, stamp);
        shm_actor_offline(actor);
    }
}

/* ---- while a writer runs ---- */

static void list_once(struct shm_reader *reader, struct shm_fault *fault)
{
    struct shm_record record;
    uint64_t last = 0, staying = 0;
    int rc;
    assert_int_equal(shm_reader_begin(reader, 0, fault), SHM_OK);
    while ((rc = shm_reader_next(reader, &record, fault)) == SHM_OK) {
        assert_true(record.seq > last);
        last = record.seq;
        staying += check_record(&record) < STAYING / ROUND * ROUND;
    }
    if (rc != SHM_ENOENT)
        fail_msg("%s", fault->text);
    assert_int_equal(staying, STAYING / ROUND * ROUND);
    shm_reader_end(reader);
    shm_reader_rest(reader);
}

static void find_all(struct shm_reader *reader, struct shm_fault *fault)
{
    struct shm_record record;
    uint8_t id[SHM_ID_SIZE];
    for (uint64_t n = 0; n < STAYING / ROUND * ROUND + COMING / ROUND * ROUND; n++) {
        uint64_t user = n < STAYING / ROUND * ROUND ? n : n - STAYING / ROUND * ROUND + STAYING;
        user_id(id, user);
        int rc = shm_reader_find(reader, id, &record, fault);
        if (rc == SHM_OK)
            assert_int_equal(check_record(&record), user);
        else if (rc != SHM_ENOENT || user < STAYING)
            fail_msg("user %llu: %d: %s", (unsigned long long)user, rc, fault->text);
    }
    shm_reader_rest(reader);
}

static void read_during_writes(struct fixture *f, bool protected)
{
    struct shm_store look;
    shm_actor_leave(f->actor);
    f->actor = NULL;
    struct shm_actor *actor;
    assert_int_equal(shm_actor_join(&actor, f->store, SHM_ACTOR_WORKER, 0, &f->fault), SHM_OK);
    for (uint64_t n = 0; n < STAYING / ROUND * ROUND; n += ROUND)
        write_round(actor, shm_users_insert, n, n);
    for (uint64_t n = 0; n < COMING / ROUND * ROUND; n += ROUND)
        write_round(actor, shm_users_insert, STAYING + n, n);
    shm_actor_leave(actor);
    struct shm_reader *reader = reader_open(f, &look, protected);
    pid_t writer = start_child(write_for_ever, f, 0);
    uint64_t start = clock_monotonic_ms();
    unsigned rounds = 0;
    do {
        list_once(reader, &f->fault);
        find_all(reader, &f->fault);
        rounds++;
    } while (clock_monotonic_ms() - start < 2000);
    kill(writer, SIGKILL);
    assert_int_equal(waitpid(writer, NULL, 0), writer);
    struct shm_info info;
    shm_store_info(f->store, &info);
    print_message("%u listings during %llu commits\n", rounds, (unsigned long long)info.version);
    assert_true(rounds > 1 && info.version > 200);
    shm_reader_close(reader);
}

static void unprotected_reads_during_writes_are_consistent(void **state)
{
    read_during_writes(*state, false);
}

static void protected_reads_during_writes_are_consistent(void **state)
{
    read_during_writes(*state, true);
}

/* ---- after a death in the middle of a commit ---- */

static const char *kill_point;
static unsigned kill_after;

static void kill_at_point(const char *point)
{
    if (strcmp(point, kill_point) == 0 && kill_after-- == 0)
        kill(getpid(), SIGKILL);
}

enum { INSERT, UPDATE, DELETE, OPERATIONS };

static void write_and_die(struct fixture *f, int operation)
{
    struct shm_actor *actor;
    if (shm_actor_join(&actor, f->store, SHM_ACTOR_WORKER, 1, NULL) != SHM_OK)
        _exit(1);
    shm_test_hook = kill_at_point;
    if (operation == INSERT)
        write_round(actor, shm_users_insert, ROUND, 2);
    else if (operation == UPDATE)
        write_round(actor, shm_users_update, 0, 2);
    else
        delete_round(actor, 0);
    shm_actor_offline(actor);
    for (unsigned i = 0; i < 200; i++) /* also reclaims, and dies there if it has not died yet */
        shm_maintain(actor);
    _exit(0);
}

/* The reader must see all or nothing of the commit. */
static void check_commit(struct fixture *f, bool protected, int operation, bool committed)
{
    static const unsigned after[OPERATIONS] = {2 * ROUND, ROUND, 0};
    struct shm_store look;
    struct shm_record record;
    struct shm_reader *reader = reader_open(f, &look, protected);
    unsigned seen = 0;
    int rc;
    assert_int_equal(shm_reader_begin(reader, 0, &f->fault), SHM_OK);
    while ((rc = shm_reader_next(reader, &record, &f->fault)) == SHM_OK) {
        uint64_t n = check_record(&record);
        bool new = committed &&operation != DELETE && (operation == UPDATE || n >= ROUND);
        uint64_t stamp = (new ? 2 : 1) + n % ROUND;
        assert_int_equal(record.body_len, BODY_LEAST + stamp * 7);
        seen++;
    }
    if (rc != SHM_ENOENT)
        fail_msg("at \"%s\": %s", kill_point, f->fault.text);
    assert_int_equal(seen, committed ? after[operation] : ROUND);
    for (uint64_t n = 0; n < ROUND; n++) {
        uint8_t id[SHM_ID_SIZE];
        user_id(id, n);
        rc = shm_reader_find(reader, id, &record, &f->fault);
        assert_int_equal(rc, committed && operation == DELETE ? SHM_ENOENT : SHM_OK);
    }
    shm_reader_close(reader);
}

static void commits_of_dead_writers_are_read_as_all_or_nothing(void **state)
{
    static const char *const points[] = {"locked",         "before seal", "sealed",
                                         "half published", "published",   "half replayed",
                                         "replayed",       "applied",     "half unlinked"};
    struct fixture *f = *state;
    unsigned died = 0;
    for (int operation = 0; operation < OPERATIONS; operation++)
        for (size_t p = 0; p < sizeof(points) / sizeof(points[0]); p++)
            for (unsigned after = 0; after < 3; after++) {
                void *fresh;
                assert_int_equal(fixture_teardown(state), 0);
                assert_int_equal(fixture_setup(&fresh), 0);
                *state = f = fresh;
                write_round(f->actor, shm_users_insert, 0, 1);
                shm_actor_offline(f->actor);
                uint64_t version = shm_control()->version;
                kill_point = points[p];
                kill_after = after;
                died += WIFSIGNALED(in_child(write_and_die, f, operation));
                bool committed = shm_control()->version != version;
                check_commit(f, false, operation, committed);
                check_commit(f, true, operation, committed);
            }
    print_message("%u deaths\n", died);
    assert_true(died >= 40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(unprotected_reads_during_writes_are_consistent,
                                        fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(protected_reads_during_writes_are_consistent, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(commits_of_dead_writers_are_read_as_all_or_nothing,
                                        fixture_setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
