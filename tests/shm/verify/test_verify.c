/* SPDX-License-Identifier: MIT */
/* What verify finds, also while writers run. */
#include "tests/shm/support.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "shm/core/hash.h"
#include "shm/core/layout.h"
#include "shm/core/mapping.h"
#include "shm/readers/reclaim.h"
#include "shm/table/tower.h"
#include "shm/verify/image.h"
#include "shm/verify/verify.h"

enum { USERS = 400 };

static uint32_t key_of(unsigned key, const uint8_t *body, uint32_t body_len, uint8_t *out)
{
    (void)key;
    if (body_len < 8)
        return 0;
    memcpy(out, body, 8);
    return 8;
}

/* ---- a segment with everything in it ---- */

static void update(struct shm_actor *actor, uint64_t n)
{
    uint8_t body[64] = {0};
    struct shm_new_user user = {.body = body, .body_len = sizeof(body)};
    memcpy(body, &n, sizeof(n));
    user_id(user.id, n);
    assert_int_equal(shm_users_update(actor, &user, 1, NULL), SHM_OK);
}

static void delete_user(struct shm_actor *actor, uint64_t n)
{
    uint8_t ids[1][SHM_ID_SIZE];
    user_id(ids[0], n);
    assert_int_equal(shm_users_delete(actor, (const uint8_t(*)[SHM_ID_SIZE])ids, 1, NULL), SHM_OK);
}

static bool has_tower(uint64_t n)
{
    uint8_t id[SHM_ID_SIZE];
    user_id(id, n);
    return shm_tower_height(shm_hash_id(shm_header(), id)) != 0;
}

static const struct shm_node *last_node(const struct shm_body *body)
{
    return body->state == SHM_BODY_LAST ? caa_container_of(body->from, struct shm_node, body)
                                        : NULL;
}

static bool waits(void)
{
    unsigned towers = 0;
    for (const struct shm_body *body = shm_control()->unlinked.head; body != NULL;
         body = body->link)
        towers += last_node(body) != NULL && last_node(body)->order.prev != NULL;
    return towers > 0 && shm_control()->retired.count > 0;
}

/* Leaves unlinked nodes, some with an index entry, and retired bodies, all of which wait until
 * this process goes offline. */
static void leave_waiting(struct fixture *f, uint64_t turn)
{
    uint64_t n = turn * 10 * USERS;
    for (int towers = 0; towers < 3; n++) {
        users_insert(f->actor, n, n + 1, 1);
        delete_user(f->actor, n);
        towers += has_tower(n);
    }
    shm_actor_offline(f->actor);
    shm_actor_online(f->actor);
    unsigned steps;
    assert_int_equal(shm_reclaim(f->actor, 1000, &steps), SHM_OK);
    for (n = 240; n < 250; n++)
        update(f->actor, n);
}

/* Returns a user that remains and has a tower. */
static uint64_t towering(void)
{
    uint64_t n = 3 * USERS;
    while (!has_tower(n))
        n++;
    return n;
}

/* Creates live, replaced, held, deleted and unlinked bodies, free nodes and blocks, and two
 * indexes. */
static void fill(struct fixture *f)
{
    struct shm_snapshot snapshot;
    fixture_close(f);
    assert_int_equal(shm_store_unlink(f->name, &f->fault), SHM_OK);
    f->config.unique = 3;
    f->config.key_of = key_of;
    assert_int_equal(fixture_reopen(f), SHM_OK);
    users_insert(f->actor, 0, USERS, 50);
    users_insert(f->actor, towering(), towering() + 1, 1);
    users_insert(f->actor, USERS, 2 * USERS, 50);
    for (uint64_t n = 0; n < 60; n++)
        delete_user(f->actor, n);
    for (uint64_t n = USERS; n < 2 * USERS; n++)
        delete_user(f->actor, n);
    while (shm_maintain(f->actor) < 500) /* until they are free */
        ;
    assert_int_equal(shm_snapshot_begin(f->actor, &snapshot), SHM_OK);
    for (uint64_t n = 60; n < 120; n++) {
        update(f->actor, n);
        if (n % 2 == 0)
            delete_user(f->actor, n);
    }
    while (shm_maintain(f->actor) < 500) /* until they are held */
        ;
    assert_true(shm_control()->held_count >= 60);
    for (uint64_t n = 120; n < 180; n++)
        update(f->actor, n);
    for (uint64_t n = 180; n < 240; n++) { /* created after the snapshot: no reader needs them */
        users_insert(f->actor, USERS + n, USERS + n + 1, 1);
        delete_user(f->actor, USERS + n);
    }
    /* A writer sometimes reclaims on its own: try again if it has just done so. */
    for (uint64_t turn = 1; turn <= 5 && !waits(); turn++)
        leave_waiting(f, turn);
    assert_true(waits());
}

