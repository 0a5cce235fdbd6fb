/* SPDX-License-Identifier: MIT */
/* Token files: their format, which authorization fields match a token, and what a token permits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "service/auth.h"
#include "service/core/chain.h"
#include "service/core/scope.h"

static char path[] = "/tmp/rosterd-test-auth-XXXXXX";
static char warning[AUTH_WARNING_SIZE];
static struct fault fault;

static void write_file(const void *text, size_t len)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, 0600), 0);
}

static struct auth *load(const char *text)
{
    write_file(text, strlen(text));
    return auth_load(path, warning, &fault);
}

static const char *name_of(const struct auth *auth, const char *value)
{
    struct auth_caller caller = auth_find(auth, value, strlen(value));
    assert_true(caller.name != NULL || caller.scopes == 0);
    return caller.name != NULL ? caller.name : "nobody";
}

static unsigned scopes_of(const struct auth *auth, const char *value)
{
    return auth_find(auth, value, strlen(value)).scopes;
}

static void each_token_has_its_name(void **state)
{
    (void)state;
    struct auth *auth = load("# the team's\n\n  aaaaaaaaaaaaaaaaaaaaaaaa \t ops  \r\n"
                             "bbbbbbbbbbbbbbbbbbbbbbbb ci\nbbbbbbbbbbbbbbbbbbbbbbbc ci");
    assert_non_null(auth);
    assert_string_equal(warning, "");
    assert_int_equal(auth_count(auth), 3);
    assert_string_equal(name_of(auth, "Bearer aaaaaaaaaaaaaaaaaaaaaaaa"), "ops");
    assert_string_equal(name_of(auth, "Bearer bbbbbbbbbbbbbbbbbbbbbbbb"), "ci");
    assert_string_equal(name_of(auth, "Bearer bbbbbbbbbbbbbbbbbbbbbbbc"), "ci");
    auth_free(auth);
}

static void scheme_has_no_case_and_any_number_of_spaces(void **state)
{
    (void)state;
    struct auth *auth = load("secretsecretsecret me\n");
    assert_string_equal(name_of(auth, "bearer secretsecretsecret"), "me");
    assert_string_equal(name_of(auth, "BEARER   secretsecretsecret"), "me");
    auth_free(auth);
}

static void whatever_differs_is_nobody(void **state)
{
    static const char *const values[] = {"",
                                         "Bearer",
                                         "Bearer ",
                                         "Bearer  ",
                                         "secretsecretsecret",
                                         "Bearersecretsecretsecret",
                                         "Bearer secretsecretsecre",
                                         "Bearer secretsecretsecrett",
                                         "Bearer Secretsecretsecret",
                                         "Bearer secretsecretsecret ",
                                         "Basic secretsecretsecret",
                                         "Bearer me",
                                         "Bearer secretsecretsecret,Bearer x",
                                         "Bearer\tsecretsecretsecret"};
    (void)state;
    struct auth *auth = load("secretsecretsecret me\n");
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
        assert_string_equal(name_of(auth, values[i]), "nobody");
    assert_null(auth_find(auth, "Bearer secretsecretsecret\0", 26).name);
    auth_free(auth);
}

/* Writes the number with leading zeros. @return its length, `width` */
static size_t padded(char *out, size_t width, int number)
{
    char digits[16];
    size_t len = (size_t)snprintf(digits, sizeof(digits), "%d", number);
    memset(out, '0', width - len);
    memcpy(out + width - len, digits, len + 1);
    return width;
}

