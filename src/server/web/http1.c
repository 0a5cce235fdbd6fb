/* SPDX-License-Identifier: MIT */
#include "server/web/http1.h"

#include <assert.h>
#include <string.h>
#include <strings.h>

/* A part of the input, without a NUL byte at its end. */
struct span {
    const char *at, *end;
};

static size_t span_len(struct span span)
{
    return (size_t)(span.end - span.at);
}

static bool span_is(struct span span, const char *text)
{
    return span_len(span) == strlen(text) && memcmp(span.at, text, span_len(span)) == 0;
}

/* Case does not matter. */
static bool span_is_name(struct span span, const char *name)
{
    return span_len(span) == strlen(name) && strncasecmp(span.at, name, span_len(span)) == 0;
}

/* RFC 9110 5.6.2 */
static bool span_is_token(struct span span)
{
    for (const char *c = span.at; c < span.end; c++)
        if (!((*c >= '0' && *c <= '9') || ((*c | 32) >= 'a' && (*c | 32) <= 'z') ||
              (*c != '\0' && strchr("!#$%&'*+-.^_`|~", *c) != NULL)))
            return false;
    return span.at < span.end;
}

static bool span_is_number(struct span span)
{
    for (const char *c = span.at; c < span.end; c++)
        if (*c < '0' || *c > '9')
            return false;
    return span.at < span.end;
}

/* Takes a line off the input, without its CRLF or LF (RFC 9112 2.2). @return false: the end of the
 * line has not come yet */
static bool take_head_line(struct span *input, struct span *line)
{
    const char *end = memchr(input->at, '\n', span_len(*input));
    if (end == NULL)
        return false;
    *line = (struct span){input->at, end};
    if (line->end > line->at && line->end[-1] == '\r')
        line->end--;
    input->at = end + 1;
    return true;
}

/* Removes the text before the next space, and the space, from the line. */
static struct span take_word(struct span *line)
{
    const char *end = memchr(line->at, ' ', span_len(*line));
    struct span word = {line->at, end == NULL ? line->end : end};
    line->at = end == NULL ? line->end : end + 1;
    return word;
}

/* ---- the request line, RFC 9112 3 ---- */

static bool span_is_visible(struct span span)
{
    for (const char *c = span.at; c < span.end; c++)
        if (*c <= ' ' || *c > '~' || *c == '#')
            return false;
    return span.at < span.end;
}

/* Skips "http://" or "https://" and the authority, which does not matter: clients reach this server
 * by its address. @return false: the target does not begin with them */
static bool skip_authority(struct span *target)
{
    size_t scheme = span_len(*target) > 7 && strncasecmp(target->at, "http://", 7) == 0    ? 7
                    : span_len(*target) > 8 && strncasecmp(target->at, "https://", 8) == 0 ? 8
                                                                                           : 0;
    const char *at = target->at + scheme;
    target->at = at;
    while (target->at < target->end && *target->at != '/' && *target->at != '?')
        target->at++;
    return scheme != 0 && target->at > at;
}

static bool take_path(struct span target, bool asterisk, struct http1_request *request)
{
    static const char root[] = "/";
    if (!span_is_visible(target))
        return false;
    if (*target.at != '/' && !(asterisk && span_is(target, "*")) && !skip_authority(&target))
        return false;
    const char *query = memchr(target.at, '?', span_len(target));
    request->path = target.at;
    request->path_len = (size_t)((query == NULL ? target.end : query) - target.at);
    if (request->path_len == 0) {
        request->path = root;
        request->path_len = 1;
    }
    return true;
}

/* @param minor set to 0 for HTTP/1.0, and to 1 for HTTP/1.1 and later (RFC 9110 2.5)
 * @return 200, or the status that refuses the version */
static unsigned take_version(struct span version, unsigned *minor)
{
    if (span_len(version) != 8 || memcmp(version.at, "HTTP/", 5) != 0 || version.at[6] != '.' ||
        version.at[5] < '0' || version.at[5] > '9' || version.at[7] < '0' || version.at[7] > '9')
        return 400;
    *minor = version.at[7] != '0';
    return version.at[5] == '1' ? 200 : 505;
}

