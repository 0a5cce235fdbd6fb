/* SPDX-License-Identifier: MIT */
/* The check of a whole segment, on an image at any address and with any contents. */
#ifndef ROSTERD_SHM_VERIFY_VERIFY_H
#define ROSTERD_SHM_VERIFY_VERIFY_H

#include "shm/store.h"
#include "shm/verify/image.h"

/** Checks every invariant, and reports each violation to image->on_fault.
 * @return SHM_OK, SHM_ECORRUPT, SHM_ESYS (out of memory) */
int shm_verify_image(const struct shm_image *image, struct shm_verify_report *report);

#endif
