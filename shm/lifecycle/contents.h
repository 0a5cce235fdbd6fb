/* SPDX-License-Identifier: MIT */
/* The check of everything in a segment that is about to be taken over. */
#ifndef ROSTERD_SHM_LIFECYCLE_CONTENTS_H
#define ROSTERD_SHM_LIFECYCLE_CONTENTS_H

#include "shm/error.h"
#include "shm/segment/check.h"
#include "shm/store.h"

/** Checks every invariant (shm_verify_image()). Does not change the segment, even a corrupt one.
 * @param geometry as shm_check_file() gave it
 * @return SHM_OK, SHM_ECORRUPT, SHM_ESYS */
int shm_check_contents(int fd, const struct shm_config *config, const struct shm_geometry *geometry,
                       struct shm_fault *fault);

#endif
