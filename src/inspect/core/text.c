/* SPDX-License-Identifier: MIT */
#include "inspect/core/text.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "base/utf8.h"

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
        size_t used = utf8_next_lossy(at, (size_t)(end - at), &code);
        if (code == '\\')
            fputs("\\\\", out);
        else if (text_is_escaped(code))
            print_escaped(out, code);
        else if (code == UTF8_REPLACEMENT)
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

void text_format_nanoseconds(char text[TEXT_TIME_SIZE], int64_t nanoseconds)
{
    enum { SECOND = 1000000000, FRACTION_SIZE = 16 };
    int64_t seconds = nanoseconds / SECOND, nanos = nanoseconds % SECOND;
    if (nanos < 0) {
        seconds--;
        nanos += SECOND;
    }
    text_format_time(text, seconds);
    if (nanos == 0)
        return;
    size_t digits = nanos % 1000000 == 0 ? 3 : nanos % 1000 == 0 ? 6 : 9;
    char fraction[FRACTION_SIZE];
    snprintf(fraction, sizeof(fraction), ".%09" PRId64, nanos);
    char *z = text + strlen(text) - 1; /* all these years have four digits */
    memcpy(z, fraction, digits + 1);
    memcpy(z + digits + 1, "Z", 2);
}

const char *text_format_bytes(char text[TEXT_BYTES_SIZE], uint64_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)bytes;
    size_t unit = 0;
    for (; value >= 1024 && unit < 6; unit++)
        value /= 1024;
    snprintf(text, TEXT_BYTES_SIZE, unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
    return text;
}
