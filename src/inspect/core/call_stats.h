/* SPDX-License-Identifier: MIT */
/*
 * The server's counters of calls, put together by method: how many calls, how many of them failed,
 * and how long they took. The server registers a counter for each number of each method
 * (service/observe/stats_table.h), so that a method's numbers lie in dozens of counters.
 */
#ifndef ROSTERD_INSPECT_CORE_CALL_STATS_H
#define ROSTERD_INSPECT_CORE_CALL_STATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "inspect/core/histogram.h"

/** Methods beyond this number are left out: the server has far fewer. */
enum { CALL_STATS_METHODS_MAX = 256 };

struct call_method {
    /** "UserService/GetUser", made safe for a terminal. "ServerReflectionInfo" where the method's
     * name has the service's in it; then "v1/ServerReflectionInfo" if two versions have it. */
    char *name;
    uint64_t started, ended;
    uint64_t failed; /* of those that ended: their status was not OK */
    struct histogram times;
};

struct call_counter;

struct call_stats {
    size_t num_methods;
    struct call_method *methods;
    struct histogram commits, syncs; /* of the data file */
    size_t num_counters;             /* all of the segment's */
    struct call_counter *counters;   /* what each of them is */
};

/** Finds the methods in the names of all counters. The caller calls call_stats_free(). */
struct call_stats *call_stats_new(const char *const *names, size_t count);
/** Sets the numbers of all methods. @param values of the counters, in the order of their names */
void call_stats_read(struct call_stats *stats, const uint64_t *values);
/** `stats` may be NULL. */
void call_stats_free(struct call_stats *stats);

/** Whether the counter belongs to this family: its name, or its name before the labels. */
bool counter_is_of(const char *name, const char *family);
/** The value of a counter's label.
 * @return NULL: it has no such label; else *len bytes inside the name, which a NUL does not end */
const char *counter_label(const char *name, const char *label, size_t *len);

#endif
