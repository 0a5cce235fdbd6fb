/* SPDX-License-Identifier: MIT */
#include "tests/inspect/users_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/inspect/tool.h"

const char *file_path(void)
{
    static char path[64];
    if (path[0] == '\0')
        snprintf(path, sizeof(path), "test-inspect-%d.jsonl", (int)getpid());
    return path;
}

void file_remove(void)
{
    char temporary[80];
    snprintf(temporary, sizeof(temporary), "%s.tmp", file_path());
    unlink(file_path());
    unlink(temporary);
}

void file_write(const char *text)
{
    FILE *file = fopen(file_path(), "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

char *file_read(const char *path)
{
    FILE *file = fopen(path, "r");
    char *text = NULL;
    size_t size = 0;
    if (file == NULL)
        return NULL;
    if (getdelim(&text, &size, '\0', file) < 0) {
        free(text);
        text = strdup(""); /* the file is empty */
    }
    fclose(file);
    return text;
}

static void id_of(uint8_t id[UUID_SIZE], unsigned i)
{
    memset(id, 0, UUID_SIZE);
    /* The order of the ids must not be the order of creation. */
    uint32_t scattered = i * 2654435761u;
    memcpy(id, &scattered, sizeof(scattered));
    memcpy(id + 12, &i, sizeof(i));
    id[6] = 0x40;
    id[8] = 0x80;
}

size_t line_of(char line[FILE_LINE_SIZE], unsigned i)
{
    uint8_t id[UUID_SIZE];
    char text[UUID_TEXT_SIZE + 1];
    id_of(id, i);
    uuid_to_string(text, id);
    return (size_t)snprintf(line, FILE_LINE_SIZE,
                            "{\"id\":\"%s\",\"username\":\"user%u\",\"email\":\"%u@example.org\","
                            "\"created_at\":%u,\"roles\":[\"user\",\"r%u\"]}\n",
                            text, i, i, 1700000000 + i, i % 7);
}

void lines_of(FILE *out, unsigned from, unsigned to)
{
    char line[FILE_LINE_SIZE];
    for (unsigned i = from; i < to; i++)
        assert_int_equal(fwrite(line, line_of(line, i), 1, out), 1);
}

void file_write_users(unsigned from, unsigned to)
{
    FILE *file = fopen(file_path(), "w");
    assert_non_null(file);
    lines_of(file, from, to);
    assert_int_equal(fclose(file), 0);
}

size_t user_of(uint8_t id[UUID_SIZE], uint8_t body[USER_BODY_MAX], unsigned i)
{
    char username[32], email[32], role[32];
    struct user_text roles[2] = {{(const uint8_t *)"user", 4}, {(const uint8_t *)role, 0}};
    struct user_fields fields = {.created_at = 1700000000 + (int64_t)i, .roles = roles};
    id_of(id, i);
    fields.username = (struct user_text){(const uint8_t *)username,
                                         (size_t)snprintf(username, sizeof(username), "user%u", i)};
    fields.email = (struct user_text){(const uint8_t *)email,
                                      (size_t)snprintf(email, sizeof(email), "%u@example.org", i)};
    roles[1].len = (size_t)snprintf(role, sizeof(role), "r%u", i % 7);
    fields.num_roles = 2;
    return user_body_encode(body, &fields);
}

/* Cuts each line after its fifth field. */
static void cut_lines(char *users)
{
    static const char sixth[] = ",\"disabled\":";
    char *to = users, *at = users;
    while (*at != '\0') {
        char *cut = strstr(at, sixth), *end = strchr(at, '\n');
        assert_true(cut != NULL && end != NULL && cut < end);
        memmove(to, at, (size_t)(cut - at));
        to += cut - at;
        *to++ = '}';
        *to++ = '\n';
        at = end + 1;
    }
    *to = '\0';
}

char *dumped_users(void)
{
    struct tool_result got = tool_run(ON_SEGMENT, "dump", NULL);
    assert_string_equal(got.err, "");
    assert_int_equal(got.exit, 0);
    char *first = strchr(got.out, '\n');
    assert_non_null(first);
    assert_int_equal(got.out[got.out_len - 1], '\n');
    got.out[got.out_len - 1] = '\0';
    char *last = strrchr(got.out, '\n');
    assert_memory_equal(last + 1, "{\"rosterd_dump_end\":2,", 22);
    last[1] = '\0';
    char *users = strdup(first + 1);
    assert_non_null(users);
    tool_free(&got);
    cut_lines(users);
    return users;
}

void assert_table_has(unsigned count)
{
    char *users = dumped_users(), *at = users, line[FILE_LINE_SIZE];
    for (unsigned i = 0; i < count; i++) {
        size_t len = line_of(line, i);
        if (strncmp(at, line, len) != 0)
            fail_msg("user %u should be %s, is %.*s", i, line, (int)strcspn(at, "\n"), at);
        at += len;
    }
    assert_string_equal(at, "");
    free(users);
}
