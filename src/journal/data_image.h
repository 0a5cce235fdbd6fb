/* SPDX-License-Identifier: MIT */
/*
 * A database in an open descriptor: a backup. SQLite opens files by name, but who makes a backup as
 * root has given up the rights to its name by then (src/inspect/core/identity.h). So SQLite gets a
 * file system layer that knows this one descriptor: no other file, no locks, no journal.
 */
#ifndef ROSTERD_JOURNAL_DATA_IMAGE_H
#define ROSTERD_JOURNAL_DATA_IMAGE_H

#include <stdbool.h>
#include <stdint.h>

#include <sqlite3.h>

#include "base/fault.h"
#include "journal/data_connection.h"
#include "journal/data_file.h"

struct data_image {
    int fd;           /* the caller's */
    const char *name; /* for faults */
    /* Called now and then while the image is read; may be NULL. The total is the caller's. */
    data_progress *progress;
    void *data;
    uint64_t pages_read, total;
    bool stopped; /* progress() has said so; every read fails from then on */
};

/**
 * Opens a connection to an image, which must stay where it is until the connection is closed.
 * @param access DATA_ACCESS_READ, or DATA_ACCESS_FILL for an empty file
 * @param db receives the connection, or NULL
 */
enum data_result data_image_connect(struct data_image *image, enum data_access access, sqlite3 **db,
                                    struct fault *fault);
/** Calls progress(). Sets the fault if it says that the work is to stop. @return DATA_OK or
 * DATA_FAILED */
enum data_result data_image_show(struct data_image *image, uint64_t done, uint64_t total,
                                 struct fault *fault);
/** As data_sqlite_fault(); if progress() has stopped the work, the fault says that. */
enum data_result data_image_fault(const struct data_image *image, sqlite3 *db, int rc,
                                  const char *what, struct fault *fault);
/** Takes the mark for a write-ahead log from an image. @return false with errno */
bool data_image_unmark(const struct data_image *image);

#endif