static void tokens_of_any_length_are_found_among_thousands(void **state)
{
    (void)state;
    size_t size = 8 << 20, len = 0;
    char *text = malloc(size), *value = malloc(AUTH_TOKEN_MAX + 32);
    for (int i = 1; i <= 2000; i++) {
        len += padded(text + len, 16 + (size_t)i, i);
        len += (size_t)sprintf(text + len, " token-%d\n", i);
    }
    len += padded(text + len, AUTH_TOKEN_MAX, 7);
    len += (size_t)sprintf(text + len, " longest\n");
    write_file(text, len);
    struct auth *auth = auth_load(path, warning, &fault);
    assert_non_null(auth);
    assert_int_equal(auth_count(auth), 2001);
    for (int i = 1; i <= 2000; i++) {
        char name[32];
        sprintf(name, "token-%d", i);
        padded(value + sprintf(value, "Bearer "), 16 + (size_t)i, i);
        assert_string_equal(name_of(auth, value), name);
        value[7] = '1'; /* the first character is wrong, then the last one */
        assert_string_equal(name_of(auth, value), "nobody");
        value[7] = '0';
        value[strlen(value) - 1] ^= 1;
        assert_string_equal(name_of(auth, value), "nobody");
    }
    padded(value + sprintf(value, "Bearer "), AUTH_TOKEN_MAX, 7);
    assert_string_equal(name_of(auth, value), "longest");
    padded(value + sprintf(value, "Bearer "), AUTH_TOKEN_MAX + 1, 7);
    assert_string_equal(name_of(auth, value), "nobody");
    auth_free(auth);
    free(value);
    free(text);
}

