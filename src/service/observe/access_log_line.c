/* SPDX-License-Identifier: MIT */
/* Lines are formatted without printf(), which would cost as much as the whole call. */
#include "service/observe/access_log_line.h"

#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/percent.h"
#include "base/utf8.h"
#include "service/core/chain.h"
#include "service/observe/access_log.h"

enum {
    /* bytes of each value, with quotes and escapes */
    METHOD_LIMIT = 512,
    MESSAGE_LIMIT = 1024,
    PEER_LIMIT = 160,
    ID_LIMIT = 256,
    NAME_LIMIT = 128,
    SUBJECT_LIMIT = 512,
    REST_LIMIT = 512, /* keys, numbers, time */
    TRACE_ID_LEN = 32,
    REQUEST_ID_LEN = 32,
};
_Static_assert(METHOD_LIMIT + MESSAGE_LIMIT + PEER_LIMIT + ID_LIMIT + NAME_LIMIT + SUBJECT_LIMIT +
                       REST_LIMIT <=
                   ACCESS_LOG_LINE_MAX,
               "a line fits");

/* ---- values ---- */

static inline char *put(char *out, const char *text, size_t len)
{
    memcpy(out, text, len);
    return out + len;
}
#define PUT(out, literal) put((out), (literal), sizeof(literal) - 1)

static char *put_number(char *out, uint64_t number)
{
    char digits[20];
    size_t at = sizeof(digits);
    do
        digits[--at] = (char)('0' + number % 10);
    while ((number /= 10) != 0);
    return put(out, digits + at, sizeof(digits) - at);
}

/* Writes the number with exactly `digits` digits, with leading zeros. */
static char *put_digits(char *out, uint64_t number, unsigned digits)
{
    for (unsigned i = digits; i-- != 0; number /= 10)
        out[i] = (char)('0' + number % 10);
    return out + digits;
}

static char *put_hex(char *out, uint64_t number, unsigned digits)
{
    for (unsigned i = digits; i-- != 0; number >>= 4)
        out[i] = "0123456789abcdef"[number & 15];
    return out + digits;
}

/* Visible ASCII without " = \: needs neither quotes nor escapes. */
static bool needs_no_quotes(const char *value, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        uint8_t c = (uint8_t)value[i];
        if (c <= 0x20 || c >= 0x7f || c == '"' || c == '\\' || c == '=')
            return false;
    }
    return true;
}

char *access_log_put_text(char *out, const char *value, size_t len, size_t limit)
{
    const char *end = out + limit - 8; /* room for one more escape, "..." and the quote */
    bool dash = len == 1 && value[0] == '-';
    if (len != 0 && len <= limit - 8 && !dash && needs_no_quotes(value, len))
        return put(out, value, len);
    *out++ = '"';
    for (size_t i = 0; i < len; i++) {
        uint8_t c = (uint8_t)value[i];
        if (out >= end) {
            out = PUT(out, "...");
            break;
        }
        if (c == '"' || c == '\\') {
            *out++ = '\\';
            *out++ = (char)c;
        } else if (c < 0x20 || c >= 0x7f) {
            out = put_hex(PUT(out, "\\x"), c, 2);
        } else {
            *out++ = (char)c;
        }
    }
    *out++ = '"';
    return out;
}

/* Writes one character that is not ASCII, or U+FFFD for a byte that belongs to no character.
 * @return how many bytes of text it was */
static size_t put_json_character(char **out, const uint8_t *text, size_t len)
{
    uint32_t code;
    size_t bytes = utf8_next(text, len, &code);
    if (bytes == 0) {
        *out = PUT(*out, "\xef\xbf\xbd");
        return 1;
    }
    if (utf8_steers(code)) /* all such characters are below U+10000 */
        *out = put_hex(PUT(*out, "\\u"), code, 4);
    else
        *out = put(*out, (const char *)text, bytes);
    return bytes;
}

