/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/secret.h"

static void secret_memory_can_be_written_at_each_size(void **state)
{
    (void)state;
    for (size_t size = 1; size < 70000; size = size * 3 / 2 + 1) {
        uint8_t *memory = secret_alloc(size);
        assert_non_null(memory);
        assert_int_equal((uintptr_t)memory % _Alignof(max_align_t), 0);
        memset(memory, 's', size);
        secret_free(memory, size);
    }
    secret_free(NULL, 100);
}

/* The next piece of that size is the one that was freed, and its text is gone. */
static void secret_memory_is_overwritten_when_it_is_freed(void **state)
{
    (void)state;
    uint8_t *memory = secret_alloc(1000);
    assert_non_null(memory);
    memset(memory, 's', 1000);
    secret_free(memory, 1000);
    uint8_t *again = secret_alloc(1000);
    assert_non_null(again);
    for (size_t i = 0; i < 1000; i++)
        assert_int_not_equal(again[i], 's');
    secret_free(again, 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(secret_memory_can_be_written_at_each_size),
        cmocka_unit_test(secret_memory_is_overwritten_when_it_is_freed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
