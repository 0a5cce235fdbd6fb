/* SPDX-License-Identifier: MIT */
/* Checks the layout and the limits that docs/store.md describes. */
#include "shm/core/alloc.h"
#include "shm/core/layout.h"
#include "shm/core/mapping.h"
#include "shm/core/publication.h"
#include "shm/core/table_size.h"
#include "shm/table/tower.h"
#include "tests/shm/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KIB = 1024, MIB = 1024 * KIB };

static char *page; /* the document */

static int read_page(void **state)
{
    char path[4096];
    const char *srcdir = getenv("srcdir");
    snprintf(path, sizeof(path), "%s/docs/store.md", srcdir != NULL ? srcdir : "..");
    FILE *file = fopen(path, "r");
    (void)state;
    if (file == NULL)
        return -1;
    page = calloc(1, MIB);
    size_t size = page != NULL ? fread(page, 1, MIB - 1, file) : 0;
    fclose(file);
    return size > 0 ? 0 : -1;
}

static int free_page(void **state)
{
    (void)state;
    free(page);
    return 0;
}

static void says(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void says(const char *format, ...)
{
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (strstr(page, text) == NULL)
        fail_msg("docs/store.md does not say \"%s\"", text);
}

/* Formats a number with thousands separators: 1,048,576. */
static const char *grouped(uint64_t number)
{
    static char texts[4][32];
    static unsigned turn;
    char digits[24];
    char *to = texts[turn++ % 4], *start = to;
    int count = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)number);
    for (int i = 0; i < count; i++) {
        if (i > 0 && (count - i) % 3 == 0)
            *to++ = ',';
        *to++ = digits[i];
    }
    *to = '\0';
    return start;
}

/* ---- the byte map ---- */

static void segment_lies_as_the_byte_map_says(void **state)
{
    (void)state;
#ifdef __x86_64__
    says("`0x%llx` on", (unsigned long long)SHM_BASE);
#endif
    says("\n| 0 | page 0: ");
    says("\n| %d KiB | control page |", SHM_CONTROL_AT / KIB);
    says("\n| %d KiB | redo log, %s entries |", SHM_LOG_AT / KIB, grouped(SHM_LOG_MAX));
    says("\n| %d KiB | change feed, %s entries |", SHM_FEED_AT / KIB, grouped(SHM_FEED_SIZE));
    says("\n| %d KiB | dirty map: one bit per page, modulo %s pages |", SHM_DIRTY_AT / KIB,
         grouped(SHM_DIRTY_BITS));
    says("\n| %d MiB | %s slots of two pages; memory is allocated for sixteen slots at a time |",
         SHM_SLOTS_AT / MIB, grouped(SHM_SLOTS));
    says("\n| %d MiB | arena: extents of %d KiB: ", SHM_ARENA_AT / MIB, SHM_EXTENT / KIB);
    assert_int_equal(SHM_SLOTS_STEP, 16);
}

/* A row of the map: from one field up to, but not including, another. */
#define ROW(type, from, upto, text)                                                                \
    says("\n| %zu-%zu | %s", offsetof(struct type, from), offsetof(struct type, upto) - 1, text)

static void control_page_and_slots_lie_as_the_byte_map_says(void **state)
{
    char text[64];
    (void)state;
    ROW(shm_control, version, writer, "`version`, ");
    ROW(shm_control, writer, users, "the writer lock ");
    ROW(shm_control, users, order, "users, last seq, ");
    ROW(shm_control, order, alloc, "head of the order list; ");
    snprintf(text, sizeof(text), "allocator: %d free lists, ", SHM_CLASSES);
    ROW(shm_control, alloc, index, text);
    snprintf(text, sizeof(text), "sparse index: first tower and tail word of each of %d levels",
             SHM_LEVELS);
    ROW(shm_control, index, retired, text);
    ROW(shm_control, retired, held_count, "the queues ");
    ROW(shm_control, held_count, rebuild, "memory held for pins: ");
    ROW(shm_control, rebuild, feed_first, "progress of rebuilding a table ");
    ROW(shm_control, feed_first, disk, "where the feed began");
    ROW(shm_control, disk, requests, "the data file: ");
    ROW(shm_control, requests, index_from, "the requests that were done: ");
    ROW(shm_control, index_from, reserved, "from which commit on");
    says("\nA slot, %zu KiB:", sizeof(struct shm_slot) / KIB);
    ROW(shm_slot, life, state, "the life mutex");
    ROW(shm_slot, state, ctr, "state, pid, kind, number ");
    ROW(shm_slot, ctr, started_at, "`ctr`: ");
    ROW(shm_slot, started_at, reserve, "start time, ");
    ROW(shm_slot, reserve, waits, "`reserve`: ");
    ROW(shm_slot, waits, reserved, "`waits`: ");
    says("\n| %zu- | %d pins of one cache line each: ", offsetof(struct shm_slot, pins), SHM_PINS);
}

