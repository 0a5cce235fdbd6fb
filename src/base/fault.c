/* SPDX-License-Identifier: MIT */
#include "base/fault.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

static const char cut_mark[] = "...";

/* Appends to the first `used` bytes. Marks a text that was cut. @return the bytes used then */
static size_t append_format(struct fault *fault, size_t used, const char *format, va_list args)
{
    const size_t size = sizeof(fault->text);
    int len = vsnprintf(fault->text + used, size - used, format, args);
    if (len < 0) {
        fault->text[used] = '\0';
        return used;
    }
    if ((size_t)len < size - used)
        return used + (size_t)len;
    memcpy(fault->text + size - sizeof(cut_mark), cut_mark, sizeof(cut_mark));
    return size - 1;
}

__attribute__((format(printf, 3, 4))) static size_t append_text(struct fault *fault, size_t used,
                                                                const char *format, ...)
{
    va_list args;
    va_start(args, format);
    used = append_format(fault, used, format, args);
    va_end(args);
    return used;
}

bool fault_set(struct fault *fault, const char *format, ...)
{
    if (fault == NULL)
        return false;
    va_list args;
    va_start(args, format);
    append_format(fault, 0, format, args);
    va_end(args);
    return false;
}

bool fault_set_errno(struct fault *fault, const char *format, ...)
{
    const char *reason = strerror(errno);
    if (fault == NULL)
        return false;
    va_list args;
    va_start(args, format);
    size_t used = append_format(fault, 0, format, args);
    va_end(args);
    append_text(fault, used, ": %s", reason);
    return false;
}

bool fault_prefix(struct fault *fault, const char *format, ...)
{
    if (fault == NULL)
        return false;
    struct fault inner = *fault;
    va_list args;
    va_start(args, format);
    size_t used = append_format(fault, 0, format, args);
    va_end(args);
    append_text(fault, used, ": %s", inner.text);
    return false;
}
