/* SPDX-License-Identifier: MIT */
/* What goes wrong with the data file: what is said about it, and what becomes of the file. */
#ifndef ROSTERD_JOURNAL_JOURNAL_TROUBLE_H
#define ROSTERD_JOURNAL_JOURNAL_TROUBLE_H

#include "base/fault.h"
#include "journal/journal_state.h"

void journal_note_line(const struct journal *journal, enum journal_note kind, const char *format,
                       ...) __attribute__((format(printf, 3, 4)));
/** For troubles that pass and may be met many times a second. */
void journal_note_passing(struct journal *journal, const char *text);
/** Nothing is written any more. */
void journal_give_up_disk(struct journal *journal, const struct fault *fault);
/** The file could not be closed in order: another journal of this server writes a new one. */
void journal_note_bad_end(struct journal *journal);
/** Takes note of a result that is not DATA_OK.
 * @param rewriting it is that of a new file, whose failure is final */
void journal_handle_trouble(struct journal *journal, enum data_result result, bool rewriting,
                            const struct fault *fault);
/** The file is written again. */
void journal_leave_trouble(struct journal *journal);

#endif
