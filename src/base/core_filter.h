/* SPDX-License-Identifier: MIT */
/*
 * Which memory of this process a core dump contains: /proc/self/coredump_filter, see core(5).
 * MADV_DONTDUMP leaves out single ranges; this is for memory that a library allocates.
 */
#ifndef ROSTERD_BASE_CORE_FILTER_H
#define ROSTERD_BASE_CORE_FILTER_H

#include <stdbool.h>

enum { CORE_FILTER_NOTHING = 0 }; /* no memory at all: a core has the threads' registers */

/** Processes that are forked from now on inherit the filter.
 * @param filter bits of core(5)
 * @param before receives the filter until now; may be NULL
 * @return false: this kernel has no such filter, and nothing has changed */
bool core_filter_set(unsigned filter, unsigned *before);

#endif
