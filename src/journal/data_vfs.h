/* SPDX-License-Identifier: MIT */
/*
 * A layer between SQLite and the file system layer that is SQLite's default ("unix", or what a test
 * has registered as the default before the first file is opened). It counts bytes and times syncs,
 * and it guards the rule that a file takes no writes after one has failed: SQLite alone would try
 * again, and a sync that succeeds after one that failed says nothing about the earlier writes.
 */
#ifndef ROSTERD_JOURNAL_DATA_VFS_H
#define ROSTERD_JOURNAL_DATA_VFS_H

#include <stdbool.h>

#include <sqlite3.h>

/** @return the layer's name for sqlite3_open_v2(), or NULL: out of memory */
const char *data_vfs_name(void);
/** From now on the writes to the log between two syncs become one, for a connection that syncs each
 * commit. An error of a write comes with that sync. */
void data_vfs_hold_log(sqlite3 *db);
/** From now on every write to this database and its log fails. */
void data_vfs_stop(sqlite3 *db);
/** @return errno of the write or sync that made the layer refuse all others, or 0 */
int data_vfs_error(sqlite3 *db);
/** @return whether the name of the database still leads to the open file, and nobody has made it
 * shorter */
bool data_vfs_database_in_place(sqlite3 *db);
/** @return whether the name of its log does */
bool data_vfs_log_in_place(sqlite3 *db);
/** Syncs the write-ahead log. @return a result code of SQLite */
int data_vfs_sync_log(sqlite3 *db);
/**
 * Writes the bytes of the write-ahead log over themselves and syncs it: it is on disk even if an
 * earlier sync has failed, after which the kernel counts pages as written that are not. It needs no
 * room. The connection has a write transaction, so that nobody else writes the log.
 * @return a result code of SQLite
 */
int data_vfs_rewrite_log(sqlite3 *db);
/** Syncs the database file. @return a result code of SQLite */
int data_vfs_sync_database(sqlite3 *db);

#endif
