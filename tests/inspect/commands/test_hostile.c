/* SPDX-License-Identifier: MIT */
/* The reading commands on segments that are damaged, read-only, or have no free slot. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/container_of.h"
#include "shm/core/hash.h"
#include "tests/inspect/tool.h"

static struct shm_control *control(void)
{
    return (struct shm_control *)(uintptr_t)(SHM_BASE + SHM_CONTROL_AT);
}

static struct shm_node *node_after(const struct cds_list_head *link)
{
    return container_of(link->next, struct shm_node, order);
}

static struct shm_node *nth(uint64_t n)
{
    struct shm_node *node = node_after(&control()->order);
    while (--n > 0)
        node = node_after(&node->order);
    return node;
}

static void assert_corrupt(const char *command, const char *argument, const char *what)
{
    struct tool_result got = tool_run(ON_SEGMENT, command, argument, NULL);
    /* stderr has one line, or a line for each user that cannot be read */
    if (got.exit != 4 || strstr(got.err, "corrupt") == NULL || strstr(got.err, what) == NULL)
        fail_msg("%s: exit %d, wanted 4 and \"%s\": %s", command, got.exit, what, got.err);
    tool_free(&got);
}

/* ---- one damage at a time ---- */

static void a_node_of_another_user_in_a_chain_is_named(void **state)
{
    (void)state;
    segment_insert_three(segment_open());
    nth(2)->hash ^= 1;
    assert_corrupt("list", NULL, "user number 2: its checksum is wrong");
    segment_close();
}

static void a_body_of_another_user_is_named(void **state)
{
    (void)state;
    segment_insert_three(segment_open());
    nth(1)->body = nth(2)->body;
    assert_corrupt("list", NULL, "user number 1: its chain of bodies is broken");
    assert_corrupt("get", ID_1, "user number 1: its chain of bodies is broken");
    segment_close();
}

static void a_flipped_bit_of_a_body_is_named_and_the_others_are_listed(void **state)
{
    (void)state;
    segment_insert_three(segment_open());
    nth(2)->body->bytes[3] ^= 1;
    struct tool_result got = tool_run(ON_SEGMENT, "list", NULL);
    tool_assert_failed(&got, 4, "user number 2: its body's checksum is wrong");
    assert_non_null(strstr(got.out, ID_1));
    assert_null(strstr(got.out, ID_2));
    assert_non_null(strstr(got.out, ID_3));
    tool_free(&got);
    assert_corrupt("get", ID_2, "user number 2: its body's checksum is wrong");
    segment_close();
}

/* A hidden part that is too long would lead the reader out of its own memory; one that is flipped
 * is noticed like any body. */
static void a_damaged_hidden_part_is_named(void **state)
{
    struct user_label label = {text_make("team"), text_make("blue")};
    struct user_record ann = {
        .fields = {.username = text_make("ann")}, .labels = &label, .num_labels = 1};
    (void)state;
    segment_insert_record(segment_open(), 1, &ann);
    struct shm_body *body = nth(1)->body;
    uint64_t word = body->word, lengths = (UINT64_C(1) << 12) - 1;
    assert_true(body->hidden > 0);
    for (uint64_t hidden = SHM_BODY_MAX - body->length; hidden <= lengths; hidden++) {
        body->word = (word & ~(lengths << SHM_BODY_HIDDEN_SHIFT)) | hidden << SHM_BODY_HIDDEN_SHIFT;
        bool fits = hidden == SHM_BODY_MAX - (uint64_t)body->length;
        assert_corrupt("list", NULL,
                       fits ? "user number 1: its body's checksum is wrong"
                            : "user number 1: its body's length is wrong");
        assert_corrupt("get", ID_1, fits ? "checksum is wrong" : "its body's length is wrong");
    }
    body->word = word;
    body->bytes[body->length] ^= 1;
    assert_corrupt("list", NULL, "user number 1: its body's checksum is wrong");
    body->bytes[body->length] ^= 1;
    segment_close();
    segment_assert_verified();
}

static void bodies_in_a_ring_end(void **state)
{
    (void)state;
    segment_insert_three(segment_open());
    nth(1)->body->born = control()->version + 1;
    nth(1)->body->prev = nth(1)->body;
    assert_corrupt("list", NULL, "user number 1: its chain of bodies is broken");
    segment_close();
}

