/* SPDX-License-Identifier: MIT */
/* The checks of a whole segment, on an image that may lie anywhere and say anything. */
#ifndef ROSTERD_SHM_VERIFY_VERIFY_H
#define ROSTERD_SHM_VERIFY_VERIFY_H

#include "shm/store.h"
#include "shm/verify/image.h"

/** @return SHM_OK, SHM_ECORRUPT, SHM_ESYS (memory) */
int shm_verify_image(const struct shm_image *image, struct shm_verify_report *report);

#endif
