/* SPDX-License-Identifier: MIT */
/* One change of one user, as the commands that change users make it: of what the user is at that
 * moment, so that it undoes no change that another program makes at the same time. */
#ifndef ROSTERD_INSPECT_COMMANDS_EDIT_H
#define ROSTERD_INSPECT_COMMANDS_EDIT_H

#include "inspect/core/report.h"
#include "inspect/core/table_writer.h"
#include "inspect/core/user_operand.h"
#include "shm/careful.h"
#include "user/user_record.h"

/** Changes a user. It may be called several times, for one version of the user after the other.
 * @param record the user as it is; its lists may be replaced by lists of the caller */
typedef void edit_change(void *data, struct user_record *record);

struct edit {
    const struct user_operand *operand;
    uint8_t id[UUID_SIZE];
    uint64_t if_version; /* only if the user has this version; 0: any */
    edit_change *change;
    void *data;
    /* Set by edit_user(): the user as it is now. It may have a secret: whoever does not need it any
     * more calls edit_wipe(). */
    struct shm_record after;
};

/**
 * Changes the user and sets the time of its update. The caller waits for the disk.
 * @return INSPECT_DONE, or the exit status of a failure that has been reported
 */
enum inspect_exit edit_user(struct edit *edit, struct table_writer *writer);
void edit_wipe(struct edit *edit);

#endif
