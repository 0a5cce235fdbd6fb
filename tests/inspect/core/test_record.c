/* SPDX-License-Identifier: MIT */
/* Users as JSON lines, and reading a file line by line. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "inspect/core/lines.h"
#include "inspect/core/record.h"
#include "inspect/core/record_parser.h"

#define ID "00112233-4455-4677-8899-aabbccddeeff"

static const uint8_t binary_id[UUID_SIZE] = {0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x46, 0x77,
                                             0x88, 0x99, 0xAA, 0xBB, 0xCC, 0xDD, 0xEE, 0xFF};

static struct record_parser parser;

static int setup(void **state)
{
    (void)state;
    record_parser_init(&parser);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    record_parser_free(&parser);
    return 0;
}

static struct user_text text(const char *string)
{
    return (struct user_text){(const uint8_t *)string, strlen(string)};
}

/* A user as the store has it. */
static struct shm_record stored(const void *body, size_t len, const void *hidden, size_t hidden_len)
{
    struct shm_record user = {.body_len = (uint32_t)len, .hidden_len = (uint32_t)hidden_len};
    memcpy(user.id, binary_id, sizeof(user.id));
    memcpy(user.body, body, len);
    memcpy(user.body + len, hidden, hidden_len);
    return user;
}

/* Returns the line that is printed for a user; the caller frees it. NULL with the fault filled if
 * the user is refused. */
static char *printed_user(const struct shm_record *user, bool with_secret, struct fault *fault)
{
    char *line = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&line, &size);
    assert_non_null(out);
    bool done = record_print(out, user, with_secret, fault);
    fclose(out);
    if (done)
        return line;
    assert_int_equal(size, 0);
    free(line);
    return NULL;
}

static char *printed(const uint8_t *body, size_t len, struct fault *fault)
{
    struct shm_record user = stored(body, len, "", 0);
    return printed_user(&user, false, fault);
}

static void assert_round_trip(const struct user_fields *fields, const char *expected)
{
    uint8_t body[USER_BODY_MAX];
    size_t len = user_body_encode(body, fields);
    struct fault fault = {{0}};
    struct record record;
    char *line = printed(body, len, &fault);
    if (line == NULL)
        fail_msg("%s", fault.text);
    if (expected != NULL)
        assert_string_equal(line, expected);
    size_t line_len = strlen(line) - 1;
    assert_int_equal(line[line_len], '\n');
    assert_true(line_len <= RECORD_LINE_MAX);
    if (record_parse(&parser, line, line_len, &record, &fault) != RECORD_USER)
        fail_msg("%s: %s", fault.text, line);
    assert_memory_equal(record.id, binary_id, UUID_SIZE);
    assert_int_equal(record.body_len, len);
    assert_memory_equal(record.body, body, len);
    assert_int_equal(record.hidden_len, 0);
    assert_int_equal(record.given, RECORD_DISABLED | RECORD_LABELS | RECORD_UPDATE_TIME);
    assert_false(record.had_password);
    free(line);
}

static void a_user_survives_the_way_to_json_and_back(void **state)
{
    struct user_text roles[] = {text("user"), text("a\"\\b"), text("\xE2\x80\xA8")};
    struct user_fields fields = {
        .username = text("Zo\xC3\xAB \xF0\x9F\x98\x80\x1b[0m\n\xEF\xBF\xBD\xE2\x80\xAE"),
        .email = text("a\tb@\x7f"),
        .created_at = 1700000000,
        .roles = roles,
        .num_roles = 3,
    };
    (void)state;
    assert_round_trip(&fields,
                      "{\"id\":\"" ID "\",\"username\":\"Zo\xC3\xAB \xF0\x9F\x98\x80\\u001b[0m\\n"
                      "\xEF\xBF\xBD\\u202e\",\"email\":\"a\\tb@\\u007f\",\"created_at\":1700000000,"
                      "\"roles\":[\"user\",\"a\\\"\\\\b\",\"\\u2028\"],\"disabled\":false,"
                      "\"labels\":{},\"update_time\":\"2023-11-14T22:13:20Z\","
                      "\"has_password\":false}\n");
    fields.roles = NULL;
    fields.num_roles = 0;
    fields.email = (struct user_text){NULL, 0};
    for (size_t i = 0; i < 5; i++) {
        static const int64_t times[] = {0, -1, INT64_MIN, INT64_MAX, INT64_MIN + 1};
        fields.created_at = times[i];
        assert_round_trip(&fields, NULL);
    }
}

