/* SPDX-License-Identifier: MIT */
/*
 * Attaches to a segment to write it, whether its server runs or is dead. No commit waits
 * long: the process that holds the writer lock may be stopped. What is written may not be on disk
 * yet, and is not shown to readers before: see durable_wait.h.
 */
#ifndef ROSTERD_INSPECT_CORE_TABLE_WRITER_H
#define ROSTERD_INSPECT_CORE_TABLE_WRITER_H

#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "inspect/core/inspect_options.h"
#include "inspect/core/report.h"
#include "shm/store.h"

struct table_writer {
    const char *segment;
    struct shm_store *store;
    struct shm_actor *actor;
    uint64_t version; /* the last commit of this command; 0: none yet */
};

/** Attaches as table_attach() does, but to write, and joins as an actor.
 * @return INSPECT_DONE, or the exit status of a failure that has been reported */
enum inspect_exit table_writer_open(struct table_writer *writer,
                                    const struct inspect_options *options);
void table_writer_close(struct table_writer *writer);

/**
 * Like shm_users_insert(), shm_users_update() and shm_users_delete(), but they try to take the
 * writer lock for 1.5 seconds before they return SHM_EBUSY, and wait a minute for the journal if
 * that is behind and does not get on. The actor is offline afterwards.
 */
int table_writer_insert(struct table_writer *writer, const struct shm_new_user *users, size_t count,
                        struct shm_conflict *conflict);
int table_writer_update(struct table_writer *writer, const struct shm_new_user *users, size_t count,
                        struct shm_conflict *conflict);
int table_writer_delete(struct table_writer *writer, const uint8_t (*ids)[SHM_ID_SIZE],
                        size_t count, struct shm_conflict *conflict);

/** As shm_user_find(), but as of the newest commit, by which writes are accepted and refused. */
int table_writer_find(struct table_writer *writer, const uint8_t id[SHM_ID_SIZE],
                      struct shm_user *user);

/** The same by a unique key, as shm_user_find_key(). */
int table_writer_find_key(struct table_writer *writer, unsigned key, const uint8_t *value,
                          uint32_t len, struct shm_user *user);

/** How many more users the table takes now. */
uint64_t table_writer_room(const struct table_writer *writer);

/**
 * Fills the fault with the reason why a commit failed.
 * @param error what one of the functions above returned
 * @return the exit status for this error; nothing has been reported
 */
enum inspect_exit table_writer_explain(const struct table_writer *writer, int error,
                                       struct fault *fault);
/** Reports that reason. @return the exit status */
enum inspect_exit table_writer_fail(const struct table_writer *writer, int error);

#endif