static void fault_names_the_file_the_line_and_what_was_expected(void **state)
{
    static const struct {
        const char *text, *fault;
    } cases[] = {
        {"", "there is no token in it"},
        {"# nothing\n\n", "there is no token in it"},
        {"goodgoodgoodgood ok\nalone\n", ":2: the token has no name: TOKEN NAME"},
        {"a b read c\n", ":1: more than a token, a name and scopes: TOKEN NAME [SCOPE"},
        {"a b read,write, metrics\n", ":1: more than a token, a name and scopes"},
        {"a b read\xc3\n", ":1: more than a token, a name and scopes"},
        {"x y\na b raed\n", ":2: unknown scope raed: the scopes are read, write, password, "
                            "admin and metrics"},
        {"a b READ\n", ":1: unknown scope READ"},
        {"a b read,all\n", ":1: unknown scope all"},
        {"a b read, \n", ":1: an empty scope: the scopes are read"},
        {"a b ,read\n", ":1: an empty scope"},
        {"a b read,,write\n", ":1: an empty scope"},
        {"a b read,write,read\n", ":1: the scope read is there twice"},
        {"a b samesecretsame\n", ":1: an unknown scope: the scopes are"},
        {"a b same1\n", ":1: an unknown scope: the scopes are"},
        {"\n\xc3\xa4 b\n", ":2: a token is visible ASCII"},
        {"a\x01 b\n", ":1: a token is visible ASCII"},
        {"a \xc3\xa4\n", ":1: a name is visible ASCII"},
        {"same one\nother two\nsame three\n", ":3: the token is there already"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_null(load(cases[i].text));
        assert_non_null(strstr(fault.text, path));
        assert_non_null(strstr(fault.text, cases[i].fault));
        assert_null(strstr(fault.text, "same")); /* a message never contains a token */
    }
}

static void line_names_the_scopes_of_its_token(void **state)
{
    (void)state;
    struct auth *auth = load("aaaaaaaaaaaaaaaaaaaaaaaa all\n"
                             "bbbbbbbbbbbbbbbbbbbbbbbb one\tmetrics \r\n"
                             "cccccccccccccccccccccccc two write,read\n"
                             "dddddddddddddddddddddddd five admin,metrics,password,read,write\n"
                             "eeeeeeeeeeeeeeeeeeeeeeee two password\n");
    assert_non_null(auth);
    assert_string_equal(warning, "");
    assert_int_equal(scopes_of(auth, "Bearer aaaaaaaaaaaaaaaaaaaaaaaa"), SCOPE_ALL);
    assert_int_equal(scopes_of(auth, "Bearer bbbbbbbbbbbbbbbbbbbbbbbb"), SCOPE_METRICS);
    assert_int_equal(scopes_of(auth, "Bearer cccccccccccccccccccccccc"), SCOPE_READ | SCOPE_WRITE);
    assert_int_equal(scopes_of(auth, "Bearer dddddddddddddddddddddddd"), SCOPE_ALL);
    assert_int_equal(scopes_of(auth, "Bearer eeeeeeeeeeeeeeeeeeeeeeee"), SCOPE_PASSWORD);
    assert_string_equal(name_of(auth, "Bearer eeeeeeeeeeeeeeeeeeeeeeee"), "two");
    assert_int_equal(scopes_of(auth, "Bearer eeeeeeeeeeeeeeeeeeeeeeef"), 0);
    auth_free(auth);
}

static void file_knows_which_scopes_its_tokens_have(void **state)
{
    (void)state;
    struct auth *auth = load("aaaaaaaaaaaaaaaaaaaaaaaa a read\nbbbbbbbbbbbbbbbbbbbbbbbb b admin\n");
    assert_true(auth_has_scope(auth, SCOPE_READ));
    assert_true(auth_has_scope(auth, SCOPE_ADMIN));
    assert_false(auth_has_scope(auth, SCOPE_METRICS));
    auth_free(auth);
}

/* ---- hashed tokens ---- */

#define EMPTY_HASH "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define ABC_HASH   "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
/* FIPS 180-2, B.2: a message of 56 bytes, which takes two blocks */
#define LONG_TOKEN "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"
#define LONG_HASH  "sha256:248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"

static void hashed_token_is_found_by_what_was_hashed(void **state)
{
    (void)state;
    struct auth *auth =
        load("plainplainplainplain plain read\n" ABC_HASH " abc write\n"
             "SHA256:248D6A61D20638B8E5C026930C3E6039A33CE45964FF2167F6ECEDD419DB06C1"
             " long\n" EMPTY_HASH " empty\n");
    assert_non_null(auth);
    assert_string_equal(warning, ""); /* nobody knows how long "abc" is */
    assert_int_equal(auth_count(auth), 4);
    for (int i = 0; i < 3; i++) { /* the context is used again */
        assert_string_equal(name_of(auth, "Bearer abc"), "abc");
        assert_int_equal(scopes_of(auth, "Bearer abc"), SCOPE_WRITE);
        assert_string_equal(name_of(auth, "Bearer " LONG_TOKEN), "long");
        assert_int_equal(scopes_of(auth, "Bearer " LONG_TOKEN), SCOPE_ALL);
        assert_string_equal(name_of(auth, "Bearer plainplainplainplain"), "plain");
        assert_string_equal(name_of(auth, "Bearer abd"), "nobody");
        assert_string_equal(name_of(auth, "Bearer "), "nobody");
    }
    auth_free(auth);
}

static void what_the_file_has_of_a_hashed_token_opens_nothing(void **state)
{
    (void)state;
    struct auth *auth = load(ABC_HASH " abc\n");
    uint8_t value[7 + 32] = "Bearer ";
    for (size_t i = 0; i < 32; i++)
        assert_int_equal(sscanf(ABC_HASH + 7 + 2 * i, "%2hhx", &value[7 + i]), 1);
    assert_null(auth_find(auth, (const char *)value, sizeof(value)).name);
    assert_string_equal(name_of(auth, "Bearer " ABC_HASH), "nobody");
    assert_string_equal(name_of(auth, "Bearer abc"), "abc");
    auth_free(auth);
}

static void malformed_hash_is_refused_and_taken_for_no_token(void **state)
{
    static const char *const tokens[] = {
        "sha256:",
        "sha256:secretsecretsecret",
        "SHA256:secretsecretsecret",
        "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015a",
        ABC_HASH "0",
        "sha256:ga7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015a=",
        "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015a\x40"};
    (void)state;
    for (size_t i = 0; i < sizeof(tokens) / sizeof(tokens[0]); i++) {
        char text[128];
        snprintf(text, sizeof(text), "secretsecretsecret a\n%s b\n", tokens[i]);
        assert_null(load(text));
        assert_non_null(
            strstr(fault.text, ":2: a hashed token is sha256: and 64 hexadecimal digits"));
        assert_null(strstr(fault.text, "ba7816bf"));
    }
}

static void token_may_be_there_once_plain_or_hashed(void **state)
{
    static const struct {
        const char *text, *line;
    } cases[] = {
        {ABC_HASH " a\nx y\n" ABC_HASH " b read\n", ":3: "},
        {"abc a\n" ABC_HASH " a\n", ":2: "},
        {ABC_HASH " a\n# \nabc b\n", ":3: "},
        {"x y\n" LONG_TOKEN " a\nabc b\n" ABC_HASH " b\n" LONG_HASH " a\n", ":4: "},
        {LONG_HASH " a\n" ABC_HASH " a\nx y\nabc b\n" LONG_TOKEN " b\n", ":4: "},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        for (int again = 0; again < 8; again++) { /* each load has another order of slots */
            assert_null(load(cases[i].text));
            assert_non_null(strstr(fault.text, cases[i].line));
            assert_non_null(strstr(fault.text, "the token is there already"));
        }
}

static void thousands_of_hashed_tokens_are_found_among_plain_ones(void **state)
{
    (void)state;
    struct token_digest *digest = token_digest_create();
    char *text = malloc(1 << 20), value[64];
    size_t len = 0;
    assert_non_null(digest);
    for (int i = 0; i < 4000; i++) {
        uint8_t hash[TOKEN_DIGEST_SIZE];
        snprintf(value, sizeof(value), "0123456789abcdef-%d", i);
        if (i % 2 == 0) {
            len += (size_t)sprintf(text + len, "%s n%d\n", value, i);
            continue;
        }
        assert_true(token_digest_of(digest, value, strlen(value), hash));
        len += (size_t)sprintf(text + len, "sha256:");
        for (size_t k = 0; k < sizeof(hash); k++)
            len += (size_t)sprintf(text + len, "%02x", hash[k]);
        len += (size_t)sprintf(text + len, " n%d\n", i);
    }
    write_file(text, len);
    struct auth *auth = auth_load(path, warning, &fault);
    assert_non_null(auth);
    assert_int_equal(auth_count(auth), 4000);
    for (int i = 0; i < 4001; i++) {
        char name[32];
        snprintf(value, sizeof(value), "Bearer 0123456789abcdef-%d", i);
        snprintf(name, sizeof(name), "n%d", i);
        assert_string_equal(name_of(auth, value), i < 4000 ? name : "nobody");
    }
    auth_free(auth);
    free(text);
    token_digest_free(digest);
}

static void overlong_token_or_name_is_refused(void **state)
{
    (void)state;
    char text[AUTH_TOKEN_MAX + 32];
    strcpy(text + padded(text, AUTH_TOKEN_MAX + 1, 1), " x\n");
    assert_null(load(text));
    assert_non_null(strstr(fault.text, "the token is longer than 4096 bytes"));
    padded(text + sprintf(text, "token "), AUTH_NAME_MAX + 1, 1);
    assert_null(load(text));
    assert_non_null(strstr(fault.text, "the name is longer than 64 bytes"));
}

static void what_is_no_file_is_refused(void **state)
{
    (void)state;
    assert_null(auth_load("/nonexistent/tokens", warning, &fault));
    assert_string_equal(fault.text, "/nonexistent/tokens: No such file or directory");
    assert_null(auth_load("/tmp", warning, &fault));
    assert_string_equal(fault.text, "/tmp: Is a directory");
}

static void file_that_others_may_read_is_warned_of(void **state)
{
    (void)state;
    write_file("secretsecretsecret me\n", 22);
    chmod(path, 0640);
    struct auth *auth = auth_load(path, warning, &fault);
    assert_string_equal(warning, "");
    auth_free(auth);
    chmod(path, 0644);
    auth = auth_load(path, warning, &fault);
    assert_non_null(strstr(warning, "every user of this machine may read the tokens"));
    auth_free(auth);
}

static void short_token_is_warned_of(void **state)
{
    (void)state;
    struct auth *auth = load("secretsecretsecret me\nhunter2 you\n");
    assert_non_null(strstr(warning, "the token of line 2 has fewer than 16 characters"));
    assert_null(strstr(warning, "hunter2"));
    auth_free(auth);
}

/* ---- the step in the chain; the linker replaces the functions of a call by those below ---- */

static struct {
    char authorization[64];           /* the metadata of the call */
    const struct grpc_method *method; /* that is called */
    const char *identity, *message;   /* what the step has set */
} asked;

h2o_iovec_t __wrap_grpc_call_metadata_of(struct grpc_call *call, const char *name, size_t len);
void __wrap_grpc_call_wipe_metadata(struct grpc_call *call, const char *name);
void __wrap_grpc_call_set_identity(struct grpc_call *call, const char *name);
const struct grpc_method *__wrap_grpc_call_method(const struct grpc_call *call);

h2o_iovec_t __wrap_grpc_call_metadata_of(struct grpc_call *call, const char *name, size_t len)
{
    (void)call;
    assert_int_equal(len, strlen("authorization"));
    assert_memory_equal(name, "authorization", len);
    return (h2o_iovec_t){.base = asked.authorization, .len = strlen(asked.authorization)};
}

void __wrap_grpc_call_wipe_metadata(struct grpc_call *call, const char *name)
{
    (void)call;
    assert_string_equal(name, "authorization");
    memset(asked.authorization, 0, sizeof(asked.authorization));
}

void __wrap_grpc_call_set_identity(struct grpc_call *call, const char *name)
{
    (void)call;
    asked.identity = name;
}

const struct grpc_method *__wrap_grpc_call_method(const struct grpc_call *call)
{
    (void)call;
    return asked.method;
}

/* @param method NULL: the method is unknown */
static enum grpc_status ask_method(const struct auth *auth, const char *value,
                                   const struct grpc_method *method)
{
    const struct chain_config config = {.auth = auth};
    static const char zeros[sizeof(asked.authorization)];
    struct grpc_interceptor step = {.start = NULL};
    auth_step(&step, &config);
    asked.method = method;
    asked.identity = asked.message = NULL;
    snprintf(asked.authorization, sizeof(asked.authorization), "%s", value);
    enum grpc_status status = step.start(NULL, step.data, &asked.message);
    assert_memory_equal(asked.authorization, zeros, sizeof(zeros));
    return status;
}

static enum grpc_status ask(const struct auth *auth, const char *value, unsigned access)
{
    const struct grpc_method method = {.access = access};
    return ask_method(auth, value, &method);
}

/* ask_method() checks that it is overwritten. */
static void token_of_a_call_is_overwritten_right_or_wrong(void **state)
{
    (void)state;
    struct auth *auth = load("secretsecretsecret me read\n");
    assert_int_equal(ask(auth, "Bearer secretsecretsecret", SCOPE_READ), GRPC_OK);
    assert_string_equal(asked.identity, "me");
    assert_int_equal(ask(auth, "Bearer secretsecretsecre", SCOPE_READ), GRPC_UNAUTHENTICATED);
    assert_int_equal(ask(auth, "Bearer secretsecretsecret", SCOPE_WRITE), GRPC_PERMISSION_DENIED);
    assert_string_equal(asked.identity, "me"); /* the access log says whose token it was */
    assert_int_equal(ask(auth, "Bearer another", SCOPE_NO_TOKEN), GRPC_OK);
    assert_null(asked.identity);
    auth_free(auth);
}

static void each_access_needs_its_scope_and_the_message_names_it(void **state)
{
    static const char *const tokens[] = {"Bearer token-with-read", "Bearer token-with-write",
                                         "Bearer token-with-password", "Bearer token-with-admin",
                                         "Bearer token-with-metrics"};
    static const struct {
        unsigned access;
        const char *permits; /* a letter for each token: + if it may */
        const char *message;
    } rows[] = {
        {SCOPE_READ, "+----", "The token lacks the scope read"},
        {SCOPE_WRITE, "-+---", "The token lacks the scope write"},
        {SCOPE_PASSWORD, "--+--", "The token lacks the scope password"},
        {SCOPE_ADMIN, "---+-", "The token lacks the scope admin"},
        {SCOPE_CALL, "++++-", "The token has no scope for calls"},
        {SCOPE_NO_TOKEN, "+++++", NULL},
        {0, "-----", "The token has no scope for calls"}, /* forgotten */
    };
    (void)state;
    struct auth *auth = load("token-with-read r read\ntoken-with-write w write\n"
                             "token-with-password p password\ntoken-with-admin a admin\n"
                             "token-with-metrics m metrics\nthe-token-with-all all\n");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (size_t k = 0; k < sizeof(tokens) / sizeof(tokens[0]); k++) {
            bool may = rows[i].permits[k] == '+';
            assert_int_equal(ask(auth, tokens[k], rows[i].access),
                             may ? GRPC_OK : GRPC_PERMISSION_DENIED);
            if (!may)
                assert_string_equal(asked.message, rows[i].message);
        }
        assert_int_equal(ask(auth, "Bearer the-token-with-all", rows[i].access),
                         rows[i].access != 0 ? GRPC_OK : GRPC_PERMISSION_DENIED);
        bool open = rows[i].access == SCOPE_NO_TOKEN;
        assert_int_equal(ask(auth, "", rows[i].access), open ? GRPC_OK : GRPC_UNAUTHENTICATED);
        if (!open)
            assert_string_equal(asked.message, "Invalid token");
    }
    auth_free(auth);
}

static void unknown_method_is_told_only_to_tokens_for_calls(void **state)
{
    (void)state;
    struct auth *auth = load("token-with-read r read\ntoken-with-metrics m metrics\n");
    assert_int_equal(ask_method(auth, "Bearer token-with-read", NULL), GRPC_OK);
    assert_int_equal(ask_method(auth, "Bearer token-with-metrics", NULL), GRPC_PERMISSION_DENIED);
    assert_int_equal(ask_method(auth, "", NULL), GRPC_UNAUTHENTICATED);
    auth_free(auth);
}

static int make_path(void **state)
{
    (void)state;
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int remove_path(void **state)
{
    (void)state;
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_token_has_its_name),
        cmocka_unit_test(scheme_has_no_case_and_any_number_of_spaces),
        cmocka_unit_test(whatever_differs_is_nobody),
        cmocka_unit_test(tokens_of_any_length_are_found_among_thousands),
        cmocka_unit_test(fault_names_the_file_the_line_and_what_was_expected),
        cmocka_unit_test(line_names_the_scopes_of_its_token),
        cmocka_unit_test(file_knows_which_scopes_its_tokens_have),
        cmocka_unit_test(hashed_token_is_found_by_what_was_hashed),
        cmocka_unit_test(what_the_file_has_of_a_hashed_token_opens_nothing),
        cmocka_unit_test(malformed_hash_is_refused_and_taken_for_no_token),
        cmocka_unit_test(token_may_be_there_once_plain_or_hashed),
        cmocka_unit_test(thousands_of_hashed_tokens_are_found_among_plain_ones),
        cmocka_unit_test(overlong_token_or_name_is_refused),
        cmocka_unit_test(what_is_no_file_is_refused),
        cmocka_unit_test(file_that_others_may_read_is_warned_of),
        cmocka_unit_test(short_token_is_warned_of),
        cmocka_unit_test(token_of_a_call_is_overwritten_right_or_wrong),
        cmocka_unit_test(each_access_needs_its_scope_and_the_message_names_it),
        cmocka_unit_test(unknown_method_is_told_only_to_tokens_for_calls),
    };
    return cmocka_run_group_tests(tests, make_path, remove_path);
}
