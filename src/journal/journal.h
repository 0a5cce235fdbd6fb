/* SPDX-License-Identifier: MIT */
/*
 * The journal copies the table of a segment (shm/disk.h) to its data file (data_file.h), for as
 * long as a server runs. It follows the change feed. Whatever has been committed since its last
 * turn goes to the file in one transaction, as of one commit of the table; then that commit is
 * published and the processes that wait for it are woken.
 *
 * A process has one journal, after fork, and calls journal_turn() again and again. What goes wrong
 * meanwhile is told by notes, and by shm_disk_info() to everybody:
 *
 * - The disk is full (SHM_DISK_FULL): tried again each second.
 * - A write has failed, or a damaged page was met (SHM_DISK_REWRITING): the outcome is unknown, so
 *   nothing is written to that file any more. A new one is written from the segment and takes the
 *   old one's name.
 * - That has failed, too (SHM_DISK_FAILED): nothing is written until the server starts again.
 */
#ifndef ROSTERD_JOURNAL_JOURNAL_H
#define ROSTERD_JOURNAL_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"
#include "shm/disk.h"
#include "shm/store.h"

enum journal_durability {
    JOURNAL_SYNC,     /* a commit is published when it is on disk */
    JOURNAL_INTERVAL, /* commits are visible at once, and synced each interval */
    JOURNAL_NONE,     /* commits are visible at once, and written, but not synced */
};

enum journal_note {
    JOURNAL_SAYS,   /* worth a line */
    JOURNAL_WARNS,  /* something is wrong that passes by itself */
    JOURNAL_ERRORS, /* something is wrong */
};

struct journal_config {
    struct shm_store *store;
    struct shm_actor *actor;
    const char *path; /* of the data file */
    enum journal_durability durability;
    uint64_t interval_ms; /* of JOURNAL_INTERVAL */
    /* Each may be NULL. */
    void (*alive)(void *data); /* called now and then during long work */
    void (*woken)(void *data, unsigned slot); /* the process in the slot need not wait any more */
    void (*note)(void *data, enum journal_note kind, const char *text);
    void *data;
};

struct journal;

/**
 * Opens the file, whose writer's lock the caller holds, and finds out what it lacks: the changes of
 * the feed, or, if the feed no longer has them all, what a comparison of both tables finds. The
 * next turns write it.
 * @param config is copied
 * @return false: the file is missing, does not belong to this table, is ahead of it, or cannot be
 *   read; the fault says what to do
 */
bool journal_open(struct journal **journal, const struct journal_config *config,
                  struct fault *fault);
/** For a process that replaces a journal that died. As journal_open(), but never fails for want of
 * a usable file: journal_turn() then writes a new one, or none, as the state of the data file says.
 * @return false: no memory */
bool journal_resume(struct journal **journal, const struct journal_config *config,
                    struct fault *fault);
/** Writes and publishes what there is, or waits for a commit for up to `wait_ms`. */
void journal_turn(struct journal *journal, uint64_t wait_ms);
/**
 * Writes, syncs and publishes everything that is committed now, before the server serves and at its
 * end.
 * @return false: that failed
 */
bool journal_settle(struct journal *journal, struct fault *fault);
/** Closes the file. @param checkpoint move the write-ahead log into it. The journal may be NULL */
void journal_close(struct journal *journal, bool checkpoint);

/** Writes a new file with all users of the newest commit, whether there is a file or not. The
 * caller holds the writer's lock. config->durability is not used. */
bool journal_write_new(const struct journal_config *config, uint64_t *version, struct fault *fault);

#endif
