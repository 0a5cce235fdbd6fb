/* SPDX-License-Identifier: MIT */
/* Token files: their format, and which authorization fields match a token. */
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
#include "service/builtin/health.h"
#include "service/core/chain.h"

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
    const char *name = auth_find(auth, value, strlen(value));
    return name != NULL ? name : "nobody";
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
    assert_null(auth_find(auth, "Bearer secretsecretsecret\0", 26));
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
        {"goodgoodgoodgood ok\nalone\n", " line 2: the token has no name: TOKEN NAME"},
        {"a b c\n", " line 1: more than a token and a name: TOKEN NAME"},
        {"\n\xc3\xa4 b\n", " line 2: a token is visible ASCII"},
        {"a\x01 b\n", " line 1: a token is visible ASCII"},
        {"a \xc3\xa4\n", " line 1: a name is visible ASCII"},
        {"same one\nother two\nsame three\n", " line 3: the token is there already"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_null(load(cases[i].text));
        assert_non_null(strstr(fault.text, path));
        assert_non_null(strstr(fault.text, cases[i].fault));
        assert_null(strstr(fault.text, "same")); /* a message never contains a token */
    }
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
    char authorization[64]; /* the metadata of the call */
    const char *service, *identity;
} asked;

h2o_iovec_t __wrap_grpc_call_metadata_of(struct grpc_call *call, const char *name, size_t len);
void __wrap_grpc_call_wipe_metadata(struct grpc_call *call, const char *name);
void __wrap_grpc_call_set_identity(struct grpc_call *call, const char *name);
size_t __wrap_grpc_call_method_index(const struct grpc_call *call);
const char *__wrap_grpc_server_method_service(const struct grpc_server *server, size_t index);

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

size_t __wrap_grpc_call_method_index(const struct grpc_call *call)
{
    (void)call;
    return 0;
}

const char *__wrap_grpc_server_method_service(const struct grpc_server *server, size_t index)
{
    (void)server;
    (void)index;
    return asked.service;
}

static enum grpc_status ask(const struct grpc_interceptor *step, const char *value,
                            const char *service)
{
    const char *message = NULL;
    asked.service = service;
    asked.identity = NULL;
    snprintf(asked.authorization, sizeof(asked.authorization), "%s", value);
    return step->start(NULL, step->data, &message);
}

static void token_of_a_call_is_overwritten_right_or_wrong(void **state)
{
    (void)state;
    struct auth *auth = load("secretsecretsecret me\n");
    const struct chain_config config = {.auth = auth};
    static const char zeros[sizeof(asked.authorization)];
    struct grpc_interceptor step = {.start = NULL};
    auth_step(&step, &config);
    assert_int_equal(ask(&step, "Bearer secretsecretsecret", "some.Service"), GRPC_OK);
    assert_string_equal(asked.identity, "me");
    assert_memory_equal(asked.authorization, zeros, sizeof(zeros));
    assert_int_equal(ask(&step, "Bearer secretsecretsecre", "some.Service"), GRPC_UNAUTHENTICATED);
    assert_memory_equal(asked.authorization, zeros, sizeof(zeros));
    assert_int_equal(ask(&step, "Bearer another", health_table.name), GRPC_OK);
    assert_null(asked.identity);
    assert_memory_equal(asked.authorization, zeros, sizeof(zeros));
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
        cmocka_unit_test(overlong_token_or_name_is_refused),
        cmocka_unit_test(what_is_no_file_is_refused),
        cmocka_unit_test(file_that_others_may_read_is_warned_of),
        cmocka_unit_test(short_token_is_warned_of),
        cmocka_unit_test(token_of_a_call_is_overwritten_right_or_wrong),
    };
    return cmocka_run_group_tests(tests, make_path, remove_path);
}
