/* SPDX-License-Identifier: MIT */
/*
 * Which hash a VerifyPassword works on for nothing, where there is no user, or none with a
 * password: that of another user, who is drawn from all that have one. So the time does not tell
 * who exists: hashes of other programs, and those that cost more than what is set, take longer, and
 * so they do for as many unknown users.
 *
 * The same key gets the same user, with few exceptions, for as long as that user has a hash: the
 * key's number in the table changes in one of n keys when the n-th user is created.
 *
 * It is drawn up to VERIFY_DRAWS times. Where fewer than a fifth of all users that ever were have
 * passwords now, some keys get no hash, and take the time of the cost that is set.
 */
#ifndef ROSTERD_SERVICE_DIRECTORY_VERIFY_STAND_IN_H
#define ROSTERD_SERVICE_DIRECTORY_VERIFY_STAND_IN_H

#include <stdbool.h>
#include <stddef.h>

#include "password/password.h"
#include "service/directory/verify_tries.h"
#include "service/users/user_service_state.h"
#include "shm/store.h"

enum { VERIFY_DRAWS = 32 };

/** Writes the user's hash, with a NUL. @return false: the user has none, and hash is empty */
bool verify_hash_of(const struct shm_user *user, char hash[PASSWORD_HASH_MAX + 1]);
/** Writes the hash of the user who stands in for a key. It is empty if nobody does. */
void verify_stand_in(const struct user_service *service, enum directory_verify_by by,
                     const void *key, size_t len, char hash[PASSWORD_HASH_MAX + 1]);

#endif
