/* SPDX-License-Identifier: MIT */
/* Counting what the journal does, in its row of counters. */
#ifndef ROSTERD_SERVER_JOURNAL_JOURNAL_STATS_H
#define ROSTERD_SERVER_JOURNAL_JOURNAL_STATS_H

#include "service/observe/stats.h"

/** Takes over the numbers of data_counts(). Called after each turn. */
void journal_stats_fold(struct stats *stats);

#endif
