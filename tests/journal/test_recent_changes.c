/* SPDX-License-Identifier: MIT */
/* The newest changes, compared with a plain way to find them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "journal/recent_changes.h"

enum { MOST = 200000 };

static uint64_t versions[MOST], sorted[MOST];
static uint64_t random_state = 1;

static uint64_t next_random(void)
{
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return random_state >> 24;
}

static int compare_versions(const void *a, const void *b)
{
    uint64_t one = *(const uint64_t *)a, two = *(const uint64_t *)b;
    return one < two ? -1 : one > two;
}

/* Whatever is collected: it is all of the commits after recent.from, in order, and no fewer than
 * can be with whole commits. */
static void check(size_t count, uint64_t from, uint64_t largest_commit)
{
    struct recent_changes recent;
    assert_true(recent_begin(&recent, from));
    for (size_t i = 0; i < count; i++) {
        uint8_t id[SHM_ID_SIZE];
        memset(id, (int)(i % 251), sizeof(id));
        recent_add(&recent, versions[i], i % 2 == 0 ? SHM_UPDATED : SHM_DELETED, i, id);
    }
    recent_finish(&recent);
    memcpy(sorted, versions, count * sizeof(*sorted));
    qsort(sorted, count, sizeof(*sorted), compare_versions);
    size_t first = 0;
    while (first < count && sorted[first] <= recent.from)
        first++;
    assert_int_equal(recent.count, count - first);
    assert_true(recent.count <= RECENT_MAX);
    assert_true(recent.from == from || recent.count + largest_commit >= RECENT_MAX);
    for (size_t i = 0; i < recent.count; i++) {
        const struct shm_change *change = &recent.changes[i];
        assert_int_equal(change->version, sorted[first + i]);
        assert_int_equal(change->version, versions[change->seq]);
        assert_int_equal(change->kind, change->seq % 2 == 0 ? SHM_UPDATED : SHM_DELETED);
        assert_int_equal(change->id[3], change->seq % 251);
    }
    recent_free(&recent);
}

static void few_changes_are_all_kept(void **state)
{
    (void)state;
    check(0, 0, 1);
    for (size_t i = 0; i < RECENT_MAX; i++)
        versions[i] = 1 + i;
    check(1, 0, 1);
    check(RECENT_MAX, 0, 1);
    check(RECENT_MAX, 100, 1);
    check(RECENT_MAX, RECENT_MAX, 1);
}

static void newest_of_many_are_kept_in_whatever_order_they_come(void **state)
{
    (void)state;
    static const size_t counts[] = {RECENT_MAX + 1, RECENT_ROOM, RECENT_ROOM + 1, MOST};
    for (size_t k = 0; k < 4; k++) {
        size_t count = counts[k];
        for (size_t i = 0; i < count; i++)
            versions[i] = 1 + i;
        check(count, 0, 1);
        for (size_t i = 0; i < count; i++)
            versions[i] = count - i;
        check(count, 7, 1);
        for (size_t i = count; i > 1; i--) {
            size_t other = next_random() % i;
            uint64_t version = versions[i - 1];
            versions[i - 1] = versions[other];
            versions[other] = version;
        }
        check(count, 0, 1);
    }
}

static void commits_are_kept_as_a_whole(void **state)
{
    (void)state;
    for (size_t i = 0; i < MOST; i++)
        versions[i] = 1 + i / 256;
    check(MOST, 0, 256);
    for (size_t i = 0; i < MOST; i++)
        versions[i] = 1 + next_random() % (MOST / 10);
    check(MOST, 0, 256);
    for (size_t i = 0; i < MOST; i++)
        versions[i] = 5;
    check(MOST, 0, MOST);
    check(MOST, 5, MOST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(few_changes_are_all_kept),
        cmocka_unit_test(newest_of_many_are_kept_in_whatever_order_they_come),
        cmocka_unit_test(commits_are_kept_as_a_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
