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

/*
 * A number from 1 to `count` for a random one: each is as likely, and with a greater count it is
 * the same, or one of the new numbers. The numbers at which it changes are drawn one after the
 * other, each from the one before: of `from` and a random part u of 1, the next is from / u.
 * (J. Lamping and E. Veach, A Fast, Minimal Memory, Consistent Hash Algorithm, 2014.)
 */
static uint64_t consistent_number(uint64_t random, uint64_t count)
{
    enum { BITS = 31 };
    uint64_t number = 1, next = 1;
    while (next <= count) {
        number = next;
        random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        uint64_t part = (random >> (64 - BITS)) + 1; /* of 2^31 */
        next = (uint64_t)(((unsigned __int128)number << BITS) / part) + 1;
    }
    return number;
}

/* @return whether the user with this sequence number exists, and has a hash */
static bool hash_at(struct shm_actor *actor, const struct shm_snapshot *snapshot, uint64_t seq,
                    char hash[PASSWORD_HASH_MAX + 1])
{
    static const uint8_t no_id[SHM_ID_SIZE];
    struct shm_cursor cursor;
    struct shm_user user;
    if (seq == 1)
        shm_cursor_first(&cursor, actor, snapshot);
    else if (shm_cursor_after(&cursor, actor, snapshot, seq - 1, no_id) != SHM_OK)
        return false;
    return shm_cursor_next(&cursor, &user) == SHM_OK && user.seq == seq &&
           verify_hash_of(&user, hash);
}

void verify_stand_in(const struct user_service *service, enum directory_verify_by by,
                     const void *key, size_t len, char hash[PASSWORD_HASH_MAX + 1])
{
    uint8_t id[SHM_STORE_ID_SIZE];
    struct shm_snapshot snapshot;
    uint64_t last = shm_last_seq(service->store);
    hash[0] = '\0';
    if (last == 0 || shm_snapshot_begin(service->actor, &snapshot) != SHM_OK)
        return;
    shm_store_id(service->store, id);
    uint64_t random = XXH64(key, len, XXH64(id, sizeof(id), by));
    for (unsigned i = 0; i < VERIFY_DRAWS; i++, random = XXH64(&random, sizeof(random), i))
        if (hash_at(service->actor, &snapshot, consistent_number(random, last), hash))
            break;
    shm_snapshot_end(service->actor, &snapshot);
}
