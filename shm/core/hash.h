/* SPDX-License-Identifier: MIT */
/* Hashes and checksums. Hashes of ids and keys are keyed with the segment's secret, so that no
 * client can choose colliding ones. */
#ifndef ROSTERD_SHM_CORE_HASH_H
#define ROSTERD_SHM_CORE_HASH_H

#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "shm/core/layout.h"
#include "shm/store.h"

/** The hash of an id, with a copy of the segment's secret. */
static inline uint64_t shm_hash_keyed(const uint8_t secret[SHM_SECRET_SIZE],
                                      const uint8_t id[SHM_ID_SIZE])
{
    return XXH3_64bits_withSecret(id, SHM_ID_SIZE, secret, SHM_SECRET_SIZE);
}

/** The hash of an id, with the secret of this header. */
static inline uint64_t shm_hash_id(const struct shm_header *header, const uint8_t id[SHM_ID_SIZE])
{
    return shm_hash_keyed(header->secret, id);
}

static inline uint32_t shm_fold(uint64_t hash)
{
    return (uint32_t)(hash ^ (hash >> 32));
}

/** A body's checksum is computed in two parts: the bytes are hashed before the writer lock is
 * taken, the version is known only while it is held. This is the first part. */
static inline uint32_t shm_check_bytes(const uint8_t *bytes, size_t length)
{
    return shm_fold(XXH3_64bits_withSeed(bytes, length, length));
}

/** The share of a body's second part in its checksum. In a file of its own, so that the compiler
 * keeps the hash of the first part, which each write needs, in line. */
uint32_t shm_check_hidden(const uint8_t *hidden, size_t length);

/** As shm_check_bytes(), of a body with two parts; the second may be empty. */
static inline uint32_t shm_check_parts(const uint8_t *bytes, size_t length, const uint8_t *hidden,
                                       size_t hidden_length)
{
    uint32_t check = shm_check_bytes(bytes, length);
    if (hidden_length != 0)
        check ^= shm_check_hidden(hidden, hidden_length);
    return check;
}

/** The checksum of a body. @param bytes from shm_check_bytes() or shm_check_parts() */
static inline uint32_t shm_check_body(uint32_t bytes, uint64_t born)
{
    return bytes ^ shm_fold(born * UINT64_C(0x9e3779b97f4a7c15));
}

/** The checksum of a node: of its id, seq, born and hash, and of the one bit of its state that
 * never changes. */
static inline uint32_t shm_check_node(const struct shm_node *node)
{
    uint64_t words[2];
    memcpy(words, node->id, sizeof(words));
    uint64_t h = (words[0] ^ node->seq) * UINT64_C(0x9e3779b97f4a7c15);
    h = (h ^ (h >> 29) ^ words[1] ^ node->born) * UINT64_C(0xbf58476d1ce4e5b9);
    h = (h ^ (h >> 32) ^ node->hash ^ (node->state & SHM_NODE_RENAMED)) *
        UINT64_C(0x94d049bb133111eb);
    return shm_fold(h);
}

/** The checksum of a request's entry. */
static inline uint32_t shm_check_request(const struct shm_request_entry *entry)
{
    return shm_fold(XXH3_64bits(entry, offsetof(struct shm_request_entry, check)));
}

#endif
