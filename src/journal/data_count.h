/* SPDX-License-Identifier: MIT */
/* Keeps the numbers of data_counts(). */
#ifndef ROSTERD_JOURNAL_DATA_COUNT_H
#define ROSTERD_JOURNAL_DATA_COUNT_H

#include <stdint.h>

#include "journal/data_file.h"

void data_count_bytes(uint64_t bytes);
void data_count_sync(uint64_t ns);
void data_count_commit(uint64_t ns);
/** Counts DATA_FULL and DATA_FAILED. @return the result */
enum data_result data_count_result(enum data_result result);

#endif