static void the_longest_user_survives_too(void **state)
{
    /* In JSON a control character takes six bytes. */
    uint8_t username[USER_USERNAME_MAX], email[USER_EMAIL_MAX];
    uint8_t roles_bytes[USER_ROLES_MAX][USER_ROLE_MAX];
    struct user_text roles[USER_ROLES_MAX];
    struct user_fields fields = {.username = {username, sizeof(username)},
                                 .email = {email, sizeof(email)},
                                 .created_at = INT64_MIN,
                                 .roles = roles,
                                 .num_roles = USER_ROLES_MAX};

    (void)state;
    memset(username, 1, sizeof(username));
    memset(email, 1, sizeof(email));
    email[7] = '@';
    for (size_t i = 0; i < USER_ROLES_MAX; i++) {
        memset(roles_bytes[i], '\\', USER_ROLE_MAX);
        roles_bytes[i][0] = (uint8_t)('A' + i);
        roles[i] = (struct user_text){roles_bytes[i], USER_ROLE_MAX};
    }
    assert_round_trip(&fields, NULL);
}

static void what_json_cannot_hold_is_not_printed(void **state)
{
    struct user_text roles[] = {text("user"), text("\xC3")};
    struct user_fields bad_name = {.username = text("\xFF")};
    struct user_fields bad_email = {.username = text("a"), .email = text("a@\xED\xA0\x80")};
    struct user_fields bad_role = {.username = text("a"), .roles = roles, .num_roles = 2};
    const struct {
        const struct user_fields *fields;
        const char *reason;
    } cases[] = {{&bad_name, "its username is not UTF-8"},
                 {&bad_email, "its email is not UTF-8"},
                 {&bad_role, "one of its roles is not UTF-8"}};
    struct fault fault;
    uint8_t body[USER_BODY_MAX];

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        assert_null(printed(body, user_body_encode(body, cases[i].fields), &fault));
        assert_string_equal(fault.text, cases[i].reason);
    }
    assert_null(printed((const uint8_t *)"\x12\xFF", 2, &fault));
    assert_string_equal(fault.text, "its body is not a User message");
    assert_null(printed((const uint8_t *)"\x12\x01"
                                         "a\x30\x05",
                        5, &fault));
    assert_string_equal(fault.text, "its body holds more than a user's fields");
    assert_null(printed((const uint8_t *)"\x12\x01"
                                         "a\x12\x01"
                                         "b",
                        6, &fault));
    assert_string_equal(fault.text, "its body holds more than a user's fields");
    assert_null(printed((const uint8_t *)"", 0, &fault));
    assert_string_equal(fault.text, "it has no username");
}

#define USER(fields) "{\"id\":\"" ID "\"," fields "}"
#define GOOD_NAME    "\"username\":\"a\",\"email\":\"\""
#define GOOD_REST    "\"created_at\":1,\"roles\":[\"user\"]"

static void assert_refused(const char *line, size_t len, const char *reason)
{
    struct record record;
    struct fault fault;
    if (record_parse(&parser, line, len, &record, &fault) != RECORD_BAD)
        fail_msg("accepted: %s", line);
    if (strstr(fault.text, reason) == NULL)
        fail_msg("wanted \"%s\", got \"%s\" for %s", reason, fault.text, line);
}

