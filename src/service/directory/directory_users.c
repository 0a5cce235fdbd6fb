/* SPDX-License-Identifier: MIT */
#include "service/directory/directory_users.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

#include "service/directory/directory_user.h"
#include "user/wire.h"

enum {
    TAG_USERS = 0x0a, /* field number << 3 | wire type */
    GROW_LEAST = 512,
    HALVE_LEAST = 16 << 10,
    TRIM_LEAST = 16 << 10,
    EXPECTED_MOST = 256 << 10, /* bytes for expected users, which may not come */
    COMPRESS_MOST = 32 << 10,
};

const char directory_no_room[] = "no memory for the reply, or the connection holds too much "
                                 "(max-connection-memory)";

/* @param cap more than before @return false: see directory_users_add() */
static bool users_resize(struct grpc_call *call, struct directory_users *users, size_t cap)
{
    if (!grpc_call_hold(call, cap - users->cap))
        return false;
    uint8_t *bytes = realloc(users->bytes, cap);
    if (bytes == NULL) {
        grpc_call_release(call, cap - users->cap);
        return false;
    }
    users->bytes = bytes;
    users->cap = cap;
    return true;
}

/* How much more than is needed to take, so that users are seldom moved: as much as there is, or
 * will be needed later; half of what may be held where that is less, and in the end all of it. */
static size_t spare_for(const struct grpc_call *call, const struct directory_users *users,
                        size_t needed, size_t later)
{
    size_t spare = MAX(MAX(users->cap, (size_t)GROW_LEAST), MIN(later, (size_t)EXPECTED_MOST));
    size_t may = grpc_call_may_hold(call);
    if (may <= needed)
        return 0;
    if (may - needed >= spare)
        return spare;
    return may - needed > HALVE_LEAST ? (may - needed) / 2 : may - needed;
}

/* Makes room for `more` bytes, and for those that will be needed later, if there is memory for
 * them.
 * @return false: see directory_users_add() */
static __attribute__((noinline)) bool
users_grow(struct grpc_call *call, struct directory_users *users, size_t more, size_t later)
{
    size_t cap = users->len + more, spare = spare_for(call, users, cap - users->cap, later);
    return users_resize(call, users, cap + spare) || (spare != 0 && users_resize(call, users, cap));
}

static inline bool users_have_room(const struct directory_users *users, size_t more)
{
    return users->cap - users->len >= more;
}

/* Of the length of a user, which DIRECTORY_USER_MAX bounds. */
static inline size_t length_size(size_t len)
{
    return len < 0x80 ? 1 : 2;
}

static inline void put_length(uint8_t *to, size_t len)
{
    if (len < 0x80)
        *to = (uint8_t)len;
    else
        wire_put_varint(to, len);
}

/* The user is written where it stays, behind a tag and a length of as many bytes as the last user's
 * had; it is moved in the rare case that this was wrong. */
bool directory_users_add(struct grpc_call *call, struct directory_users *users,
                         const struct shm_user *user, unsigned fields)
{
    size_t head = users->len == 0 ? GRPC_GIVE_HEAD : 0;
    size_t bound = 1 + 2 + directory_user_bound(user);
    /* Room for the other fields, too: what could be added can be sent. */
    size_t more = head + bound + DIRECTORY_USERS_REST_MAX;
    if (!users_have_room(users, more) && !users_grow(call, users, more, users->expected * bound))
        return false;
    users->expected -= users->expected != 0;
    uint8_t *at = users->bytes + users->len + head, *body = at + 1 + length_size(users->last);
    size_t len = directory_user_encode(body, user, fields);
    *at = TAG_USERS;
    uint8_t *to = at + 1 + length_size(len);
    if (to != body)
        memmove(to, body, len);
    put_length(at + 1, len);
    users->len = (size_t)(to + len - users->bytes);
    users->last = len;
    return true;
}

/* A reply may wait long for its client: what it does not need is given back. */
static void users_trim(struct grpc_call *call, struct directory_users *users)
{
    size_t spare = users->cap - users->len;
    if (spare <= TRIM_LEAST || spare <= users->len)
        return;
    uint8_t *bytes = realloc(users->bytes, users->len);
    if (bytes == NULL)
        return;
    users->bytes = bytes;
    users->cap = users->len;
    grpc_call_release(call, spare);
}

/* Sends a reply without users, for which no memory was taken. */
static bool send_rest(struct grpc_call *call, const uint8_t *rest, size_t rest_len)
{
    uint8_t *to = grpc_call_reserve(call, rest_len);
    if (to == NULL)
        return false;
    if (rest_len != 0)
        memcpy(to, rest, rest_len);
    grpc_call_commit(call);
    return true;
}

bool directory_users_send(struct grpc_call *call, struct directory_users *users,
                          const uint8_t *rest, size_t rest_len)
{
    if (!directory_users_any(users))
        return send_rest(call, rest, rest_len);
    assert(users_have_room(users, rest_len));
    if (rest_len != 0)
        memcpy(users->bytes + users->len, rest, rest_len);
    users->len += rest_len;
    if (users->len > COMPRESS_MOST)
        grpc_call_compress(call, false);
    users_trim(call, users);
    struct directory_users given = *users;
    *users = (struct directory_users){0};
    return grpc_call_give(call, given.bytes, given.len - GRPC_GIVE_HEAD, given.cap);
}

void directory_users_drop(struct grpc_call *call, struct directory_users *users)
{
    if (users->cap != 0)
        grpc_call_release(call, users->cap);
    free(users->bytes);
    *users = (struct directory_users){0};
}
