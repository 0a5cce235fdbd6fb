/* SPDX-License-Identifier: MIT */
/* Hashes that other programs made are verified; wrong, damaged and too expensive ones are not. */
#include <crypt.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "password/password.h"
#include "tests/password/known_hashes.h"

enum { NUM_KNOWN = sizeof(known_hashes) / sizeof(known_hashes[0]) };

static const struct password_cost cheap = {.memory = PASSWORD_MEMORY_LEAST, .passes = 1};

static enum password_verdict verdict_of(const char *hash, const char *password, size_t len)
{
    bool replace;
    return password_verify(hash, password, len, &cheap, &PASSWORD_LIMITS_DEFAULT, &replace);
}

static bool wants_new(const char *hash, const char *password, const struct password_cost *cost)
{
    bool replace;
    assert_int_equal(
        password_verify(hash, password, strlen(password), cost, &PASSWORD_LIMITS_DEFAULT, &replace),
        PASSWORD_YES);
    return replace;
}

/* ---- right and wrong passwords ---- */

static void known_hashes_match_their_passwords_only(void **state)
{
    (void)state;
    for (size_t i = 0; i < NUM_KNOWN; i++) {
        const char *hash = known_hashes[i].hash, *password = known_hashes[i].password;
        char other[PASSWORD_MAX + 1];
        struct fault fault = {""};
        size_t len = strlen(password);
        if (!password_check_format(hash, &PASSWORD_LIMITS_DEFAULT, &fault))
            fail_msg("%s: %s", hash, fault.text);
        assert_int_equal(verdict_of(hash, password, len), PASSWORD_YES);
        memcpy(other, password, len);
        if (len != 0) {
            other[len / 2] ^= 1;
            assert_int_equal(verdict_of(hash, other, len), PASSWORD_NO);
            assert_int_equal(verdict_of(hash, password, len - 1), PASSWORD_NO);
        }
    }
}

static void new_hash_matches_its_password_only(void **state)
{
    (void)state;
    static const struct password_cost costs[] = {{1 << 20, 1}, {19 << 20, 2}};
    char hash[PASSWORD_HASH_MAX + 1], again[PASSWORD_HASH_MAX + 1];
    for (size_t i = 0; i < 2; i++) {
        assert_true(password_hash(hash, "with\0NUL", 8, &costs[i]));
        assert_true(password_hash(again, "with\0NUL", 8, &costs[i]));
        assert_string_not_equal(hash, again); /* the salt differs */
        assert_true(password_check_format(hash, &PASSWORD_LIMITS_DEFAULT, NULL));
        assert_int_equal(verdict_of(hash, "with\0NUL", 8), PASSWORD_YES);
        assert_int_equal(verdict_of(hash, "with\0NUM", 8), PASSWORD_NO);
        assert_int_equal(verdict_of(hash, "with", 4), PASSWORD_NO);
    }
    assert_non_null(strstr(hash, "$argon2id$v=19$m=19456,t=2,p=1$"));
}

static void password_that_is_too_long_is_unknown(void **state)
{
    (void)state;
    static char longer[PASSWORD_MAX + 1];
    memset(longer, 'z', sizeof(longer));
    for (size_t i = 0; i < NUM_KNOWN; i++)
        assert_int_equal(verdict_of(known_hashes[i].hash, longer, sizeof(longer)),
                         PASSWORD_UNKNOWN);
}

/* ---- what libcrypt does not see ---- */

#define BCRYPT_OF_72                                                                               \
    "$2a$05$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBui" /* "0123...", Openwall */
static const char bcrypt_long[] =
    "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789chars after 72 are "
    "ignored";

static void bcrypt_looks_at_72_bytes(void **state)
{
    (void)state;
    bool replace;
    char other[sizeof(bcrypt_long)];
    memcpy(other, bcrypt_long, sizeof(other));
    assert_int_equal(verdict_of(BCRYPT_OF_72, bcrypt_long, strlen(bcrypt_long)), PASSWORD_YES);
    assert_int_equal(verdict_of(BCRYPT_OF_72, bcrypt_long, 72), PASSWORD_YES);
    other[71] = 'x';
    assert_int_equal(verdict_of(BCRYPT_OF_72, other, 72), PASSWORD_NO);
    assert_int_equal(
        password_verify(BCRYPT_OF_72, bcrypt_long, 73, &cheap, &PASSWORD_LIMITS_DEFAULT, &replace),
        PASSWORD_YES);
    assert_false(replace); /* the 73rd byte may be mistyped */
    assert_int_equal(
        password_verify(BCRYPT_OF_72, bcrypt_long, 72, &cheap, &PASSWORD_LIMITS_DEFAULT, &replace),
        PASSWORD_YES);
    assert_true(replace);
}

