/* SPDX-License-Identifier: MIT */
/*
 * A command's hand in the table: attached to write, beside a live server or to a dead one's
 * segment. No commit waits long: the writer lock's holder may be a stopped process.
 */
#ifndef ROSTERD_INSPECT_WRITER_H
#define ROSTERD_INSPECT_WRITER_H

#include <stddef.h>
#include <stdint.h>

#include "inspect/core/inspect.h"

struct writer {
    const char *segment;
    struct shm_store *store;
    struct shm_actor *actor;
};

/** @return INSPECT_DONE, or what the command returns: the reason has been told */
enum inspect_exit writer_open(struct writer *writer, const struct inspect_options *options);
void writer_close(struct writer *writer);

/**
 * As shm_users_insert(), shm_users_update() and shm_users_delete(), but the lock is tried for a
 * second and a half before it is SHM_EBUSY. The actor is offline afterwards.
 */
int writer_insert(struct writer *writer, const struct shm_new_user *users, size_t count,
                  struct shm_conflict *conflict);
int writer_update(struct writer *writer, const struct shm_new_user *users, size_t count,
                  struct shm_conflict *conflict);
int writer_delete(struct writer *writer, const uint8_t (*ids)[SHM_ID_SIZE], size_t count,
                  struct shm_conflict *conflict);

/** Why the table took none of it, for a person. @param text takes it, where it has numbers */
const char *writer_reason(const struct writer *writer, int error, char text[128]);
/** Tells it. @return what the command returns */
enum inspect_exit writer_fail(const struct writer *writer, int error);

#endif