static void each_wrong_line_is_refused_with_the_reason(void **state)
{
#define C255                                                                                       \
    "ccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"  \
    "ccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"  \
    "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"
    static const char *const cases[][2] = {
        {"", "the line ends inside its JSON object"},
        {"{\"id\":\"" ID "\"", "the line ends inside its JSON object"},
        {"null", "the line ends inside its JSON object"}, /* json-c wants more input */
        {"[1]", "not a JSON object"},
        {"\"x\"", "not a JSON object"},
        {"hello", "not JSON: "},
        {"\xEF\xBB\xBF{}", "not JSON: "},
        {"{}", "username is missing"},
        {USER(GOOD_NAME "," GOOD_REST) "}", "not JSON: "},
        {USER(GOOD_NAME "," GOOD_REST) USER(GOOD_NAME "," GOOD_REST), "not JSON: "},
        {USER(GOOD_NAME ",\"created_at\":1,\"roles\":[[[1]]]"), "not JSON: nesting too deep"},
        {USER("\"username\":\"\xC3(\",\"email\":\"\"," GOOD_REST), "the line is not UTF-8"},
        {USER("\"username\":\"\\ud83d\",\"email\":\"\"," GOOD_REST),
         "unpaired surrogate in a string"},
        {USER("\"username\":\"\\ude00\\ud83d\",\"email\":\"\"," GOOD_REST),
         "unpaired surrogate in a string"},
        {USER("\"username\":\"\\ud83dx\",\"email\":\"\"," GOOD_REST),
         "unpaired surrogate in a string"},
        {USER(GOOD_NAME "," GOOD_REST ",\"seq\":1"), "unknown field seq"},
        {USER(GOOD_NAME "," GOOD_REST ",\"password\":\"x\""), "unknown field password"},
        {"{\"id\":1," GOOD_NAME "," GOOD_REST "}", "id must be a string"},
        {"{\"id\":\"x\"," GOOD_NAME "," GOOD_REST "}", "id must be a UUID"},
        {"{\"id\":\"" ID "0\"," GOOD_NAME "," GOOD_REST "}", "id must be a UUID"},
        {"{\"id\":\"" ID "\\u0000\"," GOOD_NAME "," GOOD_REST "}", "id must be a UUID"},
        {USER("\"email\":\"\"," GOOD_REST), "username is missing"},
        {USER("\"username\":null,\"email\":\"\"," GOOD_REST), "username must be a string"},
        {USER("\"username\":\"\",\"email\":\"\"," GOOD_REST), "username is required"},
        {USER("\"username\":\"a\\u0000\",\"email\":\"\"," GOOD_REST), "username contains U+0000"},
        {USER("\"username\":\"" C255 "c\",\"email\":\"\"," GOOD_REST), "username is longer than"},
        {USER("\"username\":\"a\"," GOOD_REST), "email is missing"},
        {USER("\"username\":\"a\",\"email\":\"b\"," GOOD_REST), "email must have one @"},
        {USER("\"username\":\"a\",\"email\":\"b@" C255 "\"," GOOD_REST), "email is longer than"},
        {USER(GOOD_NAME ",\"created_at\":\"1\",\"roles\":[]"), "created_at must be an integer"},
        {USER(GOOD_NAME ",\"created_at\":1.5,\"roles\":[]"), "created_at must be an integer"},
        {USER(GOOD_NAME ",\"created_at\":9223372036854775808,\"roles\":[]"), "does not fit 64"},
        {USER(GOOD_NAME ",\"created_at\":99999999999999999999,\"roles\":[]"), "does not fit 64"},
        {USER(GOOD_NAME ",\"created_at\":-9223372036854775809,\"roles\":[]"), "does not fit 64"},
        {USER(GOOD_NAME ",\"created_at\":-92233720368547758080,\"roles\":[]"), "does not fit 64"},
        {USER(GOOD_NAME ",\"created_at\":1"), "roles is missing"},
        {USER(GOOD_NAME ",\"created_at\":1,\"roles\":\"user\""), "roles must be an array of str"},
        {USER(GOOD_NAME ",\"created_at\":1,\"roles\":[\"a\",1]"), "roles must be an array of str"},
        {USER(GOOD_NAME ",\"created_at\":1,\"roles\":[\"\"]"), "a role is empty"},
        {USER(GOOD_NAME ",\"created_at\":1,\"roles\":[\"a,b\"]"), "a role contains a comma"},
        {USER(GOOD_NAME ",\"created_at\":1,\"roles\":[\"a\\u0000\"]"), "or a control character"},
        {USER(GOOD_NAME ",\"created_at\":1,\"roles\":[\"a\",\"a\"]"), "a role is named twice"},
        {USER(GOOD_NAME ",\"created_at\":1,\"roles\":[\"" C255 "\"]"), "longer than 64 bytes"},
        {USER(GOOD_NAME ",\"created_at\":1,\"roles\":[1,2,3,4,5,6,7,8,9,0,1,2,3,4,5,6,7,8,9,0,1,2,"
                        "3,4,5,6,7,8,9,0,1,2,3]"),
         "there are more than 32 roles"},
        {"{\"rosterd_dump\":3,\"users\":1}",
         "a dump of format 3; this program reads formats 1 to 2"},
        {"{\"rosterd_dump\":0,\"users\":1}", "a dump of format 0"},
        {"{\"rosterd_dump\":\"1\",\"users\":1}", "a dump of format \"1\""},
        {"{\"rosterd_dump\":1}", "users is missing"},
        {"{\"rosterd_dump_end\":1,\"users\":-1}", "users must not be negative"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_refused(cases[i][0], strlen(cases[i][0]), cases[i][1]);
    static const char nul[] = USER(GOOD_NAME "," GOOD_REST) "\0x";
    assert_refused(nul, sizeof(nul) - 1, "text after the JSON object");
}

static void escapes_blanks_and_order_may_be_any(void **state)
{
    static const char line[] =
        " { \"roles\" : [ ] , \"email\":\"\\u0061@b\", \"created_at\" : -0,"
        "\"id\":\"00112233-4455-4677-8899-AABBCCDDEEFF\", \"username\":\"\\ud83d\\ude00\\\\ud83d\" "
        "} \t\r";
    struct record record;
    struct fault fault;
    struct user_fields fields;
    struct user_text roles[USER_ROLES_MAX];
    (void)state;
    assert_int_equal(record_parse(&parser, line, sizeof(line) - 1, &record, &fault), RECORD_USER);
    assert_memory_equal(record.id, binary_id, UUID_SIZE);
    assert_true(user_body_decode(&fields, roles, record.body, record.body_len));
    assert_int_equal(fields.username.len, 10);
    assert_memory_equal(fields.username.data, "\xF0\x9F\x98\x80\\ud83d", 10);
    assert_int_equal(fields.email.len, 3);
    assert_memory_equal(fields.email.data, "a@b", 3);
    assert_int_equal(fields.created_at, 0);
    assert_int_equal(fields.num_roles, 0);
}

static void a_dumps_first_and_last_line_are_told_from_users(void **state)
{
    char *out = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&out, &size);
    struct record record;
    struct fault fault;
    (void)state;
    record_print_header(file, "/a\"b", 7, 42);
    record_print_trailer(file, 43);
    fclose(file);
    assert_string_equal(out,
                        "{\"rosterd_dump\":2,\"segment\":\"/a\\\"b\",\"version\":7,\"users\":42}\n"
                        "{\"rosterd_dump_end\":2,\"users\":43}\n");
    size_t first = strcspn(out, "\n");
    assert_int_equal(record_parse(&parser, out, first, &record, &fault), RECORD_HEADER);
    assert_int_equal(parser.users, 42);
    assert_int_equal(
        record_parse(&parser, out + first + 1, strlen(out + first + 1), &record, &fault),
        RECORD_TRAILER);
    assert_int_equal(parser.users, 43);
    free(out);
}

/* ---- lines ---- */

static struct lines lines;

static void open_lines(const char *bytes, size_t len, size_t longest)
{
    FILE *file = tmpfile();
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    rewind(file);
    memset(&lines, 0, sizeof(lines));
    lines.fd = dup(fileno(file));
    lines.longest = longest;
    fclose(file);
}

static void assert_line(const char *expected)
{
    const char *line;
    size_t len;
    assert_int_equal(lines_next(&lines, &line, &len), LINES_READ);
    assert_int_equal(len, strlen(expected));
    assert_memory_equal(line, expected, len);
}

static void assert_lines_result(enum lines_result expected)
{
    const char *line;
    size_t len;
    assert_int_equal(lines_next(&lines, &line, &len), expected);
}

static void lines_are_parted_by_newlines_and_the_last_needs_none(void **state)
{
    (void)state;
    open_lines("ab\n\nc", 5, 10);
    assert_line("ab");
    assert_line("");
    assert_line("c");
    assert_int_equal(lines.number, 3);
    assert_lines_result(LINES_END);
    assert_lines_result(LINES_END);
    assert_int_equal(lines.number, 3);
    assert_int_equal(lines.bytes, 5);
    close(lines.fd);
    open_lines("", 0, 10);
    assert_lines_result(LINES_END);
    close(lines.fd);
}

static void a_line_that_is_too_long_is_skipped_however_long(void **state)
{
    enum { LONG = 3 * LINES_BUFFER_SIZE };
    char *bytes = malloc(LONG + 100);
    (void)state;
    assert_non_null(bytes);
    memset(bytes, 'x', LONG);
    memcpy(bytes + LONG, "\n0123456789\n0123456789a\nb\n", 26);
    open_lines(bytes, LONG + 26, 10);
    assert_lines_result(LINES_LONG);
    assert_int_equal(lines.number, 1);
    assert_line("0123456789");
    assert_lines_result(LINES_LONG);
    assert_line("b");
    assert_int_equal(lines.number, 4);
    assert_lines_result(LINES_END);
    close(lines.fd);
    open_lines(bytes, LONG, 10); /* the file ends inside the line */
    assert_lines_result(LINES_LONG);
    assert_lines_result(LINES_END);
    close(lines.fd);
    free(bytes);
}

static void lines_that_cross_the_buffers_end_are_whole(void **state)
{
    enum { EACH = 1000, COUNT = 5 * LINES_BUFFER_SIZE / EACH };
    char *bytes = malloc((size_t)COUNT * EACH), expected[EACH] = {0};
    (void)state;
    assert_non_null(bytes);
    for (size_t i = 0; i < COUNT; i++) {
        memset(bytes + i * EACH, 'a' + (int)(i % 26), EACH - 1);
        bytes[i * EACH + EACH - 1] = '\n';
    }
    open_lines(bytes, (size_t)COUNT * EACH, EACH);
    for (size_t i = 0; i < COUNT; i++) {
        memset(expected, 'a' + (int)(i % 26), EACH - 1);
        assert_line(expected);
    }
    assert_lines_result(LINES_END);
    close(lines.fd);
    free(bytes);
}

static void a_file_that_cannot_be_read_is_an_error(void **state)
{
    (void)state;
    memset(&lines, 0, sizeof(lines));
    lines.fd = -1;
    lines.longest = 10;
    assert_lines_result(LINES_FAILED);
    assert_int_equal(errno, EBADF);
}

/* Opens these bytes as a file of any form. */
static void open_any(const char *text)
{
    open_lines(text, strlen(text), 20);
    lines.detect = true;
}

static void rows_of_csv_may_have_newlines_in_quotes(void **state)
{
    (void)state;
    open_any("\xEF\xBB\xBFid,x\r\n1,\"a\n\"\"b\"\n2,c");
    assert_line("id,x\r");
    assert_int_equal(lines.form, LINES_CSV);
    assert_line("1,\"a\n\"\"b\"");
    assert_int_equal(lines.number, 2);
    assert_line("2,c");
    assert_int_equal(lines.number, 4);
    assert_lines_result(LINES_END);
    close(lines.fd);
    open_any("x\n\"0123456789\n0123456789\n\"\ny\n\"open\n"); /* a long row, one without end */
    assert_line("x");
    assert_lines_result(LINES_LONG);
    assert_int_equal(lines.number, 2);
    assert_line("y");
    assert_int_equal(lines.number, 5);
    assert_line("\"open\n");
    assert_lines_result(LINES_END);
    close(lines.fd);
}

static void objects_of_an_array_are_parted(void **state)
{
    (void)state;
    open_any("\n [ {\"a\":\"}\\\"]\"},\n{\n\"b\":[{}]}\n ,{} ]\n\n");
    assert_line("{\"a\":\"}\\\"]\"}");
    assert_int_equal(lines.form, LINES_ARRAY);
    assert_int_equal(lines.number, 2);
    assert_line("{\n\"b\":[{}]}");
    assert_int_equal(lines.number, 3);
    assert_line("{}");
    assert_int_equal(lines.number, 5);
    assert_lines_result(LINES_END);
    assert_lines_result(LINES_END);
    close(lines.fd);
    open_any("[{\"0123456789\":\"01234567890}\"},{}]");
    assert_lines_result(LINES_LONG);
    assert_line("{}");
    assert_lines_result(LINES_END);
    close(lines.fd);
    open_any("[]");
    assert_lines_result(LINES_END);
    close(lines.fd);
}

/* Entries of this text, each with another number, in a file that is longer than the buffer. */
static void assert_many(const char *before, const char *entry, const char *between,
                        const char *after)
{
    enum { COUNT = 40000 };
    char *bytes = NULL, expected[64];
    size_t len;
    FILE *out = open_memstream(&bytes, &len);
    assert_non_null(out);
    fputs(before, out);
    for (int i = 0; i < COUNT; i++) {
        fprintf(out, entry, i);
        fputs(i + 1 < COUNT ? between : after, out);
    }
    fclose(out);
    assert_true(len > 2 * (size_t)LINES_BUFFER_SIZE);
    open_lines(bytes, len, 50);
    lines.detect = true;
    for (int i = 0; i < COUNT; i++) {
        snprintf(expected, sizeof(expected), entry, i);
        assert_line(expected);
        assert_int_equal(lines.number, 2 * i + 1);
    }
    assert_lines_result(LINES_END);
    close(lines.fd);
    free(bytes);
}

static void entries_that_cross_the_buffers_end_are_whole(void **state)
{
    (void)state;
    assert_many("", "%d,\"x\n\"\"y\"", "\n", "\n");
    assert_many("[", "{\"a\": \"}\\\"\", \n\"b\": %d}", ",\n", "]");
}

static void the_form_is_known_as_soon_as_the_bytes_tell_it(void **state)
{
    static const char *const parts[][3] = {
        {"{", "}\n"}, {"\xEF", "\xBB\xBF{", "}\n"}, {"\n", " ", "[{}]"}};
    (void)state;
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        int ends[2];
        assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
        memset(&lines, 0, sizeof(lines));
        lines.fd = ends[0];
        lines.longest = 20;
        lines.detect = true;
        for (size_t k = 0; k < 3 && parts[i][k] != NULL; k++) {
            ssize_t len = (ssize_t)strlen(parts[i][k]);
            assert_int_equal(write(ends[1], parts[i][k], (size_t)len), len);
            if (k + 1 < 3 && parts[i][k + 1] != NULL)
                assert_lines_result(LINES_FAILED); /* it would have to wait */
        }
        assert_line("{}");
        assert_int_equal(lines.form, i == 2 ? LINES_ARRAY : LINES_PLAIN);
        close(ends[0]);
        close(ends[1]);
    }
}

