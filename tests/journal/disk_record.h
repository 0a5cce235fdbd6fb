/* SPDX-License-Identifier: MIT */
/* What was written, synced and renamed, and what a power cut may leave of it. */
#ifndef ROSTERD_TESTS_JOURNAL_DISK_RECORD_H
#define ROSTERD_TESTS_JOURNAL_DISK_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Forgets an earlier record and begins one. The directory of the files is empty. */
void record_begin(void);
void record_end(void);
/** A commit of this version was acknowledged: from here on it must survive. */
void record_acknowledged(uint64_t version);
/** @return the number of steps in the record */
size_t record_steps(void);
/** @return whether a version was acknowledged in the first `steps` steps; `version` is the last */
bool record_acknowledged_in(size_t steps, uint64_t *version);
/** @return whether files got or lost names in the first `steps` steps after the last sync of names
 */
bool record_has_unsynced_names(size_t steps);

enum record_loss {
    RECORD_KEEPS_ALL,
    RECORD_DROPS_ALL, /* that was not synced */
    RECORD_DROPS_SOME,
};
/**
 * Writes into `folder` the files as a power cut after the first `steps` steps may leave them. What
 * was synced is there. Of what was not, each sector of 512 bytes of each write, each truncation and
 * each change of a name may be there or not, for itself.
 */
void record_rebuild(size_t steps, enum record_loss loss, uint64_t seed, const char *folder);

/* Called by the disk. The names are without directories. They do nothing outside of a record. */
void record_open(const char *name);
void record_write(const char *name, const void *data, size_t len, uint64_t offset);
void record_truncate(const char *name, uint64_t size);
void record_sync(const char *name);
/** A sync that failed: no later one makes durable what was written before. As the kernel does it.
 */
void record_failed_sync(const char *name);
void record_unlink(const char *name);
void record_rename(const char *from, const char *to);
void record_sync_folder(void);

#endif
