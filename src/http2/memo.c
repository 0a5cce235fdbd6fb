/* SPDX-License-Identifier: MIT */
#include "http2/memo.h"

#include <string.h>

#include "base/secret.h"

static void memo_drop_request(struct http2_memo *memo)
{
    secret_free(memo->kept, memo->kept_len);
    memo->kept = NULL;
}

void http2_memo_forget(struct http2_memo *memo)
{
    if (memo->len == 0)
        return;
    memo_drop_request(memo);
    explicit_bzero(memo->block, memo->len);
    memo->len = 0;
}

void http2_memo_dispose(struct http2_memo *memo)
{
    http2_memo_forget(memo);
    secret_free(memo->block, HTTP2_MEMO_MAX);
    memo->block = NULL;
}

static bool is_token_name(const h2o_iovec_t *name)
{
    return h2o_iovec_is_token(name) != 0;
}

static size_t request_size(const struct http2_request *request)
{
    size_t size = request->num_fields * sizeof(h2o_header_t) + request->method.len +
                  request->path.len + request->authority.len;
    for (size_t i = 0; i != request->num_fields; i++) {
        const h2o_header_t *field = &request->fields[i];
        size += field->value.len;
        if (!is_token_name(field->name))
            size += sizeof(h2o_iovec_t) + field->name->len;
    }
    return size;
}

/* Copies a text to *at and moves *at behind it. */
static h2o_iovec_t copy_text(uint8_t **at, h2o_iovec_t text)
{
    h2o_iovec_t kept = {text.base, text.len};
    if (text.base == NULL)
        return kept;
    kept.base = memcpy(*at, text.base, text.len);
    *at += text.len;
    return kept;
}

/* The piece holds the fields first, then the names that are no tokens, then the texts, so that
 * everything is aligned. */
static void memo_keep_request(struct http2_memo *memo, const struct http2_request *request)
{
    memo->kept_len = request_size(request);
    memo->kept = secret_alloc(memo->kept_len);
    if (memo->kept == NULL)
        return; /* the block is decoded each time */
    h2o_header_t *fields = (h2o_header_t *)memo->kept;
    h2o_iovec_t *names = (h2o_iovec_t *)(fields + request->num_fields);
    size_t num_names = 0;
    for (size_t i = 0; i != request->num_fields; i++)
        num_names += !is_token_name(request->fields[i].name);
    uint8_t *at = (uint8_t *)(names + num_names);
    for (size_t i = 0; i != request->num_fields; i++) {
        const h2o_header_t *field = &request->fields[i];
        fields[i] = *field;
        fields[i].value = copy_text(&at, field->value);
        if (!is_token_name(field->name)) {
            *names = copy_text(&at, *field->name);
            fields[i].name = names++;
        }
        fields[i].orig_name = NULL;
    }
    memo->request = *request;
    memset(&memo->note, 0, sizeof(memo->note));
    memo->request.note = &memo->note;
    memo->request.fields = fields;
    memo->request.method = copy_text(&at, request->method);
    memo->request.path = copy_text(&at, request->path);
    memo->request.authority = copy_text(&at, request->authority);
}

void http2_memo_note(struct http2_memo *memo, const uint8_t *block, size_t len,
                     const struct http2_request *request, size_t content_length)
{
    if (len > HTTP2_MEMO_MAX)
        return;
    if (memo->len == len && memcmp(memo->block, block, len) == 0) {
        memo_drop_request(memo);
        memo_keep_request(memo, request);
        memo->content_length = content_length;
        return;
    }
    http2_memo_forget(memo); /* a shorter block must not leave the end of the old one */
    if (memo->block == NULL && (memo->block = secret_alloc(HTTP2_MEMO_MAX)) == NULL)
        return;
    memcpy(memo->block, block, len);
    memo->len = len;
}