struct copy {
    uint8_t *bytes;
    uint64_t size;
};

static struct copy copy_segment(void)
{
    struct copy copy = {.size = shm_control()->arena_end - SHM_BASE};
    copy.bytes = aligned_alloc(SHM_PAGE, copy.size);
    assert_non_null(copy.bytes);
    const uint8_t *from = (const uint8_t *)(uintptr_t)SHM_BASE;
    memset(copy.bytes, 0, SHM_ARENA_AT);
    memcpy(copy.bytes, from, SHM_CONTROL_END);
    memcpy(copy.bytes + SHM_SLOTS_AT, from + SHM_SLOTS_AT,
           shm_control()->slots_ready * sizeof(struct shm_slot));
    memcpy(copy.bytes + SHM_ARENA_AT, from + SHM_ARENA_AT, copy.size - SHM_ARENA_AT);
    return copy;
}

static int verify(const struct copy *copy)
{
    struct shm_verify_report report;
    const struct shm_image image = {.bytes = copy->bytes, .size = copy->size, .key_of = key_of};
    int rc = shm_verify_image(&image, &report);
    if (rc == SHM_OK)
        assert_int_equal(report.bytes_used + report.bytes_free + report.bytes_tables,
                         copy->size - SHM_ARENA_AT);
    return rc;
}

/* Flips every `step`th bit of [from, to), one at a time. Fails if verify does not find one. */
static void flip_each(const struct copy *copy, uint64_t from, uint64_t to, unsigned step,
                      const char *what)
{
    for (uint64_t bit = 0; bit < (to - from) * 8; bit += step) {
        uint8_t mask = (uint8_t)(1u << (bit % 8));
        copy->bytes[from + bit / 8] ^= mask;
        int rc = verify(copy);
        copy->bytes[from + bit / 8] ^= mask;
        if (rc != SHM_ECORRUPT)
            fail_msg("%s: bit %u of byte %llu (offset 0x%llx) was flipped, but not noticed", what,
                     (unsigned)(bit % 8), (unsigned long long)(bit / 8),
                     (unsigned long long)(from + bit / 8));
    }
}

struct field {
    uint64_t from, to;
};

/* Does the same for the bytes between the given fields. */
static void flip_all_but(const struct copy *copy, uint64_t at, uint64_t size,
                         const struct field *fields, size_t count, unsigned step, const char *what)
{
    uint64_t from = 0;
    for (size_t i = 0; i <= count; i++) {
        uint64_t to = i < count ? fields[i].from : size;
        assert_true(to >= from);
        flip_each(copy, at + from, at + to, step, what);
        from = i < count ? fields[i].to : size;
    }
}

#define FIELD(type, field)                                                                         \
    {                                                                                              \
        offsetof(struct type, field),                                                              \
            offsetof(struct type, field) + sizeof(((struct type *)0)->field)                       \
    }

static void every_flipped_bit_of_the_control_pages_is_found(void **state)
{
    struct fixture *f = *state;
    static const struct field control[] = {
        FIELD(shm_control, published_gp),  FIELD(shm_control, gp),
        FIELD(shm_control, pid_namespace), FIELD(shm_control, tracker),
        FIELD(shm_control, durable),       FIELD(shm_control, writer),
        FIELD(shm_control, seq),           FIELD(shm_control, feed_head),
        FIELD(shm_control, arena_end),     FIELD(shm_control, max_users),
        FIELD(shm_control, limit),         FIELD(shm_control, full_at),
        FIELD(shm_control, held_max),      FIELD(shm_control, feed_first),
        FIELD(shm_control, feed_from),     FIELD(shm_control, feed_rebuilt),
        FIELD(shm_control, disk),          FIELD(shm_control, index_from),
    };
    static const struct field log[] = {FIELD(shm_log, count)};
    fill(f);
    struct copy copy = copy_segment();
    assert_int_equal(verify(&copy), SHM_OK);
    flip_each(&copy, 0, SHM_PAGE, 37, "the header");
    flip_all_but(&copy, SHM_CONTROL_AT, SHM_PAGE, control, sizeof(control) / sizeof(*control), 3,
                 "the control page");
    flip_all_but(&copy, SHM_LOG_AT, offsetof(struct shm_log, entry), log, 1, 1, "the log");
    free(copy.bytes);
}

