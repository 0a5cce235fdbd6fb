/* SPDX-License-Identifier: MIT */
/*
 * Random UUIDs (RFC 9562, version 4) and their text: 36 characters, written in lower case and read
 * in either case (RFC 9562 4).
 */
#ifndef ROSTERD_USER_UUID_H
#define ROSTERD_USER_UUID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { UUID_SIZE = 16, UUID_TEXT_SIZE = 36 };

/**
 * A stock of random bytes: a system call for each UUID would cost more than the insert of the user.
 * Used bytes are erased. Zeroed is an empty stock. Each process needs its own, which it must fill
 * after fork(): two processes with one stock would give out the same ids.
 */
struct uuid_source {
    uint32_t left; /* bytes that have not been used */
    uint8_t bytes[4096];
};

/** Makes a new random UUID of version 4. Ends the process if the kernel gives no random bytes: ids
 * that repeat, or can be guessed, would be worse than no service. */
void uuid_random(struct uuid_source *source, uint8_t uuid[UUID_SIZE]);
/** Writes UUID_TEXT_SIZE characters and no NUL. */
void uuid_format(char *text, const uint8_t uuid[UUID_SIZE]);
/** @return false: the text is not a UUID in canonical form (8-4-4-4-12 hexadecimal digits) */
bool uuid_parse(uint8_t uuid[UUID_SIZE], const uint8_t *text, size_t len);

/* uuid_format() and uuid_parse() for C strings. */
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
