/* SPDX-License-Identifier: MIT */
/* The names of the data file and of the files beside it. */
#ifndef ROSTERD_JOURNAL_DATA_PATH_H
#define ROSTERD_JOURNAL_DATA_PATH_H

#include "base/fault.h"
#include "journal/data_file.h"

/* SQLite's file system layer takes names of at most 512 bytes. */
enum { DATA_PATH_SIZE = 512, DATA_SUFFIX_MAX = 16 };

/**
 * The absolute name of a file: symbolic links are followed, in the last part of the name also if
 * their target does not exist. A suffix of DATA_SUFFIX_MAX bytes fits behind it.
 * @return DATA_NONE if the directory does not exist
 */
enum data_result data_path_resolve(const char *path, char resolved[DATA_PATH_SIZE],
                                   struct fault *fault);
/** The name of a file beside the data file. @param resolved from data_path_resolve() */
void data_path_beside(const char *resolved, const char *suffix, char out[DATA_PATH_SIZE]);

#endif
