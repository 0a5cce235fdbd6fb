/* SPDX-License-Identifier: MIT */
/*
 * Who may use a data file: locks on PATH.lock, beside the data file (behind its symbolic link, so
 * that two names of a file are one lock). The locks belong to the open file description, not to the
 * process (F_OFD_SETLK): a child that inherits the descriptor shares its lock, and the lock lasts
 * until the last copy of the descriptor is closed. The descriptors are close-on-exec. A lock on a
 * removed file would exclude nobody, so the file is removed only under both locks, and whoever has
 * got a lock looks whether the file still has its name.
 */
#ifndef ROSTERD_JOURNAL_DATA_LOCK_H
#define ROSTERD_JOURNAL_DATA_LOCK_H

#include "base/fault.h"
#include "journal/data_file.h"

/**
 * The server's lock, on byte 0: one server (master, its children, its successor in an upgrade) at a
 * time has this data file. Makes PATH.lock if it is missing, and writes the pid of this process
 * into it, for the next one's message. Where the process of that pid is gone, waits some seconds
 * for the end of its children, which share the lock.
 * @param fd receives the descriptor, or -1
 * @return DATA_BUSY: "data-file PATH: another rosterd uses it (pid N)". DATA_NONE: no directory.
 */
enum data_result data_lock_server(const char *path, int *fd, struct fault *fault);
/**
 * The writer's lock, on byte 1: the one process that has the file open for writing. Each caller
 * opens PATH.lock itself, so that a child does not share it by mistake.
 * @param wait_ms how long to wait for another process to let it go
 */
enum data_result data_lock_writer(const char *path, unsigned wait_ms, int *fd, struct fault *fault);
/**
 * A lock on the file itself, far behind its bytes, for as long as it is open for writing. PATH.lock
 * excludes nobody who comes by a hard link, or after somebody has removed PATH.lock. It waits a
 * moment for a process that is dying.
 * @param fd receives the descriptor, or -1. Close it behind the connection: SQLite's locks would go
 *           with it
 */
enum data_result data_lock_inode(const char *path, int *fd, struct fault *fault);
/** For a start that failed and leaves nothing: removes PATH.lock, if nobody else uses it.
 * @param fd of data_lock_server(), which no other process shares; has both locks afterwards */
void data_lock_remove(const char *path, int fd);
/** Notes the pid of this process: a successor that inherited the server's lock and serves calls it.
 */
void data_lock_sign(int fd);

#endif
