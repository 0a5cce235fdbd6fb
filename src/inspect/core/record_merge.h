/* SPDX-License-Identifier: MIT */
/* What becomes of a user when a line of a file is loaded: the line's fields, and for the fields
 * that it does not give those that the user has. */
#ifndef ROSTERD_INSPECT_CORE_RECORD_MERGE_H
#define ROSTERD_INSPECT_CORE_RECORD_MERGE_H

#include <stdbool.h>
#include <stdint.h>

#include "inspect/core/record.h"
#include "shm/store.h"

/** The hidden part that goes with a record's body. It may have the secret: whoever does not need it
 * any more overwrites it. */
struct merged_hidden {
    uint32_t len;
    bool same;         /* body and hidden part are those of the user in the table */
    bool has_password; /* the user will have one */
    uint8_t bytes[USER_HIDDEN_MAX];
};

/**
 * Makes the hidden part. A user that changes, and whose line gives no time of the update, is
 * updated now.
 * @param record its body changes if the user in the table was created before and the line does not
 * say when
 * @param old the user in the table; NULL: there is none. A damaged one gives nothing
 * @param reason set if there can be no such user, to a static text that begins with the field's
 * name
 */
bool record_merge(struct merged_hidden *merged, struct record *record, const struct shm_user *old,
                  const char **reason);

/** Whether a unique key of the user differs from the record's, unique in this table or not. */
bool record_has_other_keys(const struct record *record, const struct shm_user *old);

#endif
