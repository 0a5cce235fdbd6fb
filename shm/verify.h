/* SPDX-License-Identifier: MIT */
/* The checks of a whole segment, on a copy that may lie anywhere and say anything. */
#ifndef ROSTERD_SHM_VERIFY_H
#define ROSTERD_SHM_VERIFY_H

#include "shm/internal.h"

/** @param image bytes [0, size) of a segment whose header has been checked */
int shm_verify_image(const uint8_t *image, uint64_t size, struct shm_verify_report *report,
                     void (*on_fault)(void *data, const char *line), void *data);

#endif
