/* SPDX-License-Identifier: MIT */
/* Where the data file is: as --data-file says, or as the segment's server has recorded. */
#ifndef ROSTERD_INSPECT_CORE_DATA_PLACE_H
#define ROSTERD_INSPECT_CORE_DATA_PLACE_H

#include <stdbool.h>
#include <stdint.h>

#include "inspect/core/inspect_options.h"
#include "inspect/core/progress.h"
#include "inspect/core/report.h"
#include "journal/data_path.h"
#include "shm/store.h"

struct data_place {
    char path[DATA_PATH_SIZE]; /* absolute, behind symbolic links */
    /* Of the segment, if there is one that this process may read. */
    bool has_segment;
    bool served;                               /* a server owns it */
    char segment_data_file[SHM_DATA_FILE_MAX]; /* "": none */
    uint8_t store_id[SHM_STORE_ID_SIZE];
    uint64_t version, seq; /* the newest commit, and the last sequence number that was given */
};

/**
 * Finds the data file. As root, becomes the user of the segment or, with --data-file, of that file
 * (of its directory, if there is no such file), as identity.h says.
 * @return INSPECT_DONE, or the exit status of a failure that has been reported
 */
enum inspect_exit data_place_find(struct data_place *place, const struct inspect_options *options);

/** Reports the fault of a file that the command line names, which is not the data file.
 * @return INSPECT_FAILED */
enum inspect_exit data_place_fail(const char *name, const struct fault *fault);

/** A data_progress of which `data` is a struct progress. Stops the work when a signal has come. */
bool data_place_show(void *data, uint64_t done, uint64_t total);

#endif
