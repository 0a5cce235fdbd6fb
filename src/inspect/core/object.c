/* SPDX-License-Identifier: MIT */
#include "inspect/core/object.h"

#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "inspect/core/memory.h"
#include "inspect/core/text.h"

struct json_object *object_new(void)
{
    return memory_check(json_object_new_object());
}

struct json_object *object_new_array(void)
{
    return memory_check(json_object_new_array());
}

struct json_object *object_new_text(const void *bytes, size_t len)
{
    const uint8_t *at = bytes, *end = at + len;
    if (utf8_valid(at, len)) /* nearly always, and a dump has millions of texts */
        return memory_check(json_object_new_string_len(len != 0 ? bytes : "", (int)len));
    /* In the worst case every byte is replaced by a U+FFFD of three bytes. */
    char *clean = memory_new_array(3 * len + 1, 1), *to = clean;
    while (at < end) {
        uint32_t code;
        size_t used = utf8_next_lossy(at, (size_t)(end - at), &code);
        if (code == UTF8_REPLACEMENT)
            to = mempcpy(to, TEXT_REPLACEMENT_UTF8, sizeof(TEXT_REPLACEMENT_UTF8) - 1);
        else
            to = mempcpy(to, at, used);
        at += used;
    }
    struct json_object *string = json_object_new_string_len(clean, (int)(to - clean));
    free(clean);
    return memory_check(string);
}

void object_add(struct json_object *object, const char *key, struct json_object *value)
{
    if (json_object_object_add(object, key, memory_check(value)) != 0)
        memory_exhausted();
}

void object_add_bool(struct json_object *object, const char *key, bool value)
{
    object_add(object, key, json_object_new_boolean(value));
}

void object_add_number(struct json_object *object, const char *key, uint64_t value)
{
    object_add(object, key, json_object_new_uint64(value));
}

void object_add_signed(struct json_object *object, const char *key, int64_t value)
{
    object_add(object, key, json_object_new_int64(value));
}

void object_add_double(struct json_object *object, const char *key, double value)
{
    object_add(object, key, json_object_new_double(value));
}

void object_add_string(struct json_object *object, const char *key, const char *value)
{
    object_add(object, key, object_new_text(value, strlen(value)));
}

void object_append(struct json_object *array, struct json_object *value)
{
    if (json_object_array_add(array, memory_check(value)) != 0)
        memory_exhausted();
}

void object_print(FILE *out, struct json_object *value)
{
    size_t len;
    const char *text = json_object_to_json_string_length(
        value, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &len);
    const uint8_t *at = memory_check((void *)(uintptr_t)text), *end = at + len;
    /* json-c escapes only the C0 controls. Other unsafe characters occur only inside strings, where
     * an escape means the same character. */
    while (at < end) {
        const uint8_t *plain = at;
        while (at < end && *at >= 0x20 && *at < 0x7f)
            at++;
        fwrite(plain, 1, (size_t)(at - plain), out);
        if (at == end)
            break;
        uint32_t code;
        size_t used = utf8_next_lossy(at, (size_t)(end - at), &code);
        if (text_is_escaped(code))
            fprintf(out, "\\u%04x", (unsigned)code);
        else
            fwrite(at, 1, used, out);
        at += used;
    }
    putc('\n', out);
    json_object_put(value);
}