/* The last digit of the salt has four bits that mean nothing; some programs set them. */
static void bcrypt_salt_may_have_unused_bits(void **state)
{
    (void)state;
    static const char odd[] = "$2a$05$CCCCCCCCCCCCCCCCCCCCC/E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";
    assert_int_equal(verdict_of(odd, "U*U", 3), PASSWORD_YES);
    assert_int_equal(verdict_of(odd, "U*V", 3), PASSWORD_NO);
}

static void nul_in_a_password_matches_no_hash_of_libcrypt(void **state)
{
    (void)state;
    static const char *hashes[] = {"$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
                                   "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5"};
    assert_int_equal(verdict_of(hashes[0], "U*U", 3), PASSWORD_YES);
    assert_int_equal(verdict_of(hashes[0], "U*U\0", 4), PASSWORD_NO);
    assert_int_equal(verdict_of(hashes[1], "Hello world!", 12), PASSWORD_YES);
    assert_int_equal(verdict_of(hashes[1], "Hello world!\0x", 14), PASSWORD_NO);
}

/* ---- replacing ---- */

static void weaker_and_other_hashes_are_replaced(void **state)
{
    (void)state;
    char hash[PASSWORD_HASH_MAX + 1];
    struct password_cost cost = {2 << 20, 2};
    assert_true(password_hash(hash, "hunter2", 7, &cost));
    assert_false(wants_new(hash, "hunter2", &cost));
    assert_false(wants_new(hash, "hunter2", &cheap));
    assert_true(wants_new(hash, "hunter2", &(struct password_cost){2 << 20, 3}));
    assert_true(wants_new(hash, "hunter2", &(struct password_cost){3 << 20, 2}));
    for (size_t i = 0; i < NUM_KNOWN; i++)
        assert_int_equal(wants_new(known_hashes[i].hash, known_hashes[i].password, &cheap),
                         strncmp(known_hashes[i].hash, "$argon2id$", 10) != 0);
}

/* ---- malformed hashes ---- */

static void check_refused(const char *hash, const char *why)
{
    struct fault fault = {""};
    if (password_check_format(hash, &PASSWORD_LIMITS_DEFAULT, &fault))
        fail_msg("accepted: %s", hash);
    if (strstr(fault.text, why) == NULL)
        fail_msg("%s: %s: not \"%s\"", hash, fault.text, why);
    if (strlen(hash) > 8)
        assert_null(strstr(fault.text, hash + strlen(hash) / 2));
    assert_int_equal(verdict_of(hash, "x", 1), PASSWORD_UNKNOWN);
}

#define SALT16    "c2FsdHNhbHRzYWx0c2FsdA"
#define KEY32     "MTIzNDU2NzgxMjM0NTY3ODEyMzQ1Njc4MTIzNDU2Nzg"
#define BCRYPT53  "CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"
#define SHA256_43 "5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5"

