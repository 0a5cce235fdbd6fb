/* SPDX-License-Identifier: MIT */
/* Keeps a data file that is about to be replaced, under another name. */
#ifndef ROSTERD_JOURNAL_DATA_KEEP_H
#define ROSTERD_JOURNAL_DATA_KEEP_H

#include "base/fault.h"
#include "journal/data_file.h"

/**
 * Gives the file a second name, PATH.20261123T063000Z, and its write-ahead log that name with -wal.
 * @param path from data_path_resolve()
 * @param kept receives the name, or "" if there is no file
 */
enum data_result data_keep(const char *path, char kept[DATA_KEPT_SIZE], struct fault *fault);
/** After a replacement that has failed: if the file still has its own name, takes the second one
 * away. */
void data_keep_undo(const char *path, char kept[DATA_KEPT_SIZE]);

#endif