static void flipped_bits_of_slots_are_found(void **state)
{
    struct fixture *f = *state;
    static const struct field head[] = {
        FIELD(shm_slot, life),       FIELD(shm_slot, state),     FIELD(shm_slot, pid),
        FIELD(shm_slot, kind),       FIELD(shm_slot, number),    FIELD(shm_slot, ctr),
        FIELD(shm_slot, started_at), FIELD(shm_slot, pins_high), FIELD(shm_slot, waits),
    };
    const uint64_t state_at = SHM_SLOTS_AT + offsetof(struct shm_slot, state);
    static const struct field pin[] = {FIELD(shm_pin, version), FIELD(shm_pin, count),
                                       FIELD(shm_pin, started), FIELD(shm_pin, held_for),
                                       FIELD(shm_pin, revoked)};
    fill(f);
    struct copy copy = copy_segment();
    flip_all_but(&copy, SHM_SLOTS_AT, offsetof(struct shm_slot, pins), head,
                 sizeof(head) / sizeof(*head), 3, "a slot");
    /* 0 and 1 are both valid, so the bit that tells them apart is left out above: whether the
     * third flipped byte contains that bit depends on the size of a mutex. */
    flip_each(&copy, state_at + 1, state_at + sizeof(uint32_t), 1, "a slot's state");
    for (uint64_t p = 0; p < 3; p++)
        flip_all_but(&copy,
                     SHM_SLOTS_AT + offsetof(struct shm_slot, pins) + p * sizeof(struct shm_pin),
                     sizeof(struct shm_pin), pin, sizeof(pin) / sizeof(*pin), 3, "a pin");
    free(copy.bytes);
}

static uint64_t offset(const void *pointer)
{
    return (uint64_t)(uintptr_t)pointer - SHM_BASE;
}

static void flip_body(const struct copy *copy, const struct shm_body *body,
                      const struct field *fields, size_t count, const char *what)
{
    flip_all_but(copy, offset(body), sizeof(*body) + body->length, fields, count, 3, what);
}

static void every_flipped_bit_of_a_user_is_found(void **state)
{
    struct fixture *f = *state;
    static const struct field live[] = {FIELD(shm_body, link)};
    static const struct field unlinked[] = {FIELD(shm_body, prev), FIELD(shm_body, from),
                                            FIELD(shm_body, died), FIELD(shm_body, token)};
    static const struct field retired[] = {FIELD(shm_body, died), FIELD(shm_body, token)};
    static const struct field tower[] = {FIELD(shm_tower, link)};
    fill(f);
    struct copy copy = copy_segment();
    const struct shm_node *node = user_node(f->actor, towering());
    flip_each(&copy, offset(node), offset(node + 1), 1, "a node");
    flip_body(&copy, node->body, live, 1, "a body");
    const struct shm_body *held = NULL;
    for (unsigned p = 0; held == NULL; p++)
        held = shm_slot(0)->pins[p].held;
    flip_body(&copy, held, retired, 2, "a held body");
    flip_body(&copy, shm_control()->retired.head, retired, 2, "a retired body");
    flip_body(&copy, shm_control()->unlinked.head, unlinked, 4, "an unlinked body");
    const struct shm_tower *t = shm_control()->index[0];
    flip_all_but(&copy, offset(t), sizeof(*t) + t->height * sizeof(t), tower, 1, 3, "a tower");
    free(copy.bytes);
}

static void nodes_of_deleted_users_are_checked_until_freed(void **state)
{
    struct fixture *f = *state;
    fill(f);
    struct copy copy = copy_segment();
    unsigned found = 0, towers = 0;
    for (const struct shm_body *body = shm_control()->unlinked.head;
         body != NULL && (found < 4 || towers == 0); body = body->link) {
        const struct shm_node *node = last_node(body);
        if (node == NULL)
            continue;
        flip_each(&copy, offset(&body->from), offset(&body->from) + 8, 7, "a last body's node");
        flip_each(&copy, offset(&node->hash), offset(&node->by_id), 13, "an unlinked node");
        flip_each(&copy, offset(node->id), offset(node + 1), 13, "an unlinked node");
        flip_each(&copy, offset(&node->order.prev), offset(&node->order.prev) + 8, 7,
                  "an unlinked node's tower");
        towers += node->order.prev != NULL;
        found++;
    }
    assert_true(towers > 0);
    free(copy.bytes);
}

