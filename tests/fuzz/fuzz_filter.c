/* SPDX-License-Identifier: MIT */
/*
 * Fuzzes the filter's parser and a match. An input is a filter, a byte 0xff, the length of a body,
 * the body, and a hidden part. The filter inside of larger ones must match what logic says; a key
 * must find each user that matches; an error must be one printable line.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

#include "base/utf8.h"
#include "fuzz.h"
#include "user/filter/filter.h"

static void die(const char *why)
{
    fprintf(stderr, "filter: %s\n", why);
    abort();
}

struct two_parts {
    const uint8_t *body, *hidden;
    uint32_t body_len, hidden_len;
};
#define PARTS(body, hidden)                                                                        \
    {                                                                                              \
        (const uint8_t *)(body), (const uint8_t *)(hidden), sizeof(body) - 1, sizeof(hidden) - 1   \
    }

/* Users with and without each field. The last place is for the input's user. */
static struct two_parts users[] = {
    PARTS("\x12\x03"
          "ada\x1a\x0f"
          "ada@Example.org\x20\x01\x2a\x05"
          "admin",
          "\x08\x01\x11\x01\x00\x00\x00\x00\x00\x00\x00\x1a\x0c\x0a\x04team\x12\x04"
          "core\x22\x01x"),
    PARTS("\x12\x01"
          "b",
          ""),
    PARTS("\x12\x02"
          "a*\x2a\x01x\x2a\x04user",
          "\x1a\x06\x0a\x04team"),
    {NULL, NULL, 0, 0},
};
enum { USERS = sizeof(users) / sizeof(*users) };

static bool match(const struct filter *filter, const struct two_parts *user)
{
    return filter_match(filter, user->body, user->body_len, user->hidden, user->hidden_len);
}

static void check_message(const char *text)
{
    size_t len = strlen(text);
    if (strncmp(text, "position ", 9) != 0 && strncmp(text, "the filter ", 11) != 0)
        die("the message does not say where");
    if (!utf8_valid((const uint8_t *)text, len))
        die("the message is not UTF-8");
    for (size_t at = 0; at < len;) {
        uint32_t code;
        at += utf8_next((const uint8_t *)text + at, len - at, &code);
        if (utf8_steers(code))
            die("the message has a control character");
    }
}

static struct filter *parse(const char *text, size_t len, struct fault *fault)
{
    struct filter *filter;
    *fault = (struct fault){.text = ""};
    enum filter_result result = filter_parse(&filter, text, len, fault);
    if (result == FILTER_WRONG)
        check_message(fault->text);
    else if (result != FILTER_OK)
        die(fault->text);
    return filter;
}

/* Parses the filter with other text around it. @return NULL: that is beyond a bound */
static struct filter *parse_inside(const char *before, const char *text, size_t len,
                                   const char *after)
{
    static char whole[2 * FILTER_TEXT_MAX];
    struct fault fault;
    int used = snprintf(whole, sizeof(whole), "%s", before);
    memcpy(whole + used, text, len);
    used += (int)len;
    used += snprintf(whole + used, sizeof(whole) - (size_t)used, "%s", after);
    struct filter *filter = parse(whole, (size_t)used, &fault);
    if (filter == NULL && strstr(fault.text, "more than") == NULL &&
        strstr(fault.text, "longer than") == NULL)
        die("a filter in brackets is none");
    return filter;
}

static void check_logic(const struct filter *filter, const char *text, size_t len)
{
    enum user_key key;
    struct user_text key_text;
    struct filter *negated = parse_inside("NOT (", text, len, ")"),
                  *either = parse_inside("disabled OR (", text, len, ")"),
                  *both = parse_inside("(", text, len, ") AND -disabled"),
                  *disabled = parse_inside("disabled", "", 0, "");
    for (size_t i = 0; i < USERS; i++) {
        const bool is = match(filter, &users[i]), off = match(disabled, &users[i]);
        if (negated != NULL && match(negated, &users[i]) == is)
            die("NOT does not turn the result over");
        if (either != NULL && match(either, &users[i]) != (off || is))
            die("OR is not or");
        if (both != NULL && match(both, &users[i]) != (is && !off))
            die("AND is not and");
    }
    if (either != NULL && filter_key(either, &key, &key_text))
        die("a key answers a disjunction");
    free(negated);
    free(either);
    free(both);
    free(disabled);
}

static void check_key(const struct filter *filter)
{
    enum user_key key;
    struct user_text text;
    uint8_t has[USER_KEY_MAX];
    if (!filter_key(filter, &key, &text))
        return;
    for (size_t i = 0; i < USERS; i++) {
        if (!match(filter, &users[i]))
            continue;
        const size_t len = user_key_of(key, users[i].body, users[i].body_len, has);
        if (!user_text_equal(text, (struct user_text){.data = has, .len = len}))
            die("a user that matches has another key");
    }
}

static bool is_blank(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (strchr(" \t\r\n", text[i]) == NULL || text[i] == '\0')
            return false;
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const uint8_t *split = memchr(data, 0xff, len), *end = data + len;
    const size_t text_len = split == NULL ? len : (size_t)(split - data);
    struct two_parts *user = &users[USERS - 1];
    *user = (struct two_parts){0};
    if (split != NULL && split + 1 != end) {
        user->body = split + 2;
        user->body_len = (uint32_t)MIN(split[1], end - user->body);
        user->hidden = user->body + user->body_len;
        user->hidden_len = (uint32_t)(end - user->hidden);
    }
    const char *text = (const char *)data;
    struct fault fault;
    struct filter *filter = parse(text, text_len, &fault);
    if (filter == NULL)
        return 0;
    if (!is_blank(text, text_len))
        check_logic(filter, text, text_len);
    check_key(filter);
    free(filter);
    return 0;
}
