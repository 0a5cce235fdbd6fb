/* SPDX-License-Identifier: MIT */
#include "grpc/timeout.h"

enum { MAX_DIGITS = 8 };

bool grpc_timeout_parse(const char *value, size_t len, uint64_t *ms)
{
    uint64_t n = 0;
    if (len < 2 || len > MAX_DIGITS + 1)
        return false;
    for (size_t i = 0; i < len - 1; i++) {
        if (value[i] < '0' || value[i] > '9')
            return false;
        n = n * 10 + (uint64_t)(value[i] - '0');
    }
    switch (value[len - 1]) {
    case 'H':
        *ms = n * 60 * 60 * 1000;
        return true;
    case 'M':
        *ms = n * 60 * 1000;
        return true;
    case 'S':
        *ms = n * 1000;
        return true;
    case 'm':
        *ms = n;
        return true;
    case 'u':
        *ms = (n + 999) / 1000;
        return true;
    case 'n':
        *ms = (n + 999999) / 1000000;
        return true;
    default:
        return false;
    }
}