static void every_free_block_is_counted(void **state)
{
    struct fixture *f = *state;
    fill(f);
    struct copy copy = copy_segment();
    const struct shm_node *node =
        (const struct shm_node *)(uintptr_t)shm_control()->alloc[SHM_ALLOC_NODE_FREE];
    assert_non_null(node);
    flip_each(&copy, offset(&node->died), offset(&node->died) + 8, 1, "a free node's link");
    unsigned class = 0;
    while (shm_control()->alloc[class] == 0)
        class ++;
    uint64_t block = shm_control()->alloc[class] - SHM_BASE;
    flip_each(&copy, block, block + 8, 1, "a free block's link");
    free(copy.bytes);
}

static void two_users_with_one_key_are_found(void **state)
{
    struct fixture *f = *state;
    fill(f);
    /* Another user's key, with a matching checksum. */
    struct shm_node *one = user_node(f->actor, 300), *other = user_node(f->actor, 301);
    uint32_t check = shm_check_bytes(one->body->bytes, one->body->length);
    memcpy(other->body->bytes, one->body->bytes, one->body->length);
    other->body->check = shm_check_body(check, other->body->born);
    struct shm_verify_report report;
    assert_int_equal(shm_store_verify(f->store, &report, NULL, NULL), SHM_ECORRUPT);
}

static void retired_body_in_no_list_is_found(void **state)
{
    struct fixture *f = *state;
    struct shm_verify_report report;
    fill(f);
    struct shm_control *control = shm_control();
    assert_true(control->retired.count > 1);
    control->retired.count--;
    control->retired.bytes -= 128;
    control->retired.head = control->retired.head->link;
    assert_int_equal(shm_store_verify(f->store, &report, NULL, NULL), SHM_ECORRUPT);
}

/* ---- while writers run ---- */

static void write_for_ever(struct fixture *f, int unused)
{
    struct shm_actor *actor;
    uint64_t turn = 1;
    (void)unused;
    if (shm_actor_join(&actor, f->store, SHM_ACTOR_WORKER, 1, &f->fault) != SHM_OK)
        _exit(1);
    for (;; turn = turn * UINT64_C(6364136223846793005) + 1442695040888963407) {
        uint8_t ids[1][SHM_ID_SIZE];
        uint8_t body[64] = {0};
        struct shm_new_user user = {.body = body, .body_len = (uint32_t)(20 + (turn >> 40) % 40)};
        uint64_t n = (turn >> 33) % 30000;
        user_id(user.id, n);
        user_id(ids[0], n);
        int rc = shm_users_update(actor, &user, 1, NULL);
        if (rc == SHM_ENOENT)
            rc = shm_users_insert(actor, &user, 1, NULL);
        else if (rc == SHM_OK && turn >> 62 == 0)
            rc = shm_users_delete(actor, (const uint8_t(*)[SHM_ID_SIZE])ids, 1, NULL);
        if (rc != SHM_OK && rc != SHM_EBUSY && rc != SHM_ENOENT && rc != SHM_EEXIST)
            _exit(2);
        shm_actor_offline(actor);
    }
}

static void print_fault(void *data, const char *line)
{
    (void)data;
    print_message("verify: %s\n", line);
}

static void verify_during_writes_passes_and_delays_them_little(void **state)
{
    enum { ROUNDS = 25, PAGES_LOCKED_MAX = 256 };
    struct fixture *f = *state;
    pid_t writer[2];
    fixture_close(f);
    f->config.max_users = 40000;
    assert_int_equal(fixture_reopen(f), SHM_OK);
    users_insert(f->actor, 0, 20000, 100);
    shm_actor_offline(f->actor);
    for (int i = 0; i < 2; i++)
        writer[i] = start_child(write_for_ever, f, 0);
    for (int i = 0; i < ROUNDS; i++) {
        struct shm_verify_report report;
        uint64_t version = __atomic_load_n(&shm_control()->version, __ATOMIC_ACQUIRE);
        while (__atomic_load_n(&shm_control()->version, __ATOMIC_ACQUIRE) < version + 100)
            usleep(100); /* lets them write */
        int rc = shm_store_verify(f->store, &report, print_fault, NULL);
        if (rc != SHM_OK)
            fail_msg("round %d: %s", i, shm_strerror(rc));
        assert_in_range(report.pages_locked, 0, PAGES_LOCKED_MAX);
        assert_true(report.users > 0);
        assert_int_equal(shm_control()->tracker, 0);
    }
    for (int i = 0; i < 2; i++) {
        int status;
        kill(writer[i], SIGKILL);
        waitpid(writer[i], &status, 0);
        assert_true(WIFSIGNALED(status));
    }
    shm_actor_reap(f->store);
    struct shm_info info;
    shm_store_info(f->store, &info);
    segment_check(f->store, info.users);
}