static void a_chain_of_the_hash_table_in_a_ring_ends(void **state)
{
    (void)state;
    segment_insert_three(segment_open());
    uint64_t mask = control()->ids.count - 1;
    struct shm_node *node = nth(2);
    /* The user that is looked for is not in the ring, but the search enters the ring. */
    node->by_id.next = &node->by_id;
    control()->ids.buckets[nth(1)->hash & mask].next = &node->by_id;
    assert_corrupt("get", ID_1, "wrong chain");
    segment_close();
}

/* Writes the text of another id whose hash falls into the bucket. */
static void id_of_bucket(char text[37], uint64_t bucket)
{
    const struct shm_header *header = (const struct shm_header *)(uintptr_t)SHM_BASE;
    uint8_t b[SHM_ID_SIZE] = {0};
    for (uint32_t n = 1; (shm_hash_id(header, b) & (control()->ids.count - 1)) != bucket; n++)
        memcpy(b, &n, sizeof(n));
    snprintf(text, 37, "%02x%02x%02x%02x-0000-0000-0000-000000000000", b[0], b[1], b[2], b[3]);
}

/* All nodes of the ring belong to the chain, but the sequence numbers do not fall along it as they
 * must. */
static void a_ring_of_nodes_that_belong_there_ends(void **state)
{
    char id[37];
    (void)state;
    segment_insert_three(segment_open());
    struct shm_node *node = nth(2);
    uint64_t bucket = node->hash & (control()->ids.count - 1);
    node->by_id.next = &node->by_id;
    control()->ids.buckets[bucket].next = &node->by_id;
    id_of_bucket(id, bucket);
    assert_corrupt("get", id, "user number 2 is behind number 2 in a chain");
    segment_close();
}

static void a_hash_table_out_of_place_is_named(void **state)
{
    (void)state;
    segment_insert_three(segment_open());
    control()->ids.count = UINT64_C(1) << 39;
    assert_corrupt("get", ID_1, "a hash table's place is wrong");
    segment_close();
}

static void a_broken_index_is_named(void **state)
{
    (void)state;
    segment_insert_three(segment_open());
    for (unsigned level = 0; level < SHM_LEVELS; level++)
        control()->index[level] = (struct shm_tower *)(uintptr_t)(SHM_BASE + 8);
    struct tool_result got = tool_run(ON_SEGMENT, "list", "--after", "1", NULL);
    tool_assert_failed(&got, 4, "the index by sequence number is broken");
    tool_free(&got);
    segment_close();
}

static void a_lock_that_is_none_is_not_taken(void **state)
{
    (void)state;
    segment_insert_three(segment_open());
    struct shm_slot *slot = (struct shm_slot *)(uintptr_t)(SHM_BASE + SHM_SLOTS_AT);
    memset(&slot[3].life, 0x55, sizeof(slot[3].life));
    assert_corrupt("list", NULL, "slot 3's lock is not a robust mutex");
    segment_close();
}

/* A server that died in a rebuild leaves neither table complete. */
static void while_tables_are_rebuilt_users_are_found_by_the_list(void **state)
{
    (void)state;
    segment_insert_three(segment_open());
    /* Any table will do: `done` says that all users have been moved. */
    control()->rebuild.to = control()->ids;
    memset(control()->ids.buckets, 0, control()->ids.count * sizeof(*control()->ids.buckets));
    struct tool_result got = tool_run(ON_SEGMENT, "get", ID_2, NULL);
    assert_string_equal(got.err, "");
    assert_int_equal(got.exit, 0);
    assert_non_null(strstr(got.out, "username  bob\n"));
    tool_free(&got);
    got = tool_run(ON_SEGMENT, "get", "09090909-0909-0909-0909-090909090909", NULL);
    tool_assert_failed(&got, 1, "no user 09090909");
    tool_free(&got);
    got = tool_run(ON_SEGMENT, "status", NULL);
    assert_non_null(strstr(got.out, "rebuild         unfinished"));
    tool_free(&got);
    segment_close();
}

