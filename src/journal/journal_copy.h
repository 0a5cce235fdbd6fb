/* SPDX-License-Identifier: MIT */
/* Copies of the whole table: into a new file, and into an old one of which too much is unknown. */
#ifndef ROSTERD_JOURNAL_JOURNAL_COPY_H
#define ROSTERD_JOURNAL_JOURNAL_COPY_H

#include "base/fault.h"
#include "journal/data_file.h"
#include "journal/journal.h"

/** A user of the segment as a row of the file, which points to the user's body. */
struct data_row journal_row(const struct shm_user *user);

/**
 * Makes the file equal to the newest commit in one transaction: inserts, replaces and deletes what
 * differs. The file and the table are read side by side, in the order of creation.
 * @param version receives that commit
 */
enum data_result journal_compare(const struct journal_config *config, struct data_file *file,
                                 uint64_t *version, struct fault *fault);
/** Writes a new file as of the newest commit. @param version receives that commit */
enum data_result journal_rewrite(const struct journal_config *config, uint64_t *version,
                                 struct fault *fault);

#endif
