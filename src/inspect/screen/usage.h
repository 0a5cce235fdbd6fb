/* SPDX-License-Identifier: MIT */
/* The processor time and the memory of a process, as the kernel counts them. */
#ifndef ROSTERD_INSPECT_SCREEN_USAGE_H
#define ROSTERD_INSPECT_SCREEN_USAGE_H

#include <stdbool.h>
#include <stdint.h>

struct usage {
    bool known;
    uint64_t cpu_ms; /* since the process began, of all its threads */
    uint64_t memory; /* bytes in memory that no other process or file shares */
};

/** Reads /proc/PID. `known` is false if there is no such process, or /proc does not show it. */
struct usage usage_read(uint32_t pid);

#endif
