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

/** The checksum of a body. @param bytes from shm_check_bytes() */
static inline uint32_t shm_check_body(uint32_t bytes, uint64_t born)
{
    return bytes ^ shm_fold(born * UINT64_C(0x9e3779b97f4a7c15));
}

/** The checksum of a node: of its id, seq, born and hash. */
static inline uint32_t shm_check_node(const struct shm_node *node)
{
    uint64_t words[2];
    memcpy(words, node->id, sizeof(words));
    uint64_t h = (words[0] ^ node->seq) * UINT64_C(0x9e3779b97f4a7c15);
    h = (h ^ (h >> 29) ^ words[1] ^ node->born) * UINT64_C(0xbf58476d1ce4e5b9);
    h = (h ^ (h >> 32) ^ node->hash) * UINT64_C(0x94d049bb133111eb);
    return shm_fold(h);
}

#endif
