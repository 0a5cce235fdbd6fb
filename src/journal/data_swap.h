/* SPDX-License-Identifier: MIT */
/*
 * A new data file takes the place of an old one. SQLite would apply the old file's write-ahead log
 * to the new file if it found them together, so more than one name must change:
 *
 *   1. PATH.tmp is written and synced.
 *   2. PATH.tmp becomes PATH.new. The directory is synced: from now on PATH.new is the file.
 *   3. PATH-wal, PATH-shm and PATH-journal are removed. The directory is synced.
 *   4. PATH.new becomes PATH. The directory is synced.
 *
 * Whoever opens PATH for writing removes PATH.tmp, and goes on from step 2 if there is a PATH.new.
 */
#ifndef ROSTERD_JOURNAL_DATA_SWAP_H
#define ROSTERD_JOURNAL_DATA_SWAP_H

#include <sqlite3.h>

#include "base/fault.h"
#include "journal/data_file.h"

/** Removes PATH.tmp with what belongs to it. @param path from data_path_resolve(), as below */
enum data_result data_swap_clear(const char *path, struct fault *fault);
/** Steps 2 to 4. */
enum data_result data_swap_replace(const char *path, struct fault *fault);
/** Before PATH is opened: finishes what a dead process has begun. */
enum data_result data_swap_finish(const char *path, struct fault *fault);
/**
 * For a reader, after its transaction has begun: whether it has the file of this name with its log,
 * and not what is left between steps 3 and 4.
 * @return DATA_BUSY if not
 */
enum data_result data_swap_look(sqlite3 *db, const char *path, struct fault *fault);

#endif
