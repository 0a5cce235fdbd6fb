/* SPDX-License-Identifier: MIT */
/* How long the master waits before it starts a process again that keeps dying. */
#ifndef ROSTERD_SERVER_MASTER_BACKOFF_H
#define ROSTERD_SERVER_MASTER_BACKOFF_H

#include <stdint.h>

enum {
    BACKOFF_HEALTHY_MS = 5000, /* a process that lived this long did not die of its start */
    BACKOFF_LOOP_DEATHS = 3,   /* this many quick deaths in a row are a crash loop */
};

/** @param quick_deaths in a row, each soon after the start. @return ms, which double with each */
uint64_t backoff_delay(unsigned quick_deaths);

#endif
