/* SPDX-License-Identifier: MIT */
/* The checks of a whole segment, on an image that may lie anywhere and say anything. */
#ifndef ROSTERD_SHM_VERIFY_VERIFY_H
#define ROSTERD_SHM_VERIFY_VERIFY_H

#include "shm/core/internal.h"

struct shm_image {
    const uint8_t *bytes; /* of a segment; what is a hole there is not looked at */
    uint64_t size;
    shm_key_of *key_of; /* NULL: which keys users have is not checked */
    void (*on_fault)(void *data, const char *line);
    void *data;
    void (*progress)(void *data, const char *what, unsigned percent);
    void *progress_data;
};

/** @return SHM_OK, SHM_ECORRUPT, SHM_ESYS (memory) */
int shm_verify_image(const struct shm_image *image, struct shm_verify_report *report);

#endif
