/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "user/uuid.h"

static const char canonical[] = "00112233-4455-4677-8899-aabbccddeeff";
static const uint8_t binary[UUID_SIZE] = {0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x46, 0x77,
                                          0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff};

static bool parse(uint8_t *uuid, const char *text)
{
    return uuid_parse(uuid, (const uint8_t *)text, strlen(text));
}

static void formats_as_rfc_9562_shows(void **state)
{
    (void)state;
    char text[UUID_TEXT_SIZE + 1] = {0};
    uuid_format(text, binary);
    assert_string_equal(text, canonical);
}

static void every_byte_value_survives_the_round_trip(void **state)
{
    (void)state;
    for (unsigned value = 0; value < 256; value++) {
        uint8_t uuid[UUID_SIZE], back[UUID_SIZE];
        char text[UUID_TEXT_SIZE];
        for (unsigned i = 0; i < UUID_SIZE; i++)
            uuid[i] = (uint8_t)(value + 17 * i);
        uuid_format(text, uuid);
        assert_true(uuid_parse(back, (const uint8_t *)text, sizeof(text)));
        assert_memory_equal(back, uuid, UUID_SIZE);
    }
}

static void upper_case_is_read(void **state)
{
    (void)state;
    uint8_t uuid[UUID_SIZE];
    assert_true(parse(uuid, "00112233-4455-4677-8899-AABBccddEEFF"));
    assert_memory_equal(uuid, binary, UUID_SIZE);
}

static void any_other_character_anywhere_is_refused(void **state)
{
    (void)state;
    uint8_t uuid[UUID_SIZE];
    for (size_t at = 0; at < UUID_TEXT_SIZE; at++) {
        for (unsigned c = 0; c < 256; c++) {
            uint8_t text[UUID_TEXT_SIZE];
            memcpy(text, canonical, sizeof(text));
            text[at] = (uint8_t)c;
            bool dash = canonical[at] == '-';
            bool hex = c != 0 && strchr("0123456789abcdefABCDEF", (int)c) != NULL;
            assert_int_equal(uuid_parse(uuid, text, sizeof(text)), dash ? c == '-' : hex);
        }
    }
}

static void any_other_length_is_refused(void **state)
{
    (void)state;
    uint8_t uuid[UUID_SIZE];
    assert_false(parse(uuid, ""));
    assert_false(parse(uuid, "00112233-4455-4677-8899-aabbccddeef"));
    assert_false(parse(uuid, "00112233-4455-4677-8899-aabbccddeeff0"));
    assert_false(parse(uuid, "00112233445546778899aabbccddeeff"));
    assert_false(parse(uuid, "{00112233-4455-4677-8899-aabbccddeeff}"));
}

static void random_ones_are_version_4_and_differ(void **state)
{
    (void)state;
    static struct uuid_source source;
    static uint8_t all[1000][UUID_SIZE]; /* several refills */
    for (size_t i = 0; i < 1000; i++) {
        uuid_random(&source, all[i]);
        assert_int_equal(all[i][6] >> 4, 4);
        assert_int_equal(all[i][8] >> 6, 2);
        for (size_t k = 0; k < i; k++)
            assert_memory_not_equal(all[i], all[k], UUID_SIZE);
    }
}

static void used_bytes_are_erased(void **state)
{
    (void)state;
    static struct uuid_source source;
    static const uint8_t zeros[UUID_SIZE];
    uint8_t uuid[UUID_SIZE];
    uuid_random(&source, uuid);
    assert_memory_equal(source.bytes + source.left, zeros, UUID_SIZE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats_as_rfc_9562_shows),
        cmocka_unit_test(every_byte_value_survives_the_round_trip),
        cmocka_unit_test(upper_case_is_read),
        cmocka_unit_test(any_other_character_anywhere_is_refused),
        cmocka_unit_test(any_other_length_is_refused),
        cmocka_unit_test(random_ones_are_version_4_and_differ),
        cmocka_unit_test(used_bytes_are_erased),
    };
    return cmocka_run_group_tests_name("uuid", tests, NULL, NULL);
}
