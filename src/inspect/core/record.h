/* SPDX-License-Identifier: MIT */
/*
 * Users as lines of JSON: what dump writes and load reads. A dump is a header, a line for each
 * user, oldest first, and a trailer that tells a whole dump from one that was cut off:
 *
 *   {"rosterd_dump":1,"segment":"/rosterd","version":7,"users":1}
 *   {"id":"...","username":"ada","email":"a@b","created_at":1700000000,"roles":["user"]}
 *   {"rosterd_dump_end":1,"users":1}
 *
 * Nothing is lost on the way: strings are escaped, never changed, and what JSON cannot
 * hold is an error.
 */
#ifndef ROSTERD_INSPECT_RECORD_H
#define ROSTERD_INSPECT_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <json-c/json.h>

#include "user/user.h"

enum {
    RECORD_FORMAT = 1,          /* of the dump */
    RECORD_LINE_MAX = 64 << 10, /* bytes; the longest user takes less than half of it */
    RECORD_REASON_SIZE = 256,
};

/** A user as the store takes it. */
struct record {
    uint8_t id[UUID_SIZE];
    uint32_t body_len;
    uint8_t body[USER_BODY_MAX];
};

void record_print_header(FILE *out, const char *segment, uint64_t version, uint64_t users);
void record_print_trailer(FILE *out, uint64_t users);
/**
 * Prints a user's line.
 * @param body as it is stored; it may be damaged
 * @return NULL, or why the line would not hold all of it: a static text; nothing was printed
 */
const char *record_print(FILE *out, const uint8_t id[UUID_SIZE], const uint8_t *body,
                         uint32_t body_len);

enum record_kind { RECORD_BAD, RECORD_USER, RECORD_HEADER, RECORD_TRAILER };

struct record_parser {
    struct json_tokener *tokener;
    uint64_t users; /* of the last header or trailer */
    char reason[RECORD_REASON_SIZE];
};

void record_parser_init(struct record_parser *parser);
void record_parser_free(struct record_parser *parser);
/**
 * Reads a line. A user's must have all five fields and no others, and be one that the server
 * could have made.
 * @param len at most RECORD_LINE_MAX
 * @param record filled for RECORD_USER
 * @return RECORD_BAD: parser->reason says why
 */
enum record_kind record_parse(struct record_parser *parser, const char *line, size_t len,
                              struct record *record);

#endif