#define SIZE(type, field) sizeof(((struct type *)0)->field)

static void records_lie_as_the_document_says(void **state)
{
    (void)state;
    says("shm_node, %zu bytes  ", sizeof(struct shm_node));
    says(" %zu  order %zu | born %zu | died %zu | unique %d x %zu ",
         offsetof(struct shm_node, order), SIZE(shm_node, order), SIZE(shm_node, born),
         SIZE(shm_node, died), SHM_KEYS, SIZE(shm_node, unique[0]));
    says(" %zu  hash %zu | check %zu | state %zu | seq %zu ", offsetof(struct shm_node, hash),
         SIZE(shm_node, hash), SIZE(shm_node, check), SIZE(shm_node, state), SIZE(shm_node, seq));
    says(" %zu  by_id %zu | id %zu | body %zu\n", offsetof(struct shm_node, by_id),
         SIZE(shm_node, by_id), SIZE(shm_node, id), SIZE(shm_node, body));
    says("shm_body, %zu bytes and the bytes\n", sizeof(struct shm_body));
    says("link %zu | prev %zu | from %zu | born %zu | died %zu |\n", SIZE(shm_body, link),
         SIZE(shm_body, prev), SIZE(shm_body, from), SIZE(shm_body, born), SIZE(shm_body, died));
    says("token %zu | check %zu | length %zu | hidden and state %zu | bytes\n",
         SIZE(shm_body, token), SIZE(shm_body, check), SIZE(shm_body, length),
         SIZE(shm_body, word) - SIZE(shm_body, check) - SIZE(shm_body, length));
    says("each takes at least %llu bytes,",
         (unsigned long long)(sizeof(struct shm_node) +
                              shm_class_size(shm_class_of(sizeof(struct shm_body) + 1))));
}

/* ---- limits ---- */

static void limits_are_those_of_the_document(void **state)
{
    (void)state;
    says("\n| a body | 1 to %s bytes |", grouped(SHM_BODY_MAX));
    says("\n| a commit | %d users |", SHM_BATCH_MAX);
    says("\n| users | %s, ", grouped(UINT64_C(1) << 32));
    says(SHM_SIZE_MAX_GIB == 40 ? ", %d GiB elsewhere" : "\n| a segment | %d GiB of address space",
         SHM_SIZE_MAX_GIB);
    says("\n| processes at once, tools and masters included | %s |", grouped(SHM_SLOTS));
    says("\n| versions that one process keeps open for snapshots | %d;", SHM_PINS);
    says("\n| unique keys | two, of up to %d bytes |", SHM_KEY_MAX);
    assert_int_equal(SHM_KEYS, 2);
    says("\n| changes that a follower may be behind | %s |",
         grouped(SHM_FEED_SIZE - SHM_BATCH_MAX));
    says("\n| changes that the data file may be behind | %s |", grouped(SHM_BACKLOG_MAX));
    says("\n| a data file's path | %s bytes |", grouped(SHM_DATA_FILE_MAX - 1));
    says("\n| memory that a process has reserved for a batch | 1 MiB |");
    assert_true(SHM_BATCH_MAX *
                    shm_class_size(shm_class_of(sizeof(struct shm_body) + SHM_BODY_MAX)) <=
                MIB);
}

static void more_users_than_the_limit_are_refused(void **state)
{
    struct fixture *f = *state;
    fixture_close(f);
    f->config.max_users = (UINT64_C(1) << 32) + 1;
    for (int made = 1; made >= 0; made--) { /* of an existing segment, and of a new one */
        assert_int_equal(fixture_reopen(f), SHM_EINVAL);
        assert_non_null(strstr(f->fault.text, "max-users 4294967297"));
        assert_int_equal(shm_store_unlink(f->name, NULL), made == 1 ? SHM_OK : SHM_ENOSEG);
    }
    f->config.max_users = 1000;
    assert_int_equal(fixture_reopen(f), SHM_OK);
}

/* ---- records in memory ---- */

static struct shm_node *node_of(struct shm_actor *actor, uint64_t n)
{
    struct shm_user user;
    uint8_t id[SHM_ID_SIZE];
    user_id(id, n);
    assert_int_equal(shm_user_find(actor, id, &user), SHM_OK);
    return caa_container_of((uint8_t *)(uintptr_t)user.id, struct shm_node, id[0]);
}

/* All users except those at an extent's end, and those followed by a tower. */
static void users_lie_in_sequence_each_body_after_its_node(void **state)
{
    enum { USERS = 900 };
    struct fixture *f = *state;
    uintptr_t expected = 0;
    unsigned elsewhere = 0;
    users_insert(f->actor, 0, USERS, 30);
    for (uint64_t n = 0; n < USERS; n++) {
        const struct shm_node *node = node_of(f->actor, n);
        assert_ptr_equal(node->body, node + 1);
        elsewhere += (uintptr_t)node != expected;
        expected = (uintptr_t)node->body +
                   shm_class_size(shm_class_of(sizeof(*node->body) + node->body->length));
    }
    assert_true(elsewhere < USERS / 20);
}