static void wrong_arrays_are_told(void **state)
{
    static const struct {
        const char *text;
        unsigned objects, line;
        const char *why;
    } cases[] = {
        {"[{}\n", 1, 2, "truncated: the array has no ] at its end"},
        {"[\n{\"a\":", 0, 2, "the array ends inside one of its objects"},
        {"[{},]", 1, 1, "an element of the array is not an object"},
        {"[1]", 0, 1, "an element of the array is not an object"},
        {"[{}{}]", 1, 1, "the array needs a , or ] here"},
        {"[{}]\n\n{}", 1, 3, "text after the end of the array"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        open_any(cases[i].text);
        for (unsigned k = 0; k < cases[i].objects; k++)
            assert_line("{}");
        assert_lines_result(LINES_BAD);
        assert_int_equal(lines.number, cases[i].line);
        assert_string_equal(lines.why, cases[i].why);
        close(lines.fd);
    }
}

/* ---- users without everything, and CSV ---- */

static void parse_well(const char *line, struct record *record, struct user_record *user,
                       struct user_record_room *room)
{
    struct fault fault = {{0}};
    if (record_parse(&parser, line, strlen(line), record, &fault) != RECORD_USER)
        fail_msg("%s: %s", fault.text, line);
    assert_true(user_record_decode(user, room, record->body, record->body_len, record->hidden,
                                   record->hidden_len));
}

static void user_without_id_and_time_gets_them(void **state)
{
    struct record first, second;
    struct user_record user;
    struct user_record_room room;
    int64_t now = clock_real_coarse_s();
    (void)state;
    parse_well("{\"username\":\"ada\"}", &first, &user, &room);
    assert_true(first.created_now);
    assert_true(user.fields.created_at >= now && user.fields.created_at < now + 60);
    assert_int_equal(user.fields.email.len, 0);
    assert_int_equal(user.fields.num_roles, 0);
    parse_well("{\"username\":\"ada\"}", &second, &user, &room);
    assert_memory_not_equal(first.id, second.id, UUID_SIZE);
    parse_well("{\"id\":\"" ID "\",\"username\":\"ada\",\"email\":\"\",\"roles\":[]}", &first,
               &user, &room);
    assert_memory_equal(first.id, binary_id, UUID_SIZE);
    assert_true(first.created_now);
}

static void row_of_csv_is_a_user(void **state)
{
    static struct record_columns columns;
    struct record record;
    struct user_record user;
    struct user_record_room room;
    struct fault fault = {{0}};
    const char *names = "username,labels.team,roles,created_at,disabled,email,id\r";
    (void)state;
    if (!record_columns_read(&columns, names, strlen(names), &fault))
        fail_msg("%s", fault.text);
    parser.columns = &columns;
    parse_well("\"a \"\"b\"\",c\",blue,\"user,ops\",2023-11-14T22:13:20Z,true,a@b," ID "\r",
               &record, &user, &room);
    assert_memory_equal(record.id, binary_id, UUID_SIZE);
    assert_int_equal(user.fields.username.len, 7);
    assert_memory_equal(user.fields.username.data, "a \"b\",c", 7);
    assert_int_equal(user.fields.created_at, 1700000000);
    assert_int_equal(user.fields.num_roles, 2);
    assert_memory_equal(user.fields.roles[1].data, "ops", 3);
    assert_true(user.disabled);
    assert_int_equal(user.num_labels, 1);
    assert_memory_equal(user.labels[0].value.data, "blue", 4);
    parse_well("ada,,,-5,,,", &record, &user, &room);
    assert_int_equal(user.fields.created_at, -5);
    assert_int_equal(user.num_labels, 0);
    assert_false(user.disabled);
    assert_false(record.created_now);

    static const char *const wrong[][2] = {
        {"ada,,,,,", "there are 6 cells, but 7 columns"},
        {"ada,,,1x,,,", "created_at must be an integer, or a time"},
        {"ada,,, 1,,,", "created_at must be an integer, or a time"},
        {"ada,,,9223372036854775808,,,", "created_at does not fit 64 bits"},
        {"ada,,,,yes,,", "disabled must be true or false"},
        {"ada,,\"a,\",,,,", "a role is empty"},
        {"ada,,,,,,x", "id must be a UUID"},
        {",,,,,,", "username is required"},
        {"\"ada,,,,,,", "cell 1 has no quote at its end"},
        {"\"ada\"x,,,,,,", "cell 1 goes on behind its quotes"},
        {"ada,b\"c,,,,,", "cell 2 has a quote in its middle"},
        {"\xff,,,,,,", "the line is not UTF-8"},
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_int_equal(record_parse(&parser, wrong[i][0], strlen(wrong[i][0]), &record, &fault),
                         RECORD_BAD);
        assert_non_null(strstr(fault.text, wrong[i][1]));
    }
}

static void wrong_columns_are_named(void **state)
{
    static const char *const cases[][2] = {
        {"id,email", "the column username is missing"},
        {"username,Email", "unknown column \"Email\""},
        {"username,id,id", "there are two columns id"},
        {"username,", "unknown column \"\""},
    };
    static struct record_columns columns;
    struct fault fault = {{0}};
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_false(record_columns_read(&columns, cases[i][0], strlen(cases[i][0]), &fault));
        assert_non_null(strstr(fault.text, cases[i][1]));
    }
}