static unsigned take_request_line(struct span line, struct http1_request *request, unsigned *minor)
{
    struct span method = take_word(&line), target = take_word(&line);
    unsigned status = take_version(line, minor);
    if (status != 200)
        return status;
    if (!span_is_token(method) || !take_path(target, span_is(method, "OPTIONS"), request))
        return 400;
    request->get = span_is(method, "GET");
    request->head = span_is(method, "HEAD");
    return 200;
}

/* ---- the fields ---- */

struct framing {
    unsigned hosts, lengths, authorizations;
    bool has_body;
};

static bool is_field_text(struct span value)
{
    for (const char *c = value.at; c < value.end; c++)
        if (((unsigned char)*c < ' ' && *c != '\t') || *c == 0x7f)
            return false;
    return true;
}

static void trim_span(struct span *value)
{
    while (value->at < value->end && (*value->at == ' ' || *value->at == '\t'))
        value->at++;
    while (value->at < value->end && (value->end[-1] == ' ' || value->end[-1] == '\t'))
        value->end--;
}

/* uri-host [ ":" port ]: refuses the characters that parsers of a Host field disagree about. */
static bool is_host(struct span value)
{
    for (const char *c = value.at; c < value.end; c++)
        if (*c <= ' ' || *c > '~' || strchr("/?#@\\,", *c) != NULL)
            return false;
    return true; /* empty where the target has no authority */
}

/* A request with two of them is allowed where none is needed, and says nothing where one is. */
static bool take_authorization(struct span value, struct framing *framing,
                               struct http1_request *request)
{
    bool only = framing->authorizations++ == 0;
    request->authorization = only ? value.at : NULL;
    request->authorization_len = only ? span_len(value) : 0;
    return true;
}

/* @return false: the field is malformed, or makes the request ambiguous or have a body */
static bool take_header_field(struct span line, struct framing *framing,
                              struct http1_request *request)
{
    const char *colon = memchr(line.at, ':', span_len(line));
    if (colon == NULL)
        return false;
    struct span name = {line.at, colon}, value = {colon + 1, line.end};
    trim_span(&value);
    if (!span_is_token(name) || !is_field_text(value))
        return false;
    if (span_is_name(name, "host"))
        return framing->hosts++ == 0 && is_host(value);
    if (span_is_name(name, "content-length")) {
        framing->has_body = !span_is(value, "0");
        return framing->lengths++ == 0 && span_is_number(value);
    }
    if (span_is_name(name, "authorization"))
        return take_authorization(value, framing, request);
    return !span_is_name(name, "transfer-encoding");
}

/* @return 200, 400, or 0 if the empty line at the end has not come yet */
static unsigned take_header_fields(struct span input, unsigned minor, struct framing *framing,
                                   struct http1_request *request)
{
    struct span line;
    unsigned status = 200;
    while (take_head_line(&input, &line)) {
        if (line.at == line.end)
            return status == 200 && framing->hosts == 0 && minor != 0 ? 400 : status;
        if (!take_header_field(line, framing, request))
            status = 400;
    }
    return 0;
}

unsigned http1_parse(const char *bytes, size_t len, struct http1_request *request)
{
    struct span input = {bytes, bytes + len}, line;
    struct framing framing = {.hosts = 0};
    unsigned minor = 0;
    assert(len <= HTTP1_HEAD_MAX);
    if (len != 0 && *input.at == '\r')
        input.at++;
    if (input.at < input.end &&
        *input.at == '\n') /* an empty line before the request line, RFC 9112 2.2 */
        input.at++;
    else
        input.at = bytes;
    bool whole = take_head_line(&input, &line);
    if (!whole || span_len(line) > HTTP1_LINE_MAX)
        return span_len(input) > HTTP1_LINE_MAX || whole ? 414 : 0;
    unsigned status = take_request_line(line, request, &minor);
    if (status != 200)
        return status;
    request->authorization = NULL;
    request->authorization_len = 0;
    status = take_header_fields(input, minor, &framing, request);
    if (status == 0)
        return len >= HTTP1_HEAD_MAX ? 431 : 0;
    if (status == 200 && framing.has_body && (request->get || request->head))
        return 400;
    return status;
}
