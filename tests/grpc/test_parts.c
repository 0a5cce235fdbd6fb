/* SPDX-License-Identifier: MIT */
/* The small parts: arena, timeout, names of statuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "grpc/arena.h"
#include "grpc/status.h"
#include "grpc/timeout.h"

static void arena_hands_out_aligned_memory_that_does_not_overlap(void **state)
{
    _Alignas(16) uint8_t first[100];
    uint8_t *given[500];
    struct grpc_arena arena;

    (void)state;
    grpc_arena_init(&arena, first, sizeof(first));
    for (size_t i = 0; i < 500; i++) {
        given[i] = grpc_arena_alloc(&arena, i * 3);
        assert_non_null(given[i]);
        assert_int_equal((uintptr_t)given[i] % GRPC_ARENA_ALIGN, 0);
        memset(given[i], (int)(i & 0xff), i * 3);
    }
    assert_ptr_equal(given[1], first);
    for (size_t i = 0; i < 500; i++) {
        for (size_t j = 0; j < i * 3; j++)
            assert_int_equal(given[i][j], i & 0xff);
    }
    grpc_arena_clear(&arena, false);
    assert_null(arena.blocks);
    assert_ptr_equal(grpc_arena_alloc(&arena, 1), first);
    grpc_arena_clear(&arena, false);
}

static void arena_wipes_what_it_handed_out(void **state)
{
    _Alignas(16) uint8_t first[64];
    struct grpc_arena arena;

    (void)state;
    grpc_arena_init(&arena, first, sizeof(first));
    memset(grpc_arena_alloc(&arena, 33), 'x', 33);
    memset(grpc_arena_alloc(&arena, 3000), 'x', 3000); /* a sanitizer finds a wipe past its end */
    grpc_arena_clear(&arena, true);
    for (size_t i = 0; i < 33; i++)
        assert_int_equal(first[i], 0);
}

static void arena_without_memory_says_so(void **state)
{
    struct grpc_arena arena;

    (void)state;
    grpc_arena_init(&arena, NULL, 0);
    assert_non_null(grpc_arena_alloc(&arena, 0));
    assert_null(grpc_arena_alloc(&arena, SIZE_MAX - 8));
    assert_non_null(grpc_arena_alloc(&arena, 40)); /* it still serves what there is memory for */
    grpc_arena_clear(&arena, false);
}

static void timeout_takes_each_unit_and_rounds_up(void **state)
{
    static const struct {
        const char *text;
        uint64_t ms;
    } good[] = {{"1H", 3600000},  {"2M", 120000},
                {"3S", 3000},     {"4m", 4},
                {"1u", 1},        {"1000u", 1},
                {"1001u", 2},     {"1n", 1},
                {"1000001n", 2},  {"0n", 0},
                {"0H", 0},        {"00000000S", 0},
                {"00000001m", 1}, {"99999999H", UINT64_C(99999999) * 3600000}};

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        uint64_t ms = 12345;
        assert_true(grpc_timeout_parse(good[i].text, strlen(good[i].text), &ms));
        assert_int_equal(ms, good[i].ms);
    }
}

static void timeout_refuses_what_is_malformed(void **state)
{
    static const char *const bad[] = {"",    "S",   "1",   "1s",   "1h",   "-1S",
                                      "+1S", " 1S", "1S ", "1.5S", "0x1S", "123456789S",
                                      "1SS", "1 S", "m1",  "inf"};
    uint64_t ms;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(grpc_timeout_parse(bad[i], strlen(bad[i]), &ms));
    assert_false(grpc_timeout_parse("1\0S", 3, &ms));
}

static void statuses_have_the_dashboards_names(void **state)
{
    (void)state;
    assert_string_equal(grpc_status_name(GRPC_OK), "OK");
    assert_string_equal(grpc_status_name(GRPC_CANCELLED), "Cancelled");
    assert_string_equal(grpc_status_name(GRPC_NOT_FOUND), "NotFound");
    assert_string_equal(grpc_status_name(GRPC_UNAUTHENTICATED), "Unauthenticated");
    for (int i = 0; i < GRPC_NUM_STATUSES; i++)
        assert_non_null(grpc_status_name((enum grpc_status)i));
    assert_string_equal(grpc_status_name((enum grpc_status)17), "Unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arena_hands_out_aligned_memory_that_does_not_overlap),
        cmocka_unit_test(arena_wipes_what_it_handed_out),
        cmocka_unit_test(arena_without_memory_says_so),
        cmocka_unit_test(timeout_takes_each_unit_and_rounds_up),
        cmocka_unit_test(timeout_refuses_what_is_malformed),
        cmocka_unit_test(statuses_have_the_dashboards_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