static void malformed_hashes_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *hash, *why;
    } cases[] = {
        {"", "unknown kind"},
        {"hunter2", "unknown kind"},
        {"$", "unknown kind"},
        {"$1$salt$qJH7.N4xYta3aEG/dfqo/0", "unknown kind"},
        {"$2x$05$" BCRYPT53, "unknown kind"},
        {"$gy$j9T$abc$" SHA256_43, "unknown kind"},
        {"$7$CU..../....salt$" SHA256_43, "unknown kind"},
        {"{SSHA}abcdefghijkl", "unknown kind"},
        {"$argon2d$v=19$m=1024,t=1,p=1$" SALT16 "$" KEY32, "unknown kind"},
        {"pbkdf2_sha1$1000$salt$MTIzNDU2NzgxMjM0NTY3ODEyMzQ=", "unknown kind"},

        {"$argon2id$m=1024,t=1,p=1$" SALT16 "$" KEY32, "v=19"},
        {"$argon2id$v=16$m=1024,t=1,p=1$" SALT16 "$" KEY32, "v=19"},
        {"$argon2id$v=19$m=1024,t=1$" SALT16 "$" KEY32, "m=KIB"},
        {"$argon2id$v=19$t=1,m=1024,p=1$" SALT16 "$" KEY32, "m=KIB"},
        {"$argon2id$v=19$m=01024,t=1,p=1$" SALT16 "$" KEY32, "m=KIB"},
        {"$argon2id$v=19$m=-1,t=1,p=1$" SALT16 "$" KEY32, "m=KIB"},
        {"$argon2id$v=19$m=9999999999,t=1,p=1$" SALT16 "$" KEY32, "m=KIB"},
        {"$argon2id$v=19$m=1024,t=1,p=1,data=abc$" SALT16 "$" KEY32, "m=KIB"},
        {"$argon2id$v=19$m=1024,t=0,p=1$" SALT16 "$" KEY32, "out of range"},
        {"$argon2id$v=19$m=1024,t=1,p=0$" SALT16 "$" KEY32, "out of range"},
        {"$argon2id$v=19$m=1024,t=1,p=65$" SALT16 "$" KEY32, "out of range"},
        {"$argon2id$v=19$m=7,t=1,p=1$" SALT16 "$" KEY32, "out of range"},
        {"$argon2id$v=19$m=131073,t=1,p=1$" SALT16 "$" KEY32, "131073"},
        {"$argon2id$v=19$m=131072,t=9,p=1$" SALT16 "$" KEY32, "times passes"},
        {"$argon2id$v=19$m=1024,t=999999999,p=1$" SALT16 "$" KEY32, "times passes"},
        {"$argon2id$v=19$m=1024,t=1,p=1$c2FsdA$" KEY32, "salt"},
        {"$argon2id$v=19$m=1024,t=1,p=1$$" KEY32, "salt"},
        {"$argon2id$v=19$m=1024,t=1,p=1$" SALT16 "==$" KEY32, "salt"},
        {"$argon2id$v=19$m=1024,t=1,p=1$c2FsdHNhbHRzYWx0c2FsdB$" KEY32, "salt"},
        {"$argon2id$v=19$m=1024,t=1,p=1$c2FsdHN-bHRzYWx0c2FsdA$" KEY32, "salt"},
        {"$argon2id$v=19$m=1024,t=1,p=1$" SALT16, "salt"},
        {"$argon2id$v=19$m=1024,t=1,p=1$" SALT16 "$", "hash"},
        {"$argon2id$v=19$m=1024,t=1,p=1$" SALT16 "$MTIzNDU2Nzg", "hash"},
        {"$argon2id$v=19$m=1024,t=1,p=1$" SALT16 "$" KEY32 "$", "hash"},
        {"$argon2id$v=19$m=1024,t=1,p=1$" SALT16 "$" KEY32 " ", "hash"},
        {"$argon2i$v=19$m=131073,t=1,p=1$" SALT16 "$" KEY32, "131073"},

        {"$2b$5$" BCRYPT53, "two digits"},
        {"$2b$005$" BCRYPT53, "two digits"},
        {"$2b$", "two digits"},
        {"$2b$03$" BCRYPT53, "at least 4"},
        {"$2b$15$" BCRYPT53, "cost is 15"},
        {"$2b$99$" BCRYPT53, "cost is 99"},
        {"$2b$05$" BCRYPT53 "x", "53"},
        {"$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOe", "53"},
        {"$2b$05$CCCCCCCCCCCCCCCCCCCCC+E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "53"},
        {"$2b$05$" BCRYPT53 "$", "53"},

        {"$5$salt", "salt"},
        {"$5$12345678901234567$" SHA256_43, "salt"},
        {"$5$sa:lt$" SHA256_43, "salt"},
        {"$5$salt$", "characters"},
        {"$5$salt$" SHA256_43 "x", "characters"},
        {"$6$salt$" SHA256_43, "characters"},
        {"$5$rounds=999$salt$" SHA256_43, "1000"},
        {"$5$rounds=$salt$" SHA256_43, "1000"},
        {"$5$rounds=05000$salt$" SHA256_43, "1000"},
        {"$5$rounds=5000salt$" SHA256_43, "1000"},
        {"$5$rounds=1000001$salt$" SHA256_43, "rounds is 1000001"},

        {"$y$", "parameters"},
        {"$y$j9$salt$" SHA256_43, "parameters"},
        {"$y$.9T$salt$" SHA256_43, "parameters"},
        {"$y$j9Tz$salt$" SHA256_43, "parameters"},
        {"$y$jzT$salt$" SHA256_43, "parameters"},
        {"$y$j7z$salt$" SHA256_43, "parameters"},
        {"$y$j/T$salt$" SHA256_43, "too small"},
        {"$y$jDT$salt$" SHA256_43, "262144"},
        {"$y$jjj$salt$" SHA256_43, "costs too much"},
        {"$y$j9T$salts$" SHA256_43, "salt"},
        {"$y$j9T$zz$" SHA256_43, "salt"},
        {"$y$j9T$salt$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEcz", "43"},
        {"$y$j9T$$" SHA256_43, "salt"},
        {"$y$j9T$salt", "salt"},
        {"$y$j9T$salt$", "43"},
        {"$y$j9T$salt$" SHA256_43 "x", "43"},

        {"$pbkdf2-sha256$$c2FsdA$" KEY32, "iterations"},
        {"$pbkdf2-sha256$0$c2FsdA$" KEY32, "iterations"},
        {"$pbkdf2-sha256$010$c2FsdA$" KEY32, "iterations"},
        {"$pbkdf2-sha256$1000000000$c2FsdA$" KEY32, "iterations"},
        {"$pbkdf2-sha256$2000001$c2FsdA$" KEY32, "2000001"},
        {"$pbkdf2-sha256$1000$c2Fsd+$" KEY32, "salt"},
        {"$pbkdf2-sha256$1000$c2FsdA==$" KEY32, "salt"},
        {"$pbkdf2-sha256$1000$c2FsdA", "digest"},
        {"$pbkdf2-sha256$1000$c2FsdA$", "digest"},
        {"$pbkdf2-sha256$1000$c2FsdA$" KEY32 "=", "digest"},
        {"$pbkdf2-sha512$1000$c2FsdA$" KEY32, "digest"},
        {"pbkdf2_sha256$1000$salt$" KEY32, "padding"},
        {"pbkdf2_sha256$1000$salt$" KEY32 "==", "padding"},
        {"pbkdf2_sha256$1000$salt$=" KEY32, "padding"},
        {"pbkdf2_sha256$1000$salt", "padding"},
        {"pbkdf2_sha256$1000$sa$lt$" KEY32 "=", "padding"},
        {"pbkdf2_sha512$1000$salt$" KEY32 "=", "padding"},
        {"pbkdf2_sha256$2000001$salt$" KEY32 "=", "2000001"},
        {"pbkdf2_sha256$1000$sa lt$" KEY32 "=", "visible"},
        {"pbkdf2_sha256$1000$sa\xC3\xA4lt$" KEY32 "=", "visible"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        check_refused(cases[i].hash, cases[i].why);
}

/* Each beginning of a good hash is refused, and so is each hash with one byte more. Each hash with
 * one byte changed is refused or verified, without harm. */
static void damaged_hashes_are_refused_or_do_not_match(void **state)
{
    (void)state;
    for (size_t i = 0; i < NUM_KNOWN && i < 40; i++) {
        char hash[PASSWORD_HASH_MAX + 2];
        size_t len = strlen(known_hashes[i].hash);
        for (size_t cut = 0; cut < len; cut++) {
            memcpy(hash, known_hashes[i].hash, cut);
            hash[cut] = '\0';
            /* an Argon2 hash may be shorter, if its base64 is whole */
            if (password_check_format(hash, &PASSWORD_LIMITS_DEFAULT, NULL))
                assert_int_equal(strncmp(hash, "$argon2", 7), 0);
        }
        for (size_t at = 0; at < len; at++)
            for (int flip = 1; flip < 256; flip += 37) {
                strcpy(hash, known_hashes[i].hash);
                hash[at] = (char)(hash[at] ^ flip);
                (void)password_check_format(hash, &PASSWORD_LIMITS_DEFAULT, NULL);
            }
    }
}

static void hash_of_513_bytes_is_refused(void **state)
{
    (void)state;
    char hash[PASSWORD_HASH_MAX + 2];
    struct fault fault;
    memset(hash, 'a', sizeof(hash));
    hash[PASSWORD_HASH_MAX + 1] = '\0';
    memcpy(hash, "pbkdf2_sha256$1000$", 19);
    assert_false(password_check_format(hash, &PASSWORD_LIMITS_DEFAULT, &fault));
    assert_string_equal(fault.text, "the hash is longer than 512 bytes");
    hash[PASSWORD_HASH_MAX - 45] = '$';
    memcpy(hash + PASSWORD_HASH_MAX - 44, KEY32 "=", 45);
    assert_int_equal(strlen(hash), PASSWORD_HASH_MAX);
    assert_true(password_check_format(hash, &PASSWORD_LIMITS_DEFAULT, &fault));
    assert_int_equal(verdict_of(hash, "x", 1), PASSWORD_NO);
}

static void limits_can_be_set(void **state)
{
    (void)state;
    struct password_limits limits = PASSWORD_LIMITS_DEFAULT;
    static const char argon2[] = "$argon2id$v=19$m=131073,t=1,p=1$" SALT16 "$" KEY32;
    assert_false(password_check_format(argon2, &limits, NULL));
    limits.memory = 131073 * 1024;
    assert_true(password_check_format(argon2, &limits, NULL));
    assert_false(password_check_format("$2b$15$" BCRYPT53, &limits, NULL));
    limits.bcrypt_cost = 15;
    assert_true(password_check_format("$2b$15$" BCRYPT53, &limits, NULL));
}

/* The options may have been greater when the server made a stored hash. A hash that others made has
 * no such exemption. */
static void stored_hash_may_cost_what_can_be_set(void **state)
{
    static const struct password_cost costs[] = {{129 << 20, 1}, {2 << 20, 513}};
    (void)state;
    for (size_t i = 0; i < sizeof(costs) / sizeof(costs[0]); i++) {
        char hash[PASSWORD_HASH_MAX + 1];
        bool replace;
        assert_true(password_hash(hash, "hunter2", 7, &costs[i]));
        assert_int_equal(
            password_verify(hash, "hunter2", 7, &cheap, &PASSWORD_LIMITS_STORED, &replace),
            PASSWORD_YES);
        assert_false(replace);
        assert_false(password_check_format(hash, &PASSWORD_LIMITS_DEFAULT, NULL));
    }
    static const char *const others[] = {
        "$argon2i$v=19$m=131073,t=1,p=1$" SALT16 "$" KEY32,
        "$argon2id$v=19$m=131073,t=1,p=2$" SALT16 "$" KEY32,
        "$argon2id$v=19$m=4194305,t=1,p=1$" SALT16 "$" KEY32,
        "$argon2id$v=19$m=2048,t=1001,p=1$" SALT16 "$" KEY32,
        "$2b$15$" BCRYPT53,
    };
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        assert_false(password_check_format(others[i], &PASSWORD_LIMITS_STORED, NULL));
}

/* ---- time ---- */

static uint64_t time_once(bool pretend, const char *hash, const struct password_cost *cost)
{
    bool replace;
    uint64_t begin = clock_read_ns(CLOCK_PROCESS_CPUTIME_ID);
    if (pretend && hash != NULL)
        assert_true(password_pretend_hash(hash, "hunter2", 7, cost, &PASSWORD_LIMITS_DEFAULT));
    else if (pretend)
        assert_true(password_pretend("hunter2", 7, cost));
    else
        assert_int_equal(
            password_verify(hash, "hunter3", 7, cost, &PASSWORD_LIMITS_DEFAULT, &replace),
            PASSWORD_NO);
    return clock_read_ns(CLOCK_PROCESS_CPUTIME_ID) - begin;
}

/* Compares the least time of each. On a busy machine it takes more rounds until both have had one
 * that nothing disturbed; a real difference stays. */
static bool both_alike(const char *hash, const char *to_pretend, const struct password_cost *cost)
{
    enum { ROUNDS_LEAST = 5, ROUNDS_MOST = 100 };
    uint64_t real = UINT64_MAX, pretended = UINT64_MAX;
    bool alike = false;
    for (int i = 0; i < ROUNDS_MOST && (i < ROUNDS_LEAST || !alike); i++) {
        uint64_t took = time_once(false, hash, cost);
        real = took < real ? took : real;
        took = time_once(true, to_pretend, cost);
        pretended = took < pretended ? took : pretended;
        alike = pretended * 10 > real * 7 && pretended * 7 < real * 10;
    }
    printf("verified in %.1f ms, pretended in %.1f ms\n", (double)real / 1e6,
           (double)pretended / 1e6);
    return alike;
}

static bool cost_alike(const char *hash, const struct password_cost *cost)
{
    return both_alike(hash, NULL, cost);
}

/* Who pretends with somebody's hash does not learn whether the password is right for it. */
static void right_password_is_pretended_as_long_as_a_wrong_one(void **state)
{
    (void)state;
    char hash[PASSWORD_HASH_MAX + 1];
    const struct password_cost cost = PASSWORD_COST_DEFAULT, less = {8 << 20, 1};
    assert_true(password_hash(hash, "hunter2", 7, &cost));
    assert_true(both_alike(hash, hash, &cost));
    assert_true(password_hash(hash, "hunter2", 7, &less));
    assert_true(both_alike(hash, hash, &cost));
    bool replace;
    static const char bcrypt[] = "$2b$08$CCCCCCCCCCCCCCCCCCCCC.";
    struct crypt_data data = {0};
    snprintf(hash, sizeof(hash), "%s", crypt_r("hunter2", bcrypt, &data));
    assert_int_equal(password_verify(hash, "hunter2", 7, &cost, &PASSWORD_LIMITS_DEFAULT, &replace),
                     PASSWORD_YES);
    assert_true(both_alike(hash, hash, &cost));
    assert_false(password_pretend_hash("$9$x", "hunter2", 7, &cost, &PASSWORD_LIMITS_DEFAULT));
}

static void pretending_costs_what_verifying_costs(void **state)
{
    (void)state;
    char hash[PASSWORD_HASH_MAX + 1];
    const struct password_cost cost = PASSWORD_COST_DEFAULT;
    assert_true(password_hash(hash, "hunter2", 7, &cost));
    assert_true(cost_alike(hash, &cost));
}

/* After a reload with a greater cost all older hashes are weaker. */
static void weaker_hash_costs_what_pretending_costs(void **state)
{
    (void)state;
    char hash[PASSWORD_HASH_MAX + 1];
    const struct password_cost old = PASSWORD_COST_DEFAULT;
    const struct password_cost costs[] = {{old.memory * 3 / 2, old.passes},
                                          {old.memory, old.passes + 2}};
    assert_true(password_hash(hash, "hunter2", 7, &old));
    for (size_t i = 0; i < sizeof(costs) / sizeof(costs[0]); i++)
        assert_true(cost_alike(hash, &costs[i]));
}

/* As much memory times passes as usual, or a little more or less, in another shape. */
static void hash_of_little_memory_and_many_passes_costs_what_pretending_costs(void **state)
{
    (void)state;
    char hash[PASSWORD_HASH_MAX + 1];
    const struct password_cost usual = PASSWORD_COST_DEFAULT;
    const struct password_cost shapes[] = {{1 << 20, 38}, {4 << 20, 9}, {12 << 20, 3}};
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        assert_true(password_hash(hash, "hunter2", 7, &shapes[i]));
        assert_true(cost_alike(hash, &usual));
    }
}

static int prepare(void **state)
{
    struct fault fault;
    (void)state;
    return password_prepare(&fault) ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_hashes_match_their_passwords_only),
        cmocka_unit_test(new_hash_matches_its_password_only),
        cmocka_unit_test(password_that_is_too_long_is_unknown),
        cmocka_unit_test(bcrypt_looks_at_72_bytes),
        cmocka_unit_test(bcrypt_salt_may_have_unused_bits),
        cmocka_unit_test(nul_in_a_password_matches_no_hash_of_libcrypt),
        cmocka_unit_test(weaker_and_other_hashes_are_replaced),
        cmocka_unit_test(malformed_hashes_are_refused),
        cmocka_unit_test(damaged_hashes_are_refused_or_do_not_match),
        cmocka_unit_test(hash_of_513_bytes_is_refused),
        cmocka_unit_test(limits_can_be_set),
        cmocka_unit_test(stored_hash_may_cost_what_can_be_set),
        cmocka_unit_test(pretending_costs_what_verifying_costs),
        cmocka_unit_test(right_password_is_pretended_as_long_as_a_wrong_one),
        cmocka_unit_test(weaker_hash_costs_what_pretending_costs),
        cmocka_unit_test(hash_of_little_memory_and_many_passes_costs_what_pretending_costs),
    };
    return cmocka_run_group_tests(tests, prepare, NULL);
}
