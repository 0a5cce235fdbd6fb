/* SPDX-License-Identifier: MIT */
/*
 * Random UUIDs (RFC 9562, version 4) and their text. Text is 36 characters,
 * written in lower case and read in either (RFC 9562 4).
 */
#ifndef ROSTERD_USER_UUID_H
#define ROSTERD_USER_UUID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { UUID_SIZE = 16, UUID_TEXT_SIZE = 36 };

/**
 * Random bytes in stock, because a system call for each UUID would cost more
 * than the user's insert. Used bytes are erased. One for a process: fill it
 * after fork, never before, else two processes give out the same ids.
 */
struct uuid_source {
    uint32_t left; /* bytes not yet given out; start with 0 */
    uint8_t bytes[4096];
};

/** A version 4 UUID that nobody has had. */
void uuid_random(struct uuid_source *source, uint8_t uuid[UUID_SIZE]);
/** Writes UUID_TEXT_SIZE characters and no NUL. */
void uuid_format(char *text, const uint8_t uuid[UUID_SIZE]);
/** @return false where the text is not a UUID in its one canonical shape */
bool uuid_parse(uint8_t uuid[UUID_SIZE], const uint8_t *text, size_t len);

/* The same for C strings. */
static inline void uuid_to_string(char text[UUID_TEXT_SIZE + 1], const uint8_t uuid[UUID_SIZE])
{
    uuid_format(text, uuid);
    text[UUID_TEXT_SIZE] = '\0';
}

static inline bool uuid_from_string(uint8_t uuid[UUID_SIZE], const char *text)
{
    return uuid_parse(uuid, (const uint8_t *)text, strlen(text));
}

#endif
