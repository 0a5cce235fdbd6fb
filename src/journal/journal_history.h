/* SPDX-License-Identifier: MIT */
/* What the data file has beside the users, copied from the segment: the requests that were done,
 * and after a copy of the whole table the users that were deleted. */
#ifndef ROSTERD_JOURNAL_JOURNAL_HISTORY_H
#define ROSTERD_JOURNAL_JOURNAL_HISTORY_H

#include "base/fault.h"
#include "journal/data_file.h"
#include "shm/disk.h"

/** How far the file has the requests. Plain data. */
struct journal_requests {
    struct shm_request_place next;   /* the first that the file has not */
    struct shm_request_place oldest; /* those before it are forgotten, or will be soon */
};

/** The file is at commit `version`. */
void journal_requests_begin(struct journal_requests *requests, const struct shm_store *store,
                            uint64_t version);
/** Writes the requests of all commits up to `version` into the file's open transaction, and removes
 * old ones if there are any to write. */
enum data_result journal_requests_write(struct journal_requests *requests,
                                        const struct shm_store *store, struct data_file *file,
                                        uint64_t version, struct fault *fault);

/** Notes in the file's open transaction who was deleted by the commits after `former`, the file's,
 * up to `version`. Where the feed does not have them all, the file begins with what it has. */
enum data_result journal_note_deletes(const struct shm_store *store, struct data_file *file,
                                      uint64_t former, uint64_t version, struct fault *fault);
/** Writes all that the segment has of the commits up to `version` into a new file. */
enum data_result journal_rewrite_history(const struct shm_store *store,
                                         struct data_rewrite *rewrite, uint64_t version,
                                         struct fault *fault);

#endif
