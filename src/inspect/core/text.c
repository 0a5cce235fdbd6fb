/* SPDX-License-Identifier: MIT */
#include "inspect/core/text.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>
#include <sys/param.h>
#include <time.h>

#include "base/utf8.h"

/* The longest prefix of ill-formed bytes that some continuation bytes would complete, at least one
 * byte. After the second byte any continuation byte fits, so 0x80 stands for all of them. */
static size_t maximal_subpart(const uint8_t *bytes, size_t len)
{
    enum { LONGEST = 3 };
    for (size_t part = MIN(len, (size_t)LONGEST); part > 1; part--) {
        uint8_t completed[LONGEST + 1] = {0x80, 0x80, 0x80, 0x80};
        uint32_t code;
        memcpy(completed, bytes, part);
        if (utf8_next(completed, sizeof(completed), &code) > part)
            return part;
    }
    return 1;
}

size_t text_next(const uint8_t *bytes, size_t len, uint32_t *code)
{
    assert(len > 0);
    size_t used = utf8_next(bytes, len, code);
    if (used != 0)
        return used;
    *code = TEXT_REPLACEMENT;
    return maximal_subpart(bytes, len);
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
        else if (utf8_steers(code))
            print_escaped(out, code);
        else if (code == TEXT_REPLACEMENT)
            fputs(TEXT_REPLACEMENT_UTF8, out);
        else
            fwrite(at, 1, used, out);
        at += used;
    }
}

void text_format_time(char text[TEXT_TIME_SIZE], int64_t seconds)
{
    static const int64_t year_0 = -62167219200, year_10000 = 253402300800;
    time_t since_epoch = (time_t)seconds;
    struct tm tm;
    if (seconds >= year_0 && seconds < year_10000 && gmtime_r(&since_epoch, &tm) != NULL)
        strftime(text, TEXT_TIME_SIZE, "%Y-%m-%dT%H:%M:%SZ", &tm);
    else
        snprintf(text, TEXT_TIME_SIZE, "%" PRId64, seconds);
}
