/* SPDX-License-Identifier: MIT */
#include "inspect/core/record_merge.h"

#include <assert.h>
#include <string.h>

#include "base/clock.h"

/* Takes the fields that the line does not give from the user that is there. */
static void fill_missing(struct user_record *user, const struct user_record *old, unsigned given)
{
    if ((given & RECORD_DISABLED) == 0)
        user->disabled = old->disabled;
    if ((given & RECORD_LABELS) == 0) {
        user->labels = old->labels;
        user->num_labels = old->num_labels;
    }
    if ((given & RECORD_UPDATE_TIME) == 0)
        user->update_time = old->update_time;
    if ((given & RECORD_SECRET) == 0)
        user->secret = old->secret;
}

/* Writes the body anew. The texts of `user` point into it, and are not to be used any more. */
static void encode_body(struct record *record, const struct user_record *user)
{
    uint8_t body[USER_BODY_MAX];
    record->body_len = (uint32_t)user_body_encode(body, &user->fields);
    memcpy(record->body, body, record->body_len);
}

static bool is_same(const struct merged_hidden *merged, const struct record *record,
                    const struct shm_user *old)
{
    return old->body_len == record->body_len && old->hidden_len == merged->len &&
           memcmp(old->body, record->body, record->body_len) == 0 &&
           memcmp(shm_user_hidden(old), merged->bytes, merged->len) == 0;
}

bool record_merge(struct merged_hidden *merged, struct record *record, const struct shm_user *old,
                  const char **reason)
{
    struct user_record_room room, old_room;
    struct user_record user, was;
    bool good = user_record_decode(&user, &room, record->body, record->body_len, record->hidden,
                                   record->hidden_len);
    assert(good); /* record_parse() has encoded it */
    bool known = old != NULL && user_record_decode(&was, &old_room, old->body, old->body_len,
                                                   shm_user_hidden(old), old->hidden_len);
    if (known)
        fill_missing(&user, &was, record->given);
    if (known && record->created_now)
        user.fields.created_at = was.fields.created_at;
    if (!user_record_check(&user, reason))
        return false;
    if (known && record->created_now)
        encode_body(record, &user);
    merged->len = (uint32_t)user_hidden_encode(merged->bytes, &user);
    merged->same = known && is_same(merged, record, old);
    merged->has_password = user.secret.len != 0;
    if (known && !merged->same && (record->given & RECORD_UPDATE_TIME) == 0) {
        user_record_touch(&user, clock_real_ms());
        merged->len = (uint32_t)user_hidden_encode(merged->bytes, &user);
    }
    return true;
}

bool record_has_other_keys(const struct record *record, const struct shm_user *old)
{
    uint8_t was[USER_KEY_MAX], is[USER_KEY_MAX];
    for (unsigned key = 0; key < USER_KEYS; key++) {
        uint32_t len = user_key_of(key, old->body, old->body_len, was);
        if (user_key_of(key, record->body, record->body_len, is) != len ||
            memcmp(was, is, len) != 0)
            return true;
    }
    return false;
}
