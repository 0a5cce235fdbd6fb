/* SPDX-License-Identifier: MIT */
/*
 * The master's part in the data file: it has the server's lock, and before any worker starts it
 * makes the file and the segment equal. The journal (journal_owner.h) writes the file from then on.
 * No connection of SQLite is open when the master forks.
 */
#ifndef ROSTERD_SERVER_MASTER_DATA_OWNER_H
#define ROSTERD_SERVER_MASTER_DATA_OWNER_H

#include <stdbool.h>

#include "base/fault.h"
#include "journal/data_path.h"
#include "journal/journal.h"
#include "journal/journal_load.h"
#include "server/config/options.h"
#include "server/master/predecessor.h"
#include "shm/store.h"

struct data_owner {
    int server_fd;             /* holds the server's lock; -1: there is no data file */
    int writer_fd;             /* while the master writes the file; -1: not now */
    char path[DATA_PATH_SIZE]; /* absolute; "": there is no data file */
    enum journal_durability durability;
    uint64_t interval_ms;
    struct journal_load load;
    bool created; /* this start has made the file, so that a failed start may remove it */
    unsigned directories_made; /* by this start: the last ones of the path */
    bool inherited;            /* the lock is the predecessor's, too */
};

/** Locks the data file and reads what is known of it. Without one does nothing. In an upgrade the
 * lock is the predecessor's; see data_owner_adopt(). */
bool data_owner_open(struct data_owner *owner, const struct options *options,
                     const struct predecessor *predecessor, struct fault *fault);
/** Adds what the store needs to know of the data file. */
void data_owner_configure(struct data_owner *owner, struct shm_config *config);
/** For a segment that was inherited: goes on with the data file that it has.
 * @return whether the options name another file or durability, which need a restart */
bool data_owner_adopt(struct data_owner *owner, const struct options *options,
                      struct shm_store *store);
/** Writes to the file whatever the segment has and the file has not. */
bool data_owner_settle(struct data_owner *owner, struct shm_store *store, struct shm_actor *actor,
                       struct fault *fault);
/** When this program serves: others are told its pid, and not the predecessor's. */
void data_owner_sign(const struct data_owner *owner);
/** Undoes a load whose segment is gone again: a segment of before the load may go on with the file.
 * @return false: that failed, and is logged */
bool data_owner_undo(struct data_owner *owner);
/** @param forget remove a file that this start has made */
void data_owner_close(struct data_owner *owner, bool forget);

#endif
