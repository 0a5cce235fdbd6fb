/* SPDX-License-Identifier: MIT */
/*
 * Fuzzes the small languages of metadata: base64 of -bin values, percent-encoding, timeouts, lists
 * of encodings, and the access log's JSON and text of them. Each result is compared with that of
 * the inverse function or of a library.
 */
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/percent.h"
#include "base/utf8.h"
#include "fuzz.h"
#include "grpc/compress.h"
#include "grpc/metadata.h"
#include "grpc/timeout.h"
#include "service/observe/access_log_line.h"

static void die(const char *why)
{
    fprintf(stderr, "metadata: %s\n", why);
    abort();
}

static void check_base64(const char *text, size_t len)
{
    size_t decoded_len;
    uint8_t *decoded = malloc(base64_decoded_max(len));
    char *again = malloc(base64_encoded_length(base64_decoded_max(len)) + 1);
    if (base64_decode(decoded, &decoded_len, text, len)) {
        if (decoded_len > base64_decoded_max(len))
            die("base64 is longer than its bound");
        size_t again_len = base64_encoded_length(decoded_len), body = len;
        base64_encode(again, decoded, decoded_len);
        while (body != 0 && text[body - 1] == '=')
            body--;
        /* the last character may have bits that do not count */
        if (again_len != body || (body > 1 && memcmp(again, text, body - 1) != 0))
            die("base64 is not what it was");
    }
    free(again);
    free(decoded);
}

static void check_percent(const char *text, size_t len)
{
    size_t encoded_len = percent_length(text, len), at = 0;
    char *encoded = malloc(encoded_len + 1);
    if (percent_encode(encoded, text, len) != encoded + encoded_len)
        die("percent-encoding has another length");
    encoded[encoded_len] = '\0';
    for (size_t i = 0; i < encoded_len; at++) {
        unsigned byte = (uint8_t)encoded[i];
        if (byte < 0x20 || byte > 0x7e)
            die("percent-encoding left a byte that HTTP does not take");
        if (byte == '%' && sscanf(encoded + i + 1, "%2x", &byte) == 1)
            i += 2;
        i++;
        if (at >= len || byte != (uint8_t)text[at])
            die("percent-encoding is not what it was");
    }
    if (at != len)
        die("percent-encoding is shorter than it was");
    free(encoded);
}

static void check_timeout(const char *text, size_t len)
{
    uint64_t ms;
    if (!grpc_timeout_parse(text, len, &ms))
        return;
    if (len < 2 || len > 9 || strchr("HMSmun", text[len - 1]) == NULL ||
        strspn(text, "0123456789") != len - 1)
        die("a malformed time-out is taken");
}

static void check_json(const char *text, size_t len)
{
    enum { LIMIT = 4000 };
    char out[LIMIT + 1];
    char *end = access_log_put_json(out, text, len, LIMIT);
    if (end - out > LIMIT)
        die("JSON over its limit");
    *end = '\0';
    struct json_tokener *tokener = json_tokener_new();
    json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
    struct json_object *read = json_tokener_parse_ex(tokener, out, (int)strlen(out) + 1);
    if (read == NULL || !json_object_is_type(read, json_type_string))
        die("JSON does not parse");
    if (len < 600 && utf8_valid((const uint8_t *)text, len) &&
        ((size_t)json_object_get_string_len(read) != len ||
         memcmp(json_object_get_string(read), text, len) != 0))
        die("JSON does not give back the text");
    json_object_put(read);
    json_tokener_free(tokener);
    end = access_log_put_text(out, text, len, LIMIT);
    if (end - out > LIMIT || memchr(out, '\n', (size_t)(end - out)) != NULL)
        die("a text breaks its line or its limit");
}

/* A request field: the first line is its name, the rest its value. */
static void check_field(char *text, size_t len)
{
    struct grpc_arena arena;
    struct grpc_metadata *list = NULL, **tail = &list;
    char *newline = memchr(text, '\n', len);
    if (newline == NULL)
        return;
    h2o_iovec_t name = h2o_iovec_init(text, (size_t)(newline - text));
    h2o_header_t field = {.name = &name,
                          .value = h2o_iovec_init(newline + 1, len - (size_t)(newline - text) - 1)};
    grpc_arena_init(&arena, NULL, 0);
    unsigned split = 0;
    if (grpc_metadata_keep(&arena, &tail, &field, &split) == GRPC_METADATA_KEPT)
        for (struct grpc_metadata *m = list; m != NULL; m = m->next)
            if (m->value[m->value_len] != '\0' || m->name_len != name.len)
                die("a field does not end with a NUL");
    grpc_arena_clear(&arena, true);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    char *text = malloc(len + 1);
    memcpy(text, data, len);
    text[len] = '\0';
    check_base64(text, len);
    check_percent(text, len);
    check_timeout(text, len);
    grpc_compress_accepted(text, len);
    check_json(text, len);
    check_field(text, len);
    free(text);
    return 0;
}
