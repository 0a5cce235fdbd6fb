/* SPDX-License-Identifier: MIT */
/* An image of a segment: what verify checks. */
#ifndef ROSTERD_SHM_VERIFY_IMAGE_H
#define ROSTERD_SHM_VERIFY_IMAGE_H

#include "shm/store.h"

struct shm_image {
    const uint8_t *bytes; /* of a segment; what is a hole there is not looked at */
    uint64_t size;
    shm_key_of *key_of; /* NULL: which keys users have is not checked */
    void (*on_fault)(void *data, const char *line);
    void *data;
    void (*progress)(void *data, const char *what, unsigned percent);
    void *progress_data;
};

#endif
