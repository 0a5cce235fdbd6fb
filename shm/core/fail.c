/* SPDX-License-Identifier: MIT */
#include "shm/core/fail.h"

#include <stdarg.h>
#include <stdio.h>

int shm_fail(struct shm_fault *fault, int error, const char *format, ...)
{
    if (fault != NULL) {
        va_list args;
        va_start(args, format);
        vsnprintf(fault->text, sizeof(fault->text), format, args);
        va_end(args);
    }
    return error;
}