/* ---- many at random ---- */

/* xorshift: the damage is the same in each run, so that a failure can be reproduced. */
static uint64_t random_word(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static uint64_t *random_target(uint64_t *seed)
{
    uint64_t word = random_word(seed);
    switch (word % 4) {
    case 0: /* the control page without its bounds, which the attach checks */
        return &control()->alloc[word / 4 % SHM_ALLOC_WORDS];
    case 1:
        return (uint64_t *)&control()->order + word / 4 % 8;
    case 2:
        return (uint64_t *)nth(1 + word / 4 % 3) + word / 16 % (sizeof(struct shm_node) / 8);
    default:
        return (uint64_t *)nth(1 + word / 4 % 3)->body + word / 16 % (sizeof(struct shm_body) / 8);
    }
}

static uint64_t random_value(uint64_t *seed, uint64_t old)
{
    uint64_t word = random_word(seed);
    switch (word % 4) {
    case 0:
        return old ^ UINT64_C(1) << (word / 4 % 64);
    case 1:
        return random_word(seed);
    case 2:
        return (uint64_t)(uintptr_t)nth(1 + word / 4 % 3);
    default:
        return 0;
    }
}

static void no_damaged_word_crashes_or_hangs_a_reading_command(void **state)
{
    static const char *const commands[][3] = {
        {"list"}, {"get", ID_2}, {"get", "--username", "bob"}, {"list", "--after", "2"}};
    uint64_t seed = 88172645463325252u;
    (void)state;
    segment_insert_three(segment_open());
    for (unsigned i = 0; i < 150; i++) {
        uint64_t *word = random_target(&seed);
        uint64_t old = *word;
        uint64_t value = random_value(&seed, old);
        *word = value;
        const char *const *args = commands[i % 4];
        struct tool_result got = tool_run(ON_SEGMENT, args[0], args[1], args[2], NULL);
        bool lines = got.err[0] == '\0' || got.err[strlen(got.err) - 1] == '\n';
        if ((got.exit != 0 && got.exit != 1 && got.exit != 4) || !lines)
            fail_msg("word at %p = %llx: %s ended with %d: %s", (void *)word,
                     (unsigned long long)value, args[0], got.exit, got.err);
        tool_free(&got);
        *word = old;
    }
    segment_close();
}

/* ---- without protection ---- */

/* Asserts that the three users are listed, with a warning that contains `why`. */
static void assert_unprotected_list(const char *why)
{
    struct tool_result got = tool_run(ON_SEGMENT, "list", NULL);
    tool_assert_failed(&got, 0, "unprotected: ");
    assert_non_null(strstr(got.err, why));
    assert_non_null(strstr(got.out, ID_1));
    assert_non_null(strstr(got.out, ID_2));
    assert_non_null(strstr(got.out, ID_3));
    tool_free(&got);
    got = tool_run(ON_SEGMENT, "get", ID_2, NULL);
    tool_assert_failed(&got, 0, "unprotected: ");
    assert_non_null(strstr(got.out, "username  bob\n"));
    tool_free(&got);
}

static void without_the_right_to_write_a_reader_is_unprotected(void **state)
{
    char path[128];
    (void)state;
    if (geteuid() != 0) {
        print_message("needs root, to become another user\n");
        skip();
    }
    segment_insert_three(segment_open());
    snprintf(path, sizeof(path), "/dev/shm%s", segment_name());
    tool_as_nobody(true);
    struct tool_result got = tool_run(ON_SEGMENT, "list", NULL);
    tool_assert_failed(&got, 1, "Permission denied");
    tool_free(&got);
    assert_int_equal(chmod(path, 0644), 0);
    assert_unprotected_list("no right to write");
    got = tool_run(ON_SEGMENT, "list", "--after", "1", "--limit", "1", NULL);
    assert_int_equal(got.exit, 0);
    assert_memory_equal(got.out, "2\t" ID_2, 2 + 36);
    tool_free(&got);
    got = tool_run(ON_SEGMENT, "status", NULL);
    assert_int_equal(got.exit, 0);
    tool_free(&got);
    for (size_t i = 0; i < 2; i++) { /* they need a lock, or the right to remove the file */
        got = tool_run(ON_SEGMENT, i == 0 ? "unlink" : "verify", NULL);
        tool_assert_failed(&got, 1, segment_name());
        tool_free(&got);
    }
    for (size_t i = 0; i < 3; i++) {
        static const char *const commands[] = {"workers", "readers", "status"};
        got = tool_run(ON_SEGMENT, commands[i], NULL);
        assert_string_equal(got.err, "");
        assert_int_equal(got.exit, 0);
        tool_free(&got);
    }
    got = tool_run(ON_SEGMENT, "tail", "--from", "0", "--limit", "1", NULL);
    tool_assert_failed(&got, 0, "unprotected");
    assert_string_equal(got.out, "1\tcreated\t" ID_1 "\tada\n");
    tool_free(&got);
    segment_close();
    assert_unprotected_list("no right to write"); /* the same after the server's death */
    segment_open();
    nth(2)->body->bytes[3] ^= 1;
    got = tool_run(ON_SEGMENT, "list", NULL);
    assert_int_equal(got.exit, 4);
    assert_non_null(strstr(got.err, "user number 2: its body's checksum is wrong"));
    assert_non_null(strstr(got.out, ID_3));
    tool_free(&got);
    tool_as_nobody(false);
    segment_close();
}

/* Another process of the tool's user cannot look into it, and it leaves no core: its files in /proc
 * belong to root. */
static void reader_of_users_is_closed_to_its_own_user(void **state)
{
    char path[128];
    struct tool_running tail;
    struct stat st;
    (void)state;
    if (geteuid() != 0) {
        print_message("needs root, to become another user\n");
        skip();
    }
    segment_insert_three(segment_open());
    snprintf(path, sizeof(path), "/dev/shm%s", segment_name());
    assert_int_equal(chmod(path, 0644), 0);
    tool_as_nobody(true);
    tool_follow(&tail, ON_SEGMENT, "tail", "--from", "0", NULL);
    tool_as_nobody(false);
    assert_non_null(tool_line(&tail));
    snprintf(path, sizeof(path), "/proc/%d/environ", (int)tail.pid);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_uid, 0);
    kill(tail.pid, SIGTERM);
    struct tool_result got = tool_end(&tail);
    assert_int_equal(got.exit, 0);
    tool_free(&got);
}

