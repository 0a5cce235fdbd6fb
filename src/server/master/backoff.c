/* SPDX-License-Identifier: MIT */
#include "server/master/backoff.h"

#include <sys/param.h>

enum {
    BACKOFF_FIRST_MS = 1,       /* before the respawn after the second quick death */
    BACKOFF_LONGEST_MS = 10000, /* reached with the 16th quick death in a row */
    BACKOFF_DOUBLINGS_MAX = 16, /* more would pass BACKOFF_LONGEST_MS anyway */
};

uint64_t backoff_delay(unsigned quick_deaths)
{
    if (quick_deaths <= 1)
        return 0;
    unsigned doublings = MIN(quick_deaths - 2, (unsigned)BACKOFF_DOUBLINGS_MAX);
    return MIN((uint64_t)BACKOFF_FIRST_MS << doublings, (uint64_t)BACKOFF_LONGEST_MS);
}
