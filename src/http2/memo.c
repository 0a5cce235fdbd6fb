/* SPDX-License-Identifier: MIT */
#include "http2/memo.h"

#include <string.h>

#include "base/secret.h"

static void drop_kept(struct http2_memo *memo)
{
    secret_free(memo->kept, memo->kept_len);
    memo->kept = NULL;
}

void http2_memo_forget(struct http2_memo *memo)
{
    if (memo->len == 0)
        return;
    drop_kept(memo);
    explicit_bzero(memo->block, memo->len);
    memo->len = 0;
}

void http2_memo_dispose(struct http2_memo *memo)
{
    http2_memo_forget(memo);
    secret_free(memo->block, HTTP2_MEMO_MAX);
    memo->block = NULL;
}

static bool is_token(const h2o_iovec_t *name)
{
    return h2o_iovec_is_token(name) != 0;
}

static size_t size_of(const struct http2_request *request)
{
    size_t size = request->num_fields * sizeof(h2o_header_t) + request->method.len +
                  request->path.len + request->authority.len;
    for (size_t i = 0; i != request->num_fields; i++) {
        const h2o_header_t *field = &request->fields[i];
        size += field->value.len;
        if (!is_token(field->name))
            size += sizeof(h2o_iovec_t) + field->name->len;
    }
    return size;
}

static h2o_iovec_t copy(uint8_t **at, h2o_iovec_t text)
{
    h2o_iovec_t kept = {text.base, text.len};
    if (text.base == NULL)
        return kept;
    kept.base = memcpy(*at, text.base, text.len);
    *at += text.len;
    return kept;
}

/* The fields first, then the names that are no tokens, then the texts: so all is aligned. */
static void keep(struct http2_memo *memo, const struct http2_request *request)
{
    memo->kept_len = size_of(request);
    memo->kept = secret_alloc(memo->kept_len);
    if (memo->kept == NULL)
        return; /* then it is decoded each time */
    h2o_header_t *fields = (h2o_header_t *)memo->kept;
    h2o_iovec_t *names = (h2o_iovec_t *)(fields + request->num_fields);
    size_t num_names = 0;
    for (size_t i = 0; i != request->num_fields; i++)
        num_names += !is_token(request->fields[i].name);
    uint8_t *at = (uint8_t *)(names + num_names);
    for (size_t i = 0; i != request->num_fields; i++) {
        const h2o_header_t *field = &request->fields[i];
        fields[i] = *field;
        fields[i].value = copy(&at, field->value);
        if (!is_token(field->name)) {
            *names = copy(&at, *field->name);
            fields[i].name = names++;
        }
        fields[i].orig_name = NULL;
    }
    memo->request = *request;
    memo->request.fields = fields;
    memo->request.method = copy(&at, request->method);
    memo->request.path = copy(&at, request->path);
    memo->request.authority = copy(&at, request->authority);
}

void http2_memo_note(struct http2_memo *memo, const uint8_t *block, size_t len,
                     const struct http2_request *request, size_t content_length)
{
    if (len > HTTP2_MEMO_MAX)
        return;
    if (memo->len == len && memcmp(memo->block, block, len) == 0) {
        drop_kept(memo);
        keep(memo, request);
        memo->content_length = content_length;
        return;
    }
    http2_memo_forget(memo); /* a shorter block must not leave the end of this one */
    if (memo->block == NULL && (memo->block = secret_alloc(HTTP2_MEMO_MAX)) == NULL)
        return;
    memcpy(memo->block, block, len);
    memo->len = len;
}