static void track_and_wait(struct fixture *f, int ready)
{
    struct shm_actor *actor;
    if (shm_actor_join(&actor, f->store, SHM_ACTOR_TOOL, 0, &f->fault) != SHM_OK)
        _exit(1);
    shm_control()->tracker = UINT64_C(1) + shm_actor_slot(actor);
    if (write(ready, "r", 1) == 1)
        pause();
}

static void one_process_verifies_at_a_time_and_a_dead_one_does_not_count(void **state)
{
    struct fixture *f = *state;
    struct shm_verify_report report;
    char byte;
    int pipe_fd[2];
    users_insert(f->actor, 0, 100, 10);
    assert_int_equal(pipe(pipe_fd), 0);
    pid_t pid = start_child(track_and_wait, f, pipe_fd[1]);
    assert_int_equal(read(pipe_fd[0], &byte, 1), 1);
    assert_int_equal(shm_store_verify(f->store, &report, NULL, NULL), SHM_EBUSY);
    users_insert(f->actor, 100, 200, 10);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    segment_check(f->store, 200);
    assert_int_equal(shm_control()->tracker, 0);
    close(pipe_fd[0]);
    close(pipe_fd[1]);
}

static void reaping_a_dead_verifier_ends_the_tracking(void **state)
{
    struct fixture *f = *state;
    char byte;
    int pipe_fd[2];
    assert_int_equal(pipe(pipe_fd), 0);
    pid_t pid = start_child(track_and_wait, f, pipe_fd[1]);
    assert_int_equal(read(pipe_fd[0], &byte, 1), 1);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    assert_true(shm_control()->tracker != 0);
    assert_int_equal(shm_actor_reap(f->store), 1);
    assert_int_equal(shm_control()->tracker, 0);
    close(pipe_fd[0]);
    close(pipe_fd[1]);
}

/* ---- progress and threads ---- */

static void count_call(void *data, const char *what, unsigned percent)
{
    unsigned *last = data;
    assert_in_range(percent, 0, 100);
    if (strcmp(what, "checking") != 0)
        return;
    assert_true(percent >= *last);
    *last = percent;
}

static void large_segment_is_checked_by_threads_with_equal_result(void **state)
{
    struct fixture *f = *state;
    unsigned last = 0;
    fixture_close(f);
    f->config.max_users = 300000;
    f->config.progress = count_call;
    f->config.progress_data = &last;
    assert_int_equal(fixture_reopen(f), SHM_OK);
    users_insert(f->actor, 0, 200000, 256);
    for (uint64_t n = 0; n < 200000; n += 3)
        update(f->actor, n);
    while (shm_maintain(f->actor) < 500)
        ;
    segment_check(f->store, 200000);
    fixture_close(f);
    assert_int_equal(fixture_reopen(f), SHM_OK);
    segment_check(f->store, 200000);
    /* A wrong link in the list is found, whichever thread checks that piece. */
    struct shm_node *node = user_node(f->actor, 123457), *other = user_node(f->actor, 77777);
    struct shm_verify_report report;
    struct cds_list_head *was = node->order.next;
    node->order.next = &other->order;
    assert_int_equal(shm_store_verify(f->store, &report, NULL, NULL), SHM_ECORRUPT);
    node->order.next = was;
    segment_check(f->store, 200000);
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        WITH(every_flipped_bit_of_the_control_pages_is_found),
        WITH(flipped_bits_of_slots_are_found),
        WITH(every_flipped_bit_of_a_user_is_found),
        WITH(nodes_of_deleted_users_are_checked_until_freed),
        WITH(every_free_block_is_counted),
        WITH(two_users_with_one_key_are_found),
        WITH(retired_body_in_no_list_is_found),
        WITH(verify_during_writes_passes_and_delays_them_little),
        WITH(one_process_verifies_at_a_time_and_a_dead_one_does_not_count),
        WITH(reaping_a_dead_verifier_ends_the_tracking),
        WITH(large_segment_is_checked_by_threads_with_equal_result),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
