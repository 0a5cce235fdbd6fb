/* SPDX-License-Identifier: MIT */
/*
 * Attaches to a segment to read it, whether its server runs or is dead. Clients wrote the
 * contents, and the segment may have been damaged since: the reader trusts nothing in it
 * (shm/careful.h).
 */
#ifndef ROSTERD_INSPECT_CORE_TABLE_READER_H
#define ROSTERD_INSPECT_CORE_TABLE_READER_H

#include "inspect/core/inspect_options.h"
#include "inspect/core/report.h"
#include "shm/careful.h"
#include "shm/store.h"

/**
 * Attaches to the segment of the options to read it, with the rights of the segment's user if
 * root runs the program (identity.h). Restarts the program if the segment's addresses are taken in
 * this process (restart.h).
 * @param store the caller closes it with shm_store_close()
 * @return INSPECT_DONE, or the exit status of a failure that has been reported
 */
enum inspect_exit table_attach(struct shm_store **store, const struct inspect_options *options);

struct table_reader {
    struct shm_store *store;
    struct shm_reader *reader;
};

/**
 * Attaches as table_attach() does and opens a reader. Warns on stderr if the reader is
 * unprotected, that is, reads without a slot.
 * @return as table_attach()
 */
enum inspect_exit table_reader_open(struct table_reader *table,
                                    const struct inspect_options *options);
/** Closes the reader and detaches. */
void table_reader_close(struct table_reader *table);

#endif