static void without_a_free_slot_a_reader_is_unprotected(void **state)
{
    static struct shm_actor *actors[SHM_SLOTS];
    struct shm_store *store = segment_open();
    struct shm_fault fault = {{0}};
    (void)state;
    segment_insert_three(store);
    for (unsigned i = 0; i < SHM_SLOTS; i++)
        if (shm_actor_join(&actors[i], store, SHM_ACTOR_WORKER, i, &fault) != SHM_OK)
            fail_msg("%s", fault.text);
    assert_unprotected_list("no free slot");
    for (unsigned i = 0; i < SHM_SLOTS; i++)
        shm_actor_leave(actors[i]);
    segment_close();
}

static int teardown(void **state)
{
    tool_as_nobody(false);
    return segment_teardown(state);
}

int main(void)
{
#define BARE(test) cmocka_unit_test_teardown(test, teardown)
    const struct CMUnitTest tests[] = {
        BARE(a_node_of_another_user_in_a_chain_is_named),
        BARE(a_body_of_another_user_is_named),
        BARE(a_flipped_bit_of_a_body_is_named_and_the_others_are_listed),
        BARE(a_damaged_hidden_part_is_named),
        BARE(bodies_in_a_ring_end),
        BARE(a_chain_of_the_hash_table_in_a_ring_ends),
        BARE(a_ring_of_nodes_that_belong_there_ends),
        BARE(a_hash_table_out_of_place_is_named),
        BARE(a_broken_index_is_named),
        BARE(a_lock_that_is_none_is_not_taken),
        BARE(while_tables_are_rebuilt_users_are_found_by_the_list),
        BARE(no_damaged_word_crashes_or_hangs_a_reading_command),
        BARE(without_the_right_to_write_a_reader_is_unprotected),
        BARE(reader_of_users_is_closed_to_its_own_user),
        BARE(without_a_free_slot_a_reader_is_unprotected),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