int main(void)
{
#define WITH_PARSER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH_PARSER(a_user_survives_the_way_to_json_and_back),
        WITH_PARSER(the_longest_user_survives_too),
        cmocka_unit_test(what_json_cannot_hold_is_not_printed),
        WITH_PARSER(each_wrong_line_is_refused_with_the_reason),
        WITH_PARSER(escapes_blanks_and_order_may_be_any),
        WITH_PARSER(a_dumps_first_and_last_line_are_told_from_users),
        cmocka_unit_test(lines_are_parted_by_newlines_and_the_last_needs_none),
        cmocka_unit_test(a_line_that_is_too_long_is_skipped_however_long),
        cmocka_unit_test(lines_that_cross_the_buffers_end_are_whole),
        cmocka_unit_test(a_file_that_cannot_be_read_is_an_error),
        cmocka_unit_test(rows_of_csv_may_have_newlines_in_quotes),
        cmocka_unit_test(objects_of_an_array_are_parted),
        cmocka_unit_test(entries_that_cross_the_buffers_end_are_whole),
        cmocka_unit_test(the_form_is_known_as_soon_as_the_bytes_tell_it),
        cmocka_unit_test(wrong_arrays_are_told),
        WITH_PARSER(user_without_id_and_time_gets_them),
        WITH_PARSER(row_of_csv_is_a_user),
        cmocka_unit_test(wrong_columns_are_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