char *access_log_put_json(char *out, const char *value, size_t len, size_t limit)
{
    const char *end = out + limit - 12; /* room for one more escape, "..." and the quote */
    *out++ = '"';
    for (size_t i = 0; i < len;) {
        uint8_t c = (uint8_t)value[i];
        if (out >= end) {
            out = PUT(out, "...");
            break;
        }
        if (c >= 0x80) {
            i += put_json_character(&out, (const uint8_t *)value + i, len - i);
            continue;
        }
        if (c == '"' || c == '\\') {
            *out++ = '\\';
            *out++ = (char)c;
        } else if (c < 0x20 || c == 0x7f) {
            out = put_hex(PUT(out, "\\u00"), c, 2);
        } else {
            *out++ = (char)c;
        }
        i++;
    }
    *out++ = '"';
    return out;
}

/* ---- a line ---- */

struct log_line {
    char *out;
    bool json;
};

/* A macro, so that the compiler knows the text and copies it by a few moves. */
#define KEY(line, literal)                                                                         \
    ((line)->out =                                                                                 \
         (line)->json ? PUT((line)->out, ",\"" literal "\":") : PUT((line)->out, " " literal "="))

static void put_none(struct log_line *line)
{
    line->out = line->json ? PUT(line->out, "null") : PUT(line->out, "-");
}

/* @param value base NULL: there is none */
static void put_value(struct log_line *line, h2o_iovec_t value, size_t limit)
{
    if (value.base == NULL)
        put_none(line);
    else if (line->json)
        line->out = access_log_put_json(line->out, value.base, value.len, limit);
    else
        line->out = access_log_put_text(line->out, value.base, value.len, limit);
}

/* A value that needs no escapes. */
static void put_plain(struct log_line *line, const char *value, size_t len)
{
    if (line->json)
        *line->out++ = '"';
    line->out = put(line->out, value, len);
    if (line->json)
        *line->out++ = '"';
}

static void put_seconds(struct log_line *line, uint64_t us)
{
    line->out = put_number(line->out, us / 1000000);
    *line->out++ = '.';
    line->out = put_digits(line->out, us % 1000000, 6);
}

/* Formats date and time once a second only, and takes the offset between the two clocks then, too.
 * Static state: a process has one loop. */
static void put_time(struct log_line *line, uint64_t monotonic_ns)
{
    static uint64_t second;
    static int64_t offset;
    static char text[sizeof("2026-01-01T00:00:00")];
    uint64_t now = monotonic_ns + (uint64_t)offset;
    if (now / 1000000000 != second || second == 0) {
        struct timespec real, monotonic;
        struct tm tm;
        clock_gettime(CLOCK_REALTIME, &real);
        clock_gettime(CLOCK_MONOTONIC, &monotonic);
        offset = (real.tv_sec - monotonic.tv_sec) * 1000000000 + real.tv_nsec - monotonic.tv_nsec;
        now = monotonic_ns + (uint64_t)offset;
        second = now / 1000000000;
        time_t seconds = (time_t)second;
        gmtime_r(&seconds, &tm);
        strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
    }
    line->out = line->json ? PUT(line->out, "{\"time\":\"") : PUT(line->out, "time=");
    line->out = put(line->out, text, sizeof(text) - 1);
    *line->out++ = '.';
    line->out = put_digits(line->out, now / 1000000 % 1000, 3);
    line->out = line->json ? PUT(line->out, "Z\"") : PUT(line->out, "Z");
}

static void put_status_message(struct log_line *line, struct grpc_call *call)
{
    char text[MESSAGE_LIMIT]; /* percent-encoded on the wire; people read it decoded */
    h2o_iovec_t message = grpc_call_status_message(call);
    if (message.base != NULL) {
        message.len = percent_decode(text, sizeof(text), message.base, message.len);
        message.base = text;
    }
    put_value(line, message, MESSAGE_LIMIT);
}

