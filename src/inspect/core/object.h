/* SPDX-License-Identifier: MIT */
/*
 * JSON output. Wraps json-c: bytes from the segment need not be UTF-8, and a failed allocation ends
 * the program (memory.h). Reference counts are as in json-c: whoever creates an object owns it,
 * and object_add() and object_append() pass it on to the container.
 */
#ifndef ROSTERD_INSPECT_CORE_OBJECT_H
#define ROSTERD_INSPECT_CORE_OBJECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <json-c/json.h>

struct json_object *object_new(void);
struct json_object *object_new_array(void);
/** A string of these bytes; ill-formed UTF-8 is replaced by U+FFFD. */
struct json_object *object_new_text(const void *bytes, size_t len);

void object_add(struct json_object *object, const char *key, struct json_object *value);
void object_add_bool(struct json_object *object, const char *key, bool value);
void object_add_number(struct json_object *object, const char *key, uint64_t value);
void object_add_signed(struct json_object *object, const char *key, int64_t value);
void object_add_double(struct json_object *object, const char *key, double value);
/** A C string, as object_new_text() makes it. */
void object_add_string(struct json_object *object, const char *key, const char *value);
void object_append(struct json_object *array, struct json_object *value);

/**
 * Prints a value as one line and releases it. Characters that text_print() escapes are written as
 * `\uNNNN`.
 */
void object_print(FILE *out, struct json_object *value);

#endif
