/* SPDX-License-Identifier: MIT */
/* Whether a file is a segment that this process may map. */
#ifndef ROSTERD_SHM_SEGMENT_CHECK_H
#define ROSTERD_SHM_SEGMENT_CHECK_H

#include <stdint.h>

#include "shm/core/layout.h"
#include "shm/error.h"

struct shm_geometry {
    uint64_t limit; /* bytes of address space */
    uint64_t arena_end, slots_ready, users, version;
    uint8_t store_id[SHM_STORE_ID_SIZE];
};

/** Fills in what identifies a segment of this build, and the checksum. The caller has set the
 * other fields. */
void shm_header_fill(struct shm_header *header);
/** @return SHM_OK; SHM_ELAYOUT: another build's segment; SHM_ECORRUPT */
int shm_check_header(const struct shm_header *header, const char *name, struct shm_fault *fault);
/** Checks the header, the control page and the file's size, without mapping the file. Other
 * processes may write to it meanwhile. @param geometry what one state of the control page says
 * @return SHM_OK, SHM_ELAYOUT, SHM_ECORRUPT, SHM_ESYS */
int shm_check_file(int fd, const char *name, struct shm_geometry *geometry,
                   struct shm_fault *fault);

#endif
