/* SPDX-License-Identifier: MIT */
/* Reads the lines of a dump (record.h), and other descriptions of users. */
#ifndef ROSTERD_INSPECT_CORE_RECORD_PARSER_H
#define ROSTERD_INSPECT_CORE_RECORD_PARSER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <json-c/json.h>

#include "base/fault.h"
#include "inspect/core/record.h"
#include "inspect/core/record_columns.h"

enum record_kind { RECORD_BAD, RECORD_USER, RECORD_HEADER, RECORD_TRAILER };

struct record_parser {
    struct json_tokener *tokener;
    const struct record_columns *columns; /* of CSV; NULL, as at first: users are JSON */
    struct uuid_source ids;               /* for users who have none */
    bool has_nul;                         /* the line has U+0000 in a string */
    uint64_t users;                       /* the number that the last header or trailer states */
};

void record_parser_init(struct record_parser *parser);
void record_parser_free(struct record_parser *parser);
/**
 * Parses a line, an object of JSON that takes several, or a row of CSV. A user must have the five
 * fields of format 1, may have those of record_given and no others, and be one that the server
 * could have created. A user without an id is a new one: it gets a random id, and needs only a user
 * name. One without created_at is created now, if the table does not know better (record_merge.h).
 * The fault never shows the hash of a password.
 * @param len at most RECORD_LINE_MAX
 * @param record filled for RECORD_USER
 * @param fault filled for RECORD_BAD
 */
enum record_kind record_parse(struct record_parser *parser, const char *line, size_t len,
                              struct record *record, struct fault *fault);

#endif
