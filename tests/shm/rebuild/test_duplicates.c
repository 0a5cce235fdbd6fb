/* SPDX-License-Identifier: MIT */
/* Two users with the same id or the same key, which must not exist: verify finds them in a live
 * and in a dead segment, and a takeover refuses them. Also what verify reports for a chain that
 * is out of order. */
#include <stdio.h>
#include <string.h>

#include "shm/core/hash.h"
#include "shm/core/layout.h"
#include "shm/core/mapping.h"
#include "shm/core/test_points.h"
#include "shm/table/tower.h"
#include "tests/shm/support.h"

enum { BODY = 32, KEY_SIZE = 8, MANY = 100, TIMES = 2000 };

void (*shm_test_hook)(const char *point);

/* Makes key_of() return wrong keys for bodies in the segment, so that an insert sees no conflict.
 */
static bool lies;

/* Key 0 is the first bytes of a body, key 1 the next ones. */
static uint32_t key_of(unsigned key, const uint8_t *body, uint32_t body_len, uint8_t *out)
{
    uint64_t at = (uint64_t)(uintptr_t)body;
    (void)body_len;
    memcpy(out, body + (size_t)key * KEY_SIZE, KEY_SIZE);
    if (lies && at >= SHM_BASE && at < SHM_BASE + (UINT64_C(256) << 20))
        out[0] ^= 1;
    return KEY_SIZE;
}

static int setup(void **state)
{
    shm_test_hook = NULL;
    lies = false;
    if (fixture_setup(state) != 0)
        return -1;
    struct fixture *f = *state;
    fixture_close(f);
    if (shm_store_unlink(f->name, NULL) != SHM_OK)
        return -1;
    f->config.unique = 3;
    f->config.key_of = key_of;
    return fixture_reopen(f) == SHM_OK ? 0 : -1;
}

static void insert(struct fixture *f, uint64_t n, uint64_t one, uint64_t other)
{
    uint8_t body[BODY] = {0};
    struct shm_new_user user = {.body = body, .body_len = BODY};
    memcpy(body, &one, sizeof(one));
    memcpy(body + KEY_SIZE, &other, sizeof(other));
    user_id(user.id, n);
    assert_int_equal(shm_users_insert(f->actor, &user, 1, NULL), SHM_OK);
    shm_actor_offline(f->actor);
}

static void delete (struct fixture *f, uint64_t n)
{
    uint8_t ids[1][SHM_ID_SIZE];
    user_id(ids[0], n);
    assert_int_equal(shm_users_delete(f->actor, (const uint8_t(*)[SHM_ID_SIZE])ids, 1, NULL),
                     SHM_OK);
    shm_actor_offline(f->actor);
}

/* ---- what is found ---- */

static char lines[1000];

static void note_line(void *data, const char *line)
{
    (void)data;
    size_t used = strlen(lines);
    snprintf(lines + used, sizeof(lines) - used, "%s\n", line);
}

/* Asserts that verify reports this line and nothing else. NULL: nothing at all. */
static void assert_found(struct shm_store *store, const char *line)
{
    struct shm_verify_report report;
    lines[0] = '\0';
    int rc = shm_store_verify(store, &report, note_line, NULL);
    size_t len = line != NULL ? strlen(line) : 0;
    if (rc != (line != NULL ? SHM_ECORRUPT : SHM_OK) ||
        (line != NULL && (strncmp(lines, line, len) != 0 || strcmp(lines + len, "\n") != 0)))
        fail_msg("verify: %d: %s", rc, lines);
}

/* Asserts it in the live segment, then for a tool after the server has ended, then for the next
 * server. */
static void assert_found_by_all(struct fixture *f, const char *line)
{
    struct shm_store *store;
    assert_found(f->store, line);
    fixture_close(f);
    assert_int_equal(shm_store_attach(&store, f->name, SHM_ATTACH_READ, key_of, &f->fault), SHM_OK);
    assert_found(store, line);
    shm_store_close(store);
    assert_int_equal(fixture_reopen(f), SHM_ECORRUPT);
    if (strstr(f->fault.text, line) == NULL)
        fail_msg("%s", f->fault.text);
    f->actor = NULL;
    f->store = NULL;
}

static void second_user_with_a_key_is_found(void **state)
{
    struct fixture *f = *state;
    for (uint64_t n = 1; n <= 50; n++)
        insert(f, n, n, 1000 + n);
    lies = true;
    insert(f, 51, 51, 1007);
    lies = false;
    assert_found_by_all(f, "unique index 1: users 7 and 51 have the same key 1");
}

/* Returns the next number whose id lies in the same bucket and whose user has no tower. */
static uint64_t next_in_bucket(uint64_t bucket, uint64_t n)
{
    for (;; n++) {
        uint8_t id[SHM_ID_SIZE];
        user_id(id, n);
        uint64_t hash = shm_hash_id(shm_header(), id);
        if ((hash & (shm_control()->ids.count - 1)) == bucket && shm_tower_height(hash) == 0)
            return n;
    }
}

