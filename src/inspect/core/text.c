/* SPDX-License-Identifier: MIT */
#include "inspect/core/text.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { REPLACEMENT = 0xFFFD };

static const char replacement_utf8[] = "\xEF\xBF\xBD";

/* The bounds that the second byte has after each lead byte (Unicode 3.9, table 3-7). They shut
 * out overlong forms, surrogates and what lies beyond U+10FFFF. */
static size_t sequence_length(uint8_t lead, uint8_t *low, uint8_t *high)
{
    *low = 0x80;
    *high = 0xBF;
    if (lead < 0x80)
        return 1;
    if (lead >= 0xC2 && lead <= 0xDF)
        return 2;
    if (lead >= 0xE0 && lead <= 0xEF) {
        if (lead == 0xE0)
            *low = 0xA0;
        if (lead == 0xED)
            *high = 0x9F;
        return 3;
    }
    if (lead >= 0xF0 && lead <= 0xF4) {
        if (lead == 0xF0)
            *low = 0x90;
        if (lead == 0xF4)
            *high = 0x8F;
        return 4;
    }
    return 0;
}

size_t text_next(const uint8_t *bytes, size_t len, uint32_t *code)
{
    uint8_t low, high;
    size_t need = sequence_length(bytes[0], &low, &high);

    *code = REPLACEMENT;
    if (need == 0)
        return 1;
    if (need == 1) {
        *code = bytes[0];
        return 1;
    }
    uint32_t value = bytes[0] & (0x7Fu >> need);
    for (size_t i = 1; i < need; i++) {
        if (i >= len || bytes[i] < low || bytes[i] > high)
            return i;
        value = value << 6 | (bytes[i] & 0x3Fu);
        low = 0x80;
        high = 0xBF;
    }
    *code = value;
    return need;
}

bool text_is_utf8(const void *bytes, size_t len)
{
    const uint8_t *text = bytes;

    for (size_t at = 0, used; at < len; at += used) {
        uint32_t code;
        used = text_next(text + at, len - at, &code);
        /* U+FFFD may also stand there as itself */
        if (code == REPLACEMENT && (used != 3 || memcmp(text + at, replacement_utf8, 3) != 0))
            return false;
    }
    return true;
}

/* Whether a terminal or a reader's eye could be misled by it. */
static bool is_unsafe(uint32_t code)
{
    return code < 0x20 || (code >= 0x7F && code < 0xA0) ||         /* C0, DEL, C1 */
           code == 0x061C || (code >= 0x200E && code <= 0x200F) || /* direction marks */
           (code >= 0x2028 && code <= 0x202E) ||                   /* separators, embeddings */
           (code >= 0x2066 && code <= 0x2069) ||                   /* isolates */
           code == 0xFEFF;
}

static void print_escaped(FILE *out, uint32_t code)
{
    switch (code) {
    case '\n':
        fputs("\\n", out);
        break;
    case '\r':
        fputs("\\r", out);
        break;
    case '\t':
        fputs("\\t", out);
        break;
    default:
        fprintf(out, code < 0x100 ? "\\x%02x" : "\\u%04x", (unsigned)code);
    }
}

void text_print(FILE *out, const void *bytes, size_t len)
{
    const uint8_t *at = bytes, *end = at + len;

    while (at < end) {
        uint32_t code;
        size_t used = text_next(at, (size_t)(end - at), &code);
        if (code == '\\')
            fputs("\\\\", out);
        else if (is_unsafe(code))
            print_escaped(out, code);
        else if (code == REPLACEMENT)
            fputs(replacement_utf8, out);
        else
            fwrite(at, 1, used, out);
        at += used;
    }
}

void text_print_json(FILE *out, struct json_object *value)
{
    size_t len;
    const char *text = json_object_to_json_string_length(
        value, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &len);

    if (text == NULL)
        abort(); /* out of memory */
    const uint8_t *at = (const uint8_t *)text, *end = at + len;
    /* json-c escapes C0 alone. What else is unsafe can stand only inside a string, where its
     * escape means the same. */
    while (at < end) {
        uint32_t code;
        size_t used = text_next(at, (size_t)(end - at), &code);
        if (is_unsafe(code))
            fprintf(out, "\\u%04x", (unsigned)code);
        else
            fwrite(at, 1, used, out);
        at += used;
    }
    putc('\n', out);
}

struct json_object *text_json_string(const void *bytes, size_t len)
{
    const uint8_t *at = bytes, *end = at + len;
    /* the worst case: every byte becomes the three of U+FFFD */
    char *clean = malloc(3 * len + 1), *to = clean;

    if (clean == NULL)
        abort();
    while (at < end) {
        uint32_t code;
        size_t used = text_next(at, (size_t)(end - at), &code);
        if (code == REPLACEMENT)
            to = mempcpy(to, replacement_utf8, sizeof(replacement_utf8) - 1);
        else
            to = mempcpy(to, at, used);
        at += used;
    }
    struct json_object *string = json_object_new_string_len(clean, (int)(to - clean));
    free(clean);
    return string;
}

void text_json_number(struct json_object *object, const char *key, uint64_t value)
{
    json_object_object_add(object, key, json_object_new_uint64(value));
}

void text_time_format(char text[TEXT_TIME_SIZE], int64_t seconds)
{
    static const int64_t year_0 = -62167219200, year_10000 = 253402300800;
    time_t clock = (time_t)seconds;
    struct tm tm;

    if (seconds >= year_0 && seconds < year_10000 && gmtime_r(&clock, &tm) != NULL)
        strftime(text, TEXT_TIME_SIZE, "%Y-%m-%dT%H:%M:%SZ", &tm);
    else
        snprintf(text, TEXT_TIME_SIZE, "%" PRId64, seconds);
}
