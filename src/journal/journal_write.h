/* SPDX-License-Identifier: MIT */
/* Writing to the data file: what the feed has, or the whole table; and publishing it. */
#ifndef ROSTERD_JOURNAL_JOURNAL_WRITE_H
#define ROSTERD_JOURNAL_JOURNAL_WRITE_H

#include "base/fault.h"
#include "journal/journal_state.h"

/** Publishes what is on disk. A failure leaves it for the next turn. */
bool journal_publish(struct journal *journal);
/** Makes all commits in the file durable. */
enum data_result journal_sync(struct journal *journal, struct fault *fault);
/** Writes the changes up to a commit, in one transaction, and those that come while it does so, or
 * soon enough after (gather.h). If the feed does not have them all, journal->compare_due is set
 * instead.
 * @param version the newest commit */
enum data_result journal_write_window(struct journal *journal, uint64_t version,
                                      struct fault *fault);
enum data_result journal_compare_file(struct journal *journal, struct fault *fault);
/** Writes a new file and opens it. */
enum data_result journal_replace_file(struct journal *journal, struct fault *fault);
/** @param foreign set if the file is another table's, which is not to be touched */
enum data_result journal_open_file(struct journal *journal, bool *foreign, struct fault *fault);
/** A sign of life. */
void journal_note_alive(const struct journal *journal);

#endif