/* "version-traceid-parentid-flags" in lower-case hex; a trace id of zeros is invalid. */
static bool is_trace(h2o_iovec_t value)
{
    static const char zeros[] = "00000000000000000000000000000000";
    if (value.base == NULL || value.len < 55 || value.base[2] != '-' || value.base[35] != '-' ||
        memcmp(value.base + 3, zeros, TRACE_ID_LEN) == 0)
        return false;
    for (size_t i = 0; i < TRACE_ID_LEN; i++) {
        char c = value.base[3 + i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
            return false;
    }
    return true;
}

static void put_trace(struct log_line *line, struct grpc_call *call)
{
    h2o_iovec_t value = grpc_call_metadata(call, "traceparent");
    if (is_trace(value))
        put_plain(line, value.base + 3, TRACE_ID_LEN);
    else
        put_none(line);
}

/* A unique id: 64 random bits of this process, then a count. */
static void put_made_id(struct log_line *line)
{
    static uint64_t process, count;
    char id[REQUEST_ID_LEN];
    if (process == 0 && getrandom(&process, sizeof(process), 0) != sizeof(process))
        process = (uint64_t)getpid() << 32 | 1; /* no random numbers: unique among live processes */
    put_hex(put_hex(id, process, 16), ++count, 16);
    put_plain(line, id, sizeof(id));
}

static void put_request_id(struct log_line *line, struct grpc_call *call)
{
    h2o_iovec_t id = grpc_call_metadata(call, "x-request-id");
    if (id.base != NULL && id.len != 0)
        put_value(line, id, ID_LIMIT);
    else
        put_made_id(line);
}

static h2o_iovec_t text_of(const char *text)
{
    return (h2o_iovec_t){.base = (char *)(uintptr_t)text, .len = text == NULL ? 0 : strlen(text)};
}

static void put_deadline(struct log_line *line, struct grpc_call *call, uint64_t now_ns)
{
    uint64_t deadline = grpc_call_deadline(call), now = now_ns / 1000000;
    if (deadline == UINT64_MAX) {
        put_none(line);
        return;
    }
    bool past = deadline < now;
    if (past)
        *line->out++ = '-';
    put_seconds(line, (past ? now - deadline : deadline - now) * 1000);
}

/* The path of a known method needs no escapes; an unknown path may be anything. */
static void put_method(struct log_line *line, struct grpc_call *call)
{
    h2o_iovec_t path = grpc_call_path(call);
    size_t count = grpc_server_method_count(grpc_call_server(call));
    if (grpc_call_method_index(call) != count - 1 && path.len < METHOD_LIMIT)
        put_plain(line, path.base, path.len);
    else
        put_value(line, path, METHOD_LIMIT);
}

static void put_counts(struct log_line *line, struct grpc_call *call)
{
    KEY(line, "messages_in");
    line->out = put_number(line->out, grpc_call_messages_in(call));
    KEY(line, "messages_out");
    line->out = put_number(line->out, grpc_call_messages_out(call));
    KEY(line, "bytes_in");
    line->out = put_number(line->out, grpc_call_bytes_in(call));
    KEY(line, "bytes_out");
    line->out = put_number(line->out, grpc_call_bytes_out(call));
}

static void access_log_on_end(struct grpc_call *call, void *data, enum grpc_status status)
{
    struct access_log *log = data;
    char text[ACCESS_LOG_LINE_MAX]; /* large enough: see the assertion at the top */
    struct log_line line = {.out = text, .json = access_log_json(log)};
    uint64_t duration = grpc_call_duration_ns(call), now = grpc_call_started_ns(call) + duration;
    const char *name = grpc_status_name(status), *peer = grpc_call_peer(call);
    put_time(&line, now);
    KEY(&line, "peer");
    put_plain(&line, peer, strlen(peer));
    KEY(&line, "method");
    put_method(&line, call);
    KEY(&line, "status");
    put_plain(&line, name, strlen(name));
    KEY(&line, "message");
    put_status_message(&line, call);
    KEY(&line, "duration");
    put_seconds(&line, duration / 1000);
    put_counts(&line, call);
    KEY(&line, "request_id");
    put_request_id(&line, call);
    KEY(&line, "trace_id");
    put_trace(&line, call);
    KEY(&line, "token");
    put_value(&line, text_of(grpc_call_identity(call)), NAME_LIMIT);
    KEY(&line, "subject");
    put_value(&line, text_of(grpc_call_peer_subject(call)), SUBJECT_LIMIT);
    KEY(&line, "deadline_left");
    put_deadline(&line, call, now);
    line.out = line.json ? PUT(line.out, "}\n") : PUT(line.out, "\n");
    access_log_append(log, text, (size_t)(line.out - text));
}

void access_log_step(struct grpc_interceptor *step, const struct chain_config *config)
{
    if (config->access_log != NULL)
        *step = (struct grpc_interceptor){.end = access_log_on_end, .data = config->access_log};
}
