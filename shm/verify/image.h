/* SPDX-License-Identifier: MIT */
/* An image of a segment: what verify checks. */
#ifndef ROSTERD_SHM_VERIFY_IMAGE_H
#define ROSTERD_SHM_VERIFY_IMAGE_H

#include "shm/store.h"

struct shm_image {
    const uint8_t *bytes; /* of the segment; its holes are not read */
    uint64_t size;
    shm_key_of *key_of; /* NULL: users' keys are not checked */
    /** Called for each violation, by any thread but one at a time. NULL is allowed. */
    void (*on_fault)(void *data, const char *line);
    void *data;
    /** As shm_config.progress. NULL is allowed. */
    void (*progress)(void *data, const char *what, unsigned percent);
    void *progress_data;
};

#endif
