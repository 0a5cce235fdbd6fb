/* SPDX-License-Identifier: MIT */
#include "service/directory/verify_stand_in.h"

#include <string.h>
#include <xxhash.h>

#include "user/user_record.h"

bool verify_hash_of(const struct shm_user *user, char hash[PASSWORD_HASH_MAX + 1])
{
    struct user_record_room room;
    struct user_record record;
    hash[0] = '\0';
    if (!user_record_decode(&record, &room, user->body, user->body_len, shm_user_hidden(user),
                            user->hidden_len) ||
        record.secret.len == 0 || record.secret.len > PASSWORD_HASH_MAX)
        return false;
    memcpy(hash, record.secret.data, record.secret.len);
    hash[record.secret.len] = '\0';
    return true;
}

/* @param users there have been so many; at least 1
 * @return a number below the greatest power of two that is at most `users`. The store's id makes
 *   it another one in each table */
static uint64_t stand_in_seq(const struct shm_store *store, uint64_t users,
                             enum directory_verify_by by, const void *key, size_t len)
{
    uint8_t id[SHM_STORE_ID_SIZE];
    shm_store_id(store, id);
    uint64_t power = UINT64_C(1) << (63 - __builtin_clzll(users));
    return XXH64(key, len, XXH64(id, sizeof(id), by)) & (power - 1);
}

/* Takes the first user after this sequence number. */
static void hash_after(struct shm_actor *actor, const struct shm_snapshot *snapshot, uint64_t seq,
                       char hash[PASSWORD_HASH_MAX + 1])
{
    static const uint8_t no_id[SHM_ID_SIZE];
    struct shm_cursor cursor;
    struct shm_user user;
    if (seq == 0)
        shm_cursor_first(&cursor, actor, snapshot);
    else if (shm_cursor_after(&cursor, actor, snapshot, seq, no_id) != SHM_OK)
        return;
    if (shm_cursor_next(&cursor, &user) == SHM_OK)
        (void)verify_hash_of(&user, hash);
}

void verify_stand_in(const struct user_service *service, enum directory_verify_by by,
                     const void *key, size_t len, char hash[PASSWORD_HASH_MAX + 1])
{
    uint64_t users = shm_last_seq(service->store);
    struct shm_snapshot snapshot;
    hash[0] = '\0';
    if (users == 0 || shm_snapshot_begin(service->actor, &snapshot) != SHM_OK)
        return;
    uint64_t seq = stand_in_seq(service->store, users, by, key, len);
    hash_after(service->actor, &snapshot, seq, hash);
    shm_snapshot_end(service->actor, &snapshot);
}
