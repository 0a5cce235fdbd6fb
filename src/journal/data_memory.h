/* SPDX-License-Identifier: MIT */
/*
 * SQLite's memory holds the pages of the file, and so the hashes of passwords. What it frees is
 * overwritten: the master loads a file and then forks the workers, whose heaps would have what was
 * freed, and a worker may leave a core.
 */
#ifndef ROSTERD_JOURNAL_DATA_MEMORY_H
#define ROSTERD_JOURNAL_DATA_MEMORY_H

/** Called before anything else of SQLite; again, it has no effect. */
void data_memory_configure(void);

#endif
