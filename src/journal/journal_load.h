/* SPDX-License-Identifier: MIT */
/*
 * What a start asks of the data file: to load its users into a new segment, and whether an existing
 * segment fits it. The two functions are shm_config.fill and shm_config.fits.
 */
#ifndef ROSTERD_JOURNAL_JOURNAL_LOAD_H
#define ROSTERD_JOURNAL_JOURNAL_LOAD_H

#include "journal/data_file.h"
#include "shm/store.h"

/** shm_config.disk_data */
struct journal_load {
    const char *path, *segment;
    struct data_meta meta; /* the file's; of no meaning if exists is false */
    bool exists;           /* there is a file */
    uint64_t max_users;
    /* Called now and then with the name of the activity and its progress, 0 to 100. */
    void (*progress)(void *data, const char *what, unsigned percent);
    void *progress_data;
    /* Of the segment's unique keys, as in shm_config; key_name may be NULL. */
    shm_key_of *key_of;
    const char *(*key_name)(unsigned key);
    uint64_t loaded; /* set: users */
    /* The id that the file had until journal_load_fill() gave it the segment's. */
    uint8_t former[DATA_ID_SIZE];
    bool renamed;
};

/** Loads all rows, each with its sum checked. A second thread reads ahead. Loads nothing if there
 * is no file. The file gets a store id that only this segment has. @return SHM_OK; SHM_EDISK and
 * other errors of the store, with the fault filled */
int journal_load_fill(void *data, struct shm_store *store, struct shm_fault *fault);
/** @return SHM_OK; SHM_EDISK: the segment is another table's, or was loaded from the file before
 * another one was, or the file is ahead of it */
int journal_load_fits(void *data, const uint8_t store_id[SHM_STORE_ID_SIZE], uint64_t version,
                      struct shm_fault *fault);

/** Gives the file the id of before the load. Only where the new segment is gone, and nobody has
 * written to it. @return false: `fault` has the reason */
bool journal_load_undo(struct journal_load *load, struct fault *fault);

#endif
