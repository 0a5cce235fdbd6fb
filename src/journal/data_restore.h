/* SPDX-License-Identifier: MIT */
/*
 * Puts a backup in place of a data file.
 *
 * The table goes back to an earlier state, and from there it has another future. Nobody may take
 * one for the other: not a segment that was kept, not a copy of the old file, not a follower with a
 * version of the lost future, not the holder of a page token. So the new file gets
 *
 *   - a store id of its own, which a kept segment and an old file do not have;
 *   - a version behind all that the caller and the old file have seen: whoever resumes from one of
 *     those is told to start over;
 *   - the last sequence number of both: no number is given to two users.
 *
 * Users keep their ids, sequence numbers and versions.
 */
#ifndef ROSTERD_JOURNAL_DATA_RESTORE_H
#define ROSTERD_JOURNAL_DATA_RESTORE_H

#include <stdbool.h>

#include "base/fault.h"
#include "journal/data_file.h"

struct data_restore {
    /* The caller's. */
    const char *path;        /* the data file; it may be missing */
    int from;                /* a backup, open to read, that data_check() has accepted */
    const char *name;        /* its name, for faults */
    uint64_t version;        /* the last commit that the caller has seen of the old table, or 0 */
    uint64_t seq;            /* and its last sequence number */
    data_progress *progress; /* in users; may be NULL */
    void *data;
    /* Results. */
    struct data_meta old; /* of the old file; valid if it could be read */
    bool old_is_valid;
    struct data_meta meta;     /* of the new one */
    char kept[DATA_KEPT_SIZE]; /* where the old file is now; "": there was none */
};

/** Reads what the old file says of itself, and empties its write-ahead log. The caller holds both
 * locks (data_lock.h). @return DATA_OK also if the file is missing or damaged */
enum data_result data_restore_look(struct data_restore *restore, struct fault *fault);
/**
 * After data_restore_look(): writes the new file, keeps the old one under another name and takes
 * its place. At any time the name leads to the old file or to the new one, each complete.
 */
enum data_result data_restore_run(struct data_restore *restore, struct fault *fault);

#endif
