/* SPDX-License-Identifier: MIT */
/*
 * Which hash a VerifyPassword works on for nothing, where there is no user, or none with a
 * password: another user's. So the time does not tell who exists: hashes of other programs, and
 * those that cost more than what is set, take longer, and so do as many unknown users as users have
 * such hashes. The same key gets the same user for as long as the table has at most twice as many
 * as before, and that user exists.
 */
#ifndef ROSTERD_SERVICE_DIRECTORY_VERIFY_STAND_IN_H
#define ROSTERD_SERVICE_DIRECTORY_VERIFY_STAND_IN_H

#include <stdbool.h>
#include <stddef.h>

#include "password/password.h"
#include "service/directory/verify_tries.h"
#include "service/users/user_service_state.h"
#include "shm/store.h"

/** Writes the user's hash, with a NUL. @return false: the user has none, and hash is empty */
bool verify_hash_of(const struct shm_user *user, char hash[PASSWORD_HASH_MAX + 1]);
/** Writes the hash of the user who stands in for a key. It is empty if that user has none. */
void verify_stand_in(const struct user_service *service, enum directory_verify_by by,
                     const void *key, size_t len, char hash[PASSWORD_HASH_MAX + 1]);

#endif
