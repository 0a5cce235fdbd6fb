/* SPDX-License-Identifier: MIT */
/*
 * A dump: users as lines of JSON, which dump writes and load reads (record_parser.h). A dump has a
 * header, a line for each user, oldest first, and a trailer. Without its trailer a dump is
 * truncated.
 *
 *   {"rosterd_dump":1,"segment":"/rosterd","version":7,"users":1}
 *   {"id":"...","username":"ada","email":"a@b","created_at":1700000000,"roles":["user"]}
 *   {"rosterd_dump_end":1,"users":1}
 *
 * A dump loses nothing: strings are escaped but never changed, and a user that JSON cannot
 * represent is an error.
 */
#ifndef ROSTERD_INSPECT_CORE_RECORD_H
#define ROSTERD_INSPECT_CORE_RECORD_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <json-c/json.h>

#include "base/fault.h"
#include "user/user.h"

enum {
    RECORD_FORMAT = 1,          /* the format's version */
    RECORD_LINE_MAX = 64 << 10, /* bytes; the longest user takes less than half of it */
};

/** A user as the store takes it. */
struct record {
    uint8_t id[UUID_SIZE];
    uint32_t body_len;
    uint8_t body[USER_BODY_MAX];
};

/** The five fields of a user as JSON. The caller owns the object. */
struct json_object *record_object(const uint8_t id[UUID_SIZE], const struct user_fields *fields);

void record_print_header(FILE *out, const char *segment, uint64_t version, uint64_t users);
void record_print_trailer(FILE *out, uint64_t users);
/**
 * Prints a user's line.
 * @param body as it is stored; it may be damaged
 * @return false if the line could not hold all of the body; nothing has been printed then
 */
bool record_print(FILE *out, const uint8_t id[UUID_SIZE], const uint8_t *body, uint32_t body_len,
                  struct fault *fault);

#endif