static void update_leaves_the_node_alone(void **state)
{
    static uint8_t body[300];
    struct fixture *f = *state;
    struct shm_new_user user = {.body = body, .body_len = sizeof(body)};
    users_insert(f->actor, 0, 50, 5);
    struct shm_node *node = node_of(f->actor, 20), before = *node;
    user_id(user.id, 20);
    assert_int_equal(shm_users_update(f->actor, &user, 1, NULL), SHM_OK);
    assert_ptr_equal(node_of(f->actor, 20), node);
    assert_ptr_not_equal(node->body, before.body);
    before.body = node->body;
    assert_memory_equal(node, &before, sizeof(before));
}

static void each_segment_has_a_hash_key_of_its_own(void **state)
{
    struct fixture *f = *state;
    uint8_t secret[SHM_SECRET_SIZE];
    memcpy(secret, shm_header()->secret, sizeof(secret));
    fixture_close(f);
    assert_int_equal(fixture_reopen(f), SHM_OK);
    /* The secret never changes. */
    assert_memory_equal(secret, shm_header()->secret, sizeof(secret));
    fixture_close(f);
    assert_int_equal(shm_store_unlink(f->name, NULL), SHM_OK);
    assert_int_equal(fixture_reopen(f), SHM_OK);
    assert_memory_not_equal(secret, shm_header()->secret, sizeof(secret));
}

static void tables_have_one_bucket_per_possible_user(void **state)
{
    static const uint64_t sizes[] = {1, 1000, 8192, 8193, 100000, UINT64_C(1) << 32};
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        uint64_t buckets = shm_bucket_count(sizes[i]);
        assert_true(buckets >= sizes[i] && (buckets & (buckets - 1)) == 0);
    }
    fixture_close(f);
    f->config.max_users = 8193;
    assert_int_equal(fixture_reopen(f), SHM_OK);
    assert_true(shm_control()->ids.count >= 8193);
}

/* ---- the index by sequence ---- */

static void one_user_in_64_has_a_tower(void **state)
{
    enum { HASHES = 1 << 20 };
    unsigned of_height[SHM_LEVELS + 1] = {0};
    uint64_t hash = 1;
    (void)state;
    for (unsigned i = 0; i < HASHES; i++) {
        hash = (hash + UINT64_C(0x9e3779b97f4a7c15));
        uint64_t mixed = (hash ^ hash >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        mixed = (mixed ^ mixed >> 27) * UINT64_C(0x94d049bb133111eb);
        of_height[shm_tower_height(mixed ^ mixed >> 31)]++;
    }
    unsigned towers = HASHES - of_height[0], high = towers - of_height[1];
    assert_in_range(towers, HASHES / 64 * 95 / 100, HASHES / 64 * 105 / 100);
    /* So a search takes log n steps. */
    assert_in_range(high, towers / 4 * 90 / 100, towers / 4 * 110 / 100);
}

/* ---- the slots' memory ---- */

static void slots_are_given_memory_sixteen_at_a_time(void **state)
{
    struct fixture *f = *state;
    struct shm_actor *actors[2 * SHM_SLOTS_STEP];
    for (unsigned i = 1; i <= SHM_SLOTS_STEP; i++) {
        assert_int_equal(shm_control()->slots_ready, SHM_SLOTS_STEP);
        assert_int_equal(shm_actor_join(&actors[i], f->store, SHM_ACTOR_TOOL, i, &f->fault),
                         SHM_OK);
    }
    assert_int_equal(shm_control()->slots_ready, 2 * SHM_SLOTS_STEP);
    for (unsigned i = 1; i <= SHM_SLOTS_STEP; i++)
        shm_actor_leave(actors[i]);
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(segment_lies_as_the_byte_map_says),
        cmocka_unit_test(control_page_and_slots_lie_as_the_byte_map_says),
        cmocka_unit_test(records_lie_as_the_document_says),
        cmocka_unit_test(limits_are_those_of_the_document),
        cmocka_unit_test(one_user_in_64_has_a_tower),
        WITH(more_users_than_the_limit_are_refused),
        WITH(users_lie_in_sequence_each_body_after_its_node),
        WITH(update_leaves_the_node_alone),
        WITH(each_segment_has_a_hash_key_of_its_own),
        WITH(tables_have_one_bucket_per_possible_user),
        WITH(slots_are_given_memory_sixteen_at_a_time),
    };
    return cmocka_run_group_tests(tests, read_page, free_page);
}
