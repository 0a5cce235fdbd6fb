/* SPDX-License-Identifier: MIT */
/*
 * A whole stored user: the body, which user/user.h describes and UserService's calls copy to the
 * wire, and the hidden part, which those calls never see. The hidden part is a message of
 * protobuf's wire format; no .proto describes it, because no client ever gets it:
 *
 *     1 disabled     bool
 *     2 update_time  sfixed64, nanoseconds since the epoch
 *     3 labels       repeated message: 1 key, 2 value; sorted by key
 *     4 secret       bytes: the hash of a password, as text
 *
 * What has its default is not written. A user that was only created has no hidden part.
 */
#ifndef ROSTERD_USER_USER_RECORD_H
#define ROSTERD_USER_USER_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "user/labels.h"
#include "user/user.h"

enum {
    USER_SECRET_MAX = 512,  /* bytes */
    USER_RECORD_MAX = 4000, /* bytes of body and hidden part together: the store's SHM_BODY_MAX */
    /* Bytes of a hidden part: disabled, update_time, labels, secret. */
    USER_HIDDEN_MAX = 2 + 9 + USER_LABELS_SIZE_MAX + 3 + USER_SECRET_MAX,
    USER_SECRET_FIELD_MAX = 3 + USER_SECRET_MAX,
};

/** A user without its id. The texts belong to the caller. */
struct user_record {
    struct user_fields fields; /* the body */
    bool disabled;
    int64_t update_time; /* nanoseconds since the epoch; user_create_time(): never updated */
    const struct user_label *labels;
    size_t num_labels;
    struct user_text secret; /* empty: the user has no password */
};

/** Where the roles and labels of a decoded record lie. */
struct user_record_room {
    struct user_text roles[USER_ROLES_MAX];
    struct user_label labels[USER_LABELS_MAX];
};

/** Seconds since the epoch as nanoseconds. A time outside of the years 1677 to 2262, which only a
 * damaged body has, becomes the first or the last of them. */
static inline int64_t user_nanoseconds(int64_t seconds)
{
    int64_t nanoseconds;
    if (__builtin_mul_overflow(seconds, INT64_C(1000000000), &nanoseconds))
        return seconds < 0 ? INT64_MIN : INT64_MAX;
    return nanoseconds;
}

/** When the user was created, in nanoseconds since the epoch. Bodies keep whole seconds. */
static inline int64_t user_create_time(const struct user_fields *fields)
{
    return user_nanoseconds(fields->created_at);
}

/** Sets the time of an update that is made now. It grows with each update, also when the clock is
 * set back. @param now_ms milliseconds since the epoch */
static inline void user_record_touch(struct user_record *record, uint64_t now_ms)
{
    int64_t now = (int64_t)now_ms * 1000000;
    bool can_grow = record->update_time != INT64_MAX; /* which only a damaged user has */
    record->update_time = now > record->update_time || !can_grow ? now : record->update_time + 1;
}

/**
 * Checks everything: what user_check(), user_check_roles() and user_check_labels() check, the
 * secret, and that body and hidden part have at most USER_RECORD_MAX bytes together.
 * @param reason set if the user is refused, to a static text that begins with the field's name
 */
bool user_record_check(const struct user_record *record, const char **reason);

/**
 * Writes the hidden part of a user that has passed the check. user_body_encode() writes the body.
 * @param out USER_HIDDEN_MAX bytes. The secret is in them: the caller overwrites what it does not
 *   keep
 * @return the bytes written; 0: the user needs no hidden part
 */
size_t user_hidden_encode(uint8_t *out, const struct user_record *record);
/**
 * Gives a user whose hidden part was encoded without a secret one: it is the last field.
 * @param end of the hidden part, with room for USER_SECRET_FIELD_MAX bytes
 * @param secret empty: nothing is written
 * @return the bytes written; the last ones are the secret
 */
size_t user_hidden_add_secret(uint8_t *end, struct user_text secret);

/**
 * Reads both parts, which may be damaged: nothing outside of them is read. Unknown fields are
 * skipped.
 * @param record set to texts that point into the parts, and roles and labels that lie in `room`
 * @param hidden may be NULL if hidden_len is 0
 * @return false: a part is not its message, or has more roles or labels than a user may have
 */
bool user_record_decode(struct user_record *record, struct user_record_room *room,
                        const uint8_t *body, size_t body_len, const uint8_t *hidden,
                        size_t hidden_len);

#endif
