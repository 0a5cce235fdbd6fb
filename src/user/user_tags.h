/* SPDX-License-Identifier: MIT */
/* The fields of a stored user, for the code of this folder that reads them in place. Encoders write
 * them in ascending order. A tag is field number << 3 | wire type (protobuf.dev, Encoding). */
#ifndef ROSTERD_USER_USER_TAGS_H
#define ROSTERD_USER_USER_TAGS_H

/** The body: a User message of proto/user_service.proto. */
enum user_body_tag {
    USER_TAG_USERNAME = 0x12,
    USER_TAG_EMAIL = 0x1a,
    USER_TAG_CREATED_AT = 0x20,
    USER_TAG_ROLES = 0x2a,
};

/** The hidden part, which user/user_record.h describes. */
enum user_hidden_tag {
    USER_TAG_DISABLED = 0x08,
    USER_TAG_UPDATE_TIME = 0x11,
    USER_TAG_LABELS = 0x1a,
    USER_TAG_SECRET = 0x22,
};

/** A label, which is a message in the hidden part. */
enum user_label_tag { USER_TAG_LABEL_KEY = 0x0a, USER_TAG_LABEL_VALUE = 0x12 };

#endif
