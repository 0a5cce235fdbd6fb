/* SPDX-License-Identifier: MIT */
/* Reads the lines of a dump (record.h). */
#ifndef ROSTERD_INSPECT_CORE_RECORD_PARSER_H
#define ROSTERD_INSPECT_CORE_RECORD_PARSER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <json-c/json.h>

#include "base/fault.h"
#include "inspect/core/record.h"

enum record_kind { RECORD_BAD, RECORD_USER, RECORD_HEADER, RECORD_TRAILER };

struct record_parser {
    struct json_tokener *tokener;
    bool has_nul;   /* the line has U+0000 in a string */
    uint64_t users; /* the number that the last header or trailer states */
};

void record_parser_init(struct record_parser *parser);
void record_parser_free(struct record_parser *parser);
/**
 * Parses a line. The line of a user must have the five fields of format 1, may have those of
 * record_given and no others, and describe a user that the server could have created. The fault
 * never shows the hash of a password.
 * @param len at most RECORD_LINE_MAX
 * @param record filled for RECORD_USER
 * @param fault filled for RECORD_BAD
 */
enum record_kind record_parse(struct record_parser *parser, const char *line, size_t len,
                              struct record *record, struct fault *fault);

#endif
