/* SPDX-License-Identifier: MIT */
#include "inspect/core/report.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "inspect/core/other_segments.h"
#include "inspect/core/text.h"

enum inspect_exit report_fail(enum inspect_exit code, const char *format, ...)
{
    char line[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    fputs("shm-inspect: ", stderr);
    text_print(stderr, line, strlen(line));
    putc('\n', stderr);
    return code;
}

enum inspect_exit report_fault(enum inspect_exit code, const struct fault *fault)
{
    assert(fault->text[0] != '\0');
    return report_fail(code, "%s", fault->text);
}

static enum inspect_exit store_error_exit(int error)
{
    switch (error) {
    case SHM_ENOSEG:
        return INSPECT_NO_SEGMENT;
    case SHM_ELAYOUT:
    case SHM_ECORRUPT:
        return INSPECT_BAD_SEGMENT;
    case SHM_EINVAL: /* the segment's name */
        return INSPECT_USAGE;
    default:
        return INSPECT_FAILED;
    }
}

enum inspect_exit report_store_fault(int error, const struct shm_fault *fault)
{
    char others[300] = "";
    assert(error != SHM_OK);
    if (error == SHM_ENOSEG)
        other_segments_describe(others, sizeof(others));
    return report_fail(store_error_exit(error), "%s%s",
                       fault->text[0] != '\0' ? fault->text : shm_strerror(error), others);
}
