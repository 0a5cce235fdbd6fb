/* SPDX-License-Identifier: MIT */
/*
 * A dump: users as lines of JSON, which dump writes and load reads (record_parser.h). A dump has a
 * header, a line for each user, oldest first, and a trailer. Without its trailer a dump is
 * truncated.
 *
 *   {"rosterd_dump":2,"segment":"/rosterd","version":7,"users":1}
 *   {"id":"...","username":"ada","email":"a@b","created_at":1700000000,"roles":["user"],
 *    "disabled":false,"labels":{"team":"blue"},"update_time":"2026-11-27T07:05:18.25Z",
 *    "has_password":true}                                                          (one line)
 *   {"rosterd_dump_end":2,"users":1}
 *
 * The hashes of passwords are in a dump only if its user has asked for them: then each line ends in
 * "password_hash", empty for a user without a password, instead of "has_password". Format 1, of
 * rosterd before 0.3.0, has the first five fields only.
 *
 * A dump loses nothing else: strings are escaped but never changed, and a user that JSON cannot
 * represent is an error.
 */
#ifndef ROSTERD_INSPECT_CORE_RECORD_H
#define ROSTERD_INSPECT_CORE_RECORD_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <json-c/json.h>

#include "base/fault.h"
#include "shm/careful.h"
#include "user/user_record.h"

enum {
    RECORD_FORMAT = 2,          /* the format's version; older ones can be read */
    RECORD_LINE_MAX = 64 << 10, /* bytes; the longest user takes less than half of it */
};

/** The fields of a line that need not be there: what is not given stays as the table has it. */
enum record_given {
    RECORD_DISABLED = 1 << 0,
    RECORD_LABELS = 1 << 1,
    RECORD_UPDATE_TIME = 1 << 2,
    RECORD_SECRET = 1 << 3,
};

/** A user of a file, as the store takes it. The hidden part may have the secret: whoever does not
 * need the record any more overwrites it. */
struct record {
    uint8_t id[UUID_SIZE];
    unsigned given;    /* record_given bits */
    bool had_password; /* the user had one, but the line does not have its hash */
    bool created_now;  /* the line does not say when the user was created */
    uint32_t body_len, hidden_len;
    uint8_t body[USER_BODY_MAX];
    uint8_t hidden[USER_HIDDEN_MAX]; /* what is given; otherwise as of a user that is created */
};

/** A user as JSON, without the secret and what tells that there is one. The caller owns the object.
 */
struct json_object *record_object(const uint8_t id[UUID_SIZE], const struct user_record *user);

void record_print_header(FILE *out, const char *segment, uint64_t version, uint64_t users);
void record_print_trailer(FILE *out, uint64_t users);
/**
 * Prints a user's line.
 * @param user as it is stored; it may be damaged
 * @param with_secret print the hash of the password
 * @return false if the line could not hold all of both parts; nothing has been printed then
 */
bool record_print(FILE *out, const struct shm_record *user, bool with_secret, struct fault *fault);

#endif
