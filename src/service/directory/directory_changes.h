/* SPDX-License-Identifier: MIT */
/*
 * Changes of users as Directory.WatchUsers tells them: made from the entries of the change feed,
 * and from the users as they are when a worker comes to the entry.
 *
 * The feed says who was changed; the body is the newest that readers see. So of several changes of
 * a user only the last may be told:
 *
 * - UPDATED is told with the body that this commit wrote. If the user has a newer one, or is gone,
 *   nothing is told: a later entry reports that.
 * - CREATED is told with the newest body, at once: a watch never has to tell UPDATED of a user whom
 *   its client does not know. The entry that reports this body again, and those before it, are not
 *   told. Of a user who is gone already nothing is told, also not that (directory_late.h). Tokens
 * say so, too: a resume tells no change again.
 * - After a reboot the store may have made the entries again, from the table, one for each user:
 *   `rebuilt` is the last commit of these. They do not say CREATED. Up to there a user is created
 *   for a client if the client's token was given before the user was (known_seq), and is told as
 *   such a one. If the token was given among such entries of an earlier reboot, the client may know
 *   the user nevertheless: then CREATED may be told of a user whom it knows, and DELETED of one
 *   whom it does not.
 * - The entries of one rebuilt commit are those of some of its users, in the order of their
 * numbers. A token from inside such a commit says up to which number they are told, as a range that
 *   directory_late.h describes. One from inside a commit of creations, which was whole then, says
 *   the same by known_seq.
 *
 * All watches of a worker share the messages: the first one that comes to an entry makes the
 * message for its fields, and the others copy it. A watch that is far behind makes its own.
 */
#ifndef ROSTERD_SERVICE_DIRECTORY_DIRECTORY_CHANGES_H
#define ROSTERD_SERVICE_DIRECTORY_DIRECTORY_CHANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "service/directory/directory_late.h"
#include "service/directory/directory_watch_message.h"
#include "shm/store.h"

enum { DIRECTORY_CHANGES_SHARED = 2048 }; /* messages that are kept; a power of two */

struct directory_shared; /* an entry of the feed, and its message */

/** What the watches of a worker share. */
struct directory_changes {
    const struct shm_store *store;
    struct shm_actor *actor;
    uint8_t table[DIRECTORY_TABLE_SIZE];
    uint64_t rebuilt; /* the last commit of the entries made from the table; 0: none. Stays */
    struct directory_shared *shared; /* DIRECTORY_CHANGES_SHARED and a spare one; NULL: none yet */
    uint8_t scratch[DIRECTORY_WATCH_MESSAGE_MAX];
};

/** Where a watch is in the feed, and what its client knows. */
struct directory_place {
    struct shm_follower follower;
    unsigned fields;
    uint64_t version; /* all commits before this one are told, and of this one ... */
    uint16_t done;    /* ... so many entries; 0: all */
    uint64_t known_seq;
    uint64_t seq;   /* of the last entry's user */
    uint64_t among; /* as the token's */
    bool rebuilt;   /* it has not passed the rebuilt entries: known_seq is the token's */
    bool creates;   /* the entries of `done` are creations */
    struct directory_late *late;
};

void directory_changes_init(struct directory_changes *changes, const struct shm_store *store,
                            struct shm_actor *actor);
/** Frees the shared messages; places stay valid. */
void directory_changes_clear(struct directory_changes *changes);

/** Begins after all changes up to this commit. @param version at most the published one
 * @return SHM_OK, SHM_ERESYNC (the feed does not have the changes after it any more) */
int directory_changes_from(struct directory_changes *changes, struct directory_place *place,
                           uint64_t version);
/** Begins after what a token names, which must be of this table. @return as above; SHM_ERESYNC also
 * if the table was never so far */
int directory_changes_resume(struct directory_changes *changes, struct directory_place *place,
                             const struct directory_resume *resume);
/** What place's token says. */
struct directory_resume directory_changes_token(const struct directory_changes *changes,
                                                const struct directory_place *place);
/** Frees the set. */
void directory_changes_end(struct directory_place *place);

enum directory_step {
    DIRECTORY_TOLD,      /* here is a message */
    DIRECTORY_PASSED,    /* nothing is told of this entry */
    DIRECTORY_NONE,      /* there is no further entry up to now */
    DIRECTORY_LOST,      /* the feed does not have the next entries any more */
    DIRECTORY_NO_MEMORY, /* the place stays where it is */
};
struct directory_message {
    const uint8_t *bytes; /* valid until the next call of this module */
    size_t len;
    bool made; /* it was made, and not found */
};
/** Steps over the next entry. */
enum directory_step directory_changes_next(struct directory_changes *changes,
                                           struct directory_place *place,
                                           struct directory_message *message);
/** After DIRECTORY_NONE: everything is told up to this commit, which was the published one before
 * that. */
void directory_changes_quiet(const struct directory_changes *changes, struct directory_place *place,
                             uint64_t published);
/** Whether the feed does not have the next entries any more. */
bool directory_changes_lost(const struct directory_changes *changes,
                            const struct directory_place *place);

#endif