static struct shm_node *last_node(void)
{
    return caa_container_of(shm_control()->order.prev, struct shm_node, order);
}

static void take_id(struct shm_node *node, const struct shm_node *from)
{
    memcpy(node->id, from->id, SHM_ID_SIZE);
    node->hash = from->hash;
    node->check = shm_check_node(node);
}

/* Creates users of one bucket, and gives the last one the id of the first. @return the node of
 * the first */
static void fill_bucket(struct fixture *f, unsigned count)
{
    struct shm_node *first = NULL;
    uint64_t n = 0;
    for (unsigned i = 1; i <= count; i++) {
        n = next_in_bucket(5, n + 1);
        insert(f, n, i, 1000 + i);
        if (first == NULL)
            first = last_node();
    }
    take_id(last_node(), first);
}

static void second_user_with_an_id_is_found(void **state)
{
    struct fixture *f = *state;
    fill_bucket(f, 2);
    assert_found_by_all(f, "the hash table: users 1 and 2 have the same id");
}

static void second_user_in_a_long_chain_is_found(void **state)
{
    struct fixture *f = *state;
    fill_bucket(f, MANY);
    assert_found_by_all(f, "the hash table: users 1 and 100 have the same id");
}

static void without_key_of_only_ids_are_compared(void **state)
{
    struct fixture *f = *state;
    struct shm_store *store;
    insert(f, 1, 1, 1001);
    lies = true;
    insert(f, 2, 1, 1002);
    lies = false;
    fixture_close(f);
    assert_int_equal(shm_store_attach(&store, f->name, SHM_ATTACH_READ, NULL, &f->fault), SHM_OK);
    assert_found(store, NULL);
    shm_store_close(store);
    assert_int_equal(shm_store_unlink(f->name, NULL), SHM_OK);
    assert_int_equal(fixture_reopen(f), SHM_OK);
    fill_bucket(f, 2);
    fixture_close(f);
    assert_int_equal(shm_store_attach(&store, f->name, SHM_ATTACH_READ, NULL, &f->fault), SHM_OK);
    assert_found(store, "the hash table: users 1 and 2 have the same id");
    shm_store_close(store);
}

/* ---- what is no duplicate, and what it costs ---- */

static unsigned compared;

static void count_compared(const char *point)
{
    compared += strcmp(point, "residents compared") == 0;
}

static void deleted_users_with_the_same_id_and_key_are_no_fault_and_cost_nothing(void **state)
{
    struct fixture *f = *state;
    struct shm_actor *stopped;
    assert_int_equal(shm_actor_join(&stopped, f->store, SHM_ACTOR_WORKER, 1, &f->fault), SHM_OK);
    shm_actor_online(stopped);
    for (unsigned i = 0; i < TIMES; i++) {
        insert(f, 7, 7, 7);
        delete (f, 7);
    }
    insert(f, 7, 7, 7);
    compared = 0;
    shm_test_hook = count_compared;
    assert_found(f->store, NULL);
    assert_int_equal(compared, 0);
    shm_actor_leave(stopped);
}

static void long_chain_of_live_users_takes_no_quadratic_time(void **state)
{
    enum { LOG = 12 };
    struct fixture *f = *state;
    uint64_t n = 0;
    for (unsigned i = 0; i < 5 * MANY; i++) {
        n = next_in_bucket(5, n + 1);
        insert(f, n, i, 1000 + i);
    }
    compared = 0;
    shm_test_hook = count_compared;
    assert_found(f->store, NULL);
    assert_in_range(compared, 5 * MANY - 1, 5 * MANY * LOG);
}

/* ---- order ---- */

static void chain_out_of_order_is_found(void **state)
{
    struct fixture *f = *state;
    struct shm_verify_report report;
    uint64_t one = next_in_bucket(5, 1), other = next_in_bucket(5, one + 1);
    insert(f, one, 1, 1001);
    struct shm_node *older = last_node();
    insert(f, other, 2, 1002);
    struct shm_node *younger = last_node();
    struct cds_hlist_head *bucket = &shm_control()->ids.buckets[5];
    assert_ptr_equal(bucket->next, &younger->by_id);
    /* Linked in both directions, but the older one is first. */
    bucket->next = &older->by_id;
    older->by_id.prev = (struct cds_hlist_node *)bucket;
    older->by_id.next = &younger->by_id;
    younger->by_id.prev = &older->by_id;
    younger->by_id.next = NULL;
    lines[0] = '\0';
    assert_int_equal(shm_store_verify(f->store, &report, note_line, NULL), SHM_ECORRUPT);
    assert_string_equal(lines, "the hash table, bucket 5: user 2 is behind user 1\n");
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        WITH(second_user_with_a_key_is_found),
        WITH(second_user_with_an_id_is_found),
        WITH(second_user_in_a_long_chain_is_found),
        WITH(without_key_of_only_ids_are_compared),
        WITH(deleted_users_with_the_same_id_and_key_are_no_fault_and_cost_nothing),
        WITH(long_chain_of_live_users_takes_no_quadratic_time),
        WITH(chain_out_of_order_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
