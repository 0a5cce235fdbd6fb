/* SPDX-License-Identifier: MIT */
/*
 * shm-inspect: looks into a user segment from the command line, beside a live
 * server or after its death. What it reads was written by clients and may have
 * been damaged since: nothing of it is trusted.
 */
#ifndef ROSTERD_INSPECT_INSPECT_H
#define ROSTERD_INSPECT_INSPECT_H

#include <stdbool.h>
#include <stdint.h>

#include "shm/careful.h"
#include "shm/error.h"
#include "shm/store.h"

enum inspect_exit {
    INSPECT_DONE = 0,
    INSPECT_FAILED = 1, /* not found, a failed check, a failed system call */
    INSPECT_USAGE = 2,
    INSPECT_NO_SEGMENT = 3,
    INSPECT_BAD_SEGMENT = 4, /* of another layout, or corrupt */
};

/* Bytes; main() gives it to stdout. One user's line is far shorter than half of it, even with each
 * byte of a body escaped: who flushes past that half keeps stdio from writing by itself, and so
 * inside a read section, where a pipe that nobody empties would hold up the reclaiming of memory.
 */
enum { INSPECT_STDOUT_BUFFER = 256 * 1024, INSPECT_FLUSH_AT = INSPECT_STDOUT_BUFFER / 2 };

enum { INSPECT_OPERANDS = 2 }; /* at most, of one command */

struct inspect_options {
    char *const *argv;   /* the whole command line */
    const char *segment; /* "/rosterd" */
    bool json;
    bool all;                               /* stats: counters that are zero too */
    uint64_t limit;                         /* list, tail: at most so many; UINT64_MAX: all */
    uint64_t after;                         /* list: only users with a greater sequence number */
    const char *username;                   /* get: instead of the id, or NULL */
    uint64_t from;                          /* tail: changes after this version */
    bool from_now;                          /* tail: no version was given */
    const char *output;                     /* dump: a file, NULL for stdout */
    bool keep_going;                        /* load: past lines that are refused */
    const char *operands[INSPECT_OPERANDS]; /* as typed; NULL: left out */
    char *const *all_operands;              /* also those of a command that takes any number */
};

/* The commands. Each prints its result on stdout, a fault on stderr. */
enum inspect_exit inspect_status(const struct inspect_options *options);
enum inspect_exit inspect_verify(const struct inspect_options *options);
enum inspect_exit inspect_stats(const struct inspect_options *options);
enum inspect_exit inspect_workers(const struct inspect_options *options);
enum inspect_exit inspect_readers(const struct inspect_options *options);
enum inspect_exit inspect_watch(const struct inspect_options *options);
enum inspect_exit inspect_tail(const struct inspect_options *options);
enum inspect_exit inspect_unlink(const struct inspect_options *options);
enum inspect_exit inspect_list(const struct inspect_options *options);
enum inspect_exit inspect_get(const struct inspect_options *options);
enum inspect_exit inspect_dump(const struct inspect_options *options);
enum inspect_exit inspect_load(const struct inspect_options *options);
enum inspect_exit inspect_delete(const struct inspect_options *options);
enum inspect_exit inspect_set_roles(const struct inspect_options *options);

/**
 * As root: becomes the segment's user, for good. Before anything is mapped, and after the files
 * that the command line names have been opened. What follows has that user's rights: the segment's
 * owner can write what it likes into it, and it shall not reach a process of root.
 * @return INSPECT_DONE, also where there is nothing to do or no such segment; or what the command
 *   returns: the reason has been told
 */
enum inspect_exit inspect_become_user(const struct inspect_options *options);
/**
 * As root: starts over where the segment's addresses are taken in this process. Before anything is
 * opened: later, files may not be to be opened anew, and the process that keeps one (keeper.h)
 * would remove the one of the next start.
 */
void inspect_look_for_base(const struct inspect_options *options);
/** Starts over where the segment's address is taken in this process (SHM_EBASE), but for root, who
 * has looked before. Returns where that is of no use. */
void inspect_start_over(const struct inspect_options *options);

/**
 * Attaches to the segment of the options, as its user where we are root. Where something of this
 * process happens to lie at the segment's address, the program starts over, which places it anew.
 * @return INSPECT_DONE, or what the command returns: the reason has been told
 */
enum inspect_exit inspect_attach(struct shm_store **store, const struct inspect_options *options);

/** A segment that is read from: reading commands take it for hostile. */
struct inspect_view {
    struct shm_store *store;
    struct shm_reader *reader;
};
/** As inspect_attach(). A reader without protection is told of, once, on stderr. */
enum inspect_exit inspect_view_open(struct inspect_view *view,
                                    const struct inspect_options *options);
void inspect_view_close(struct inspect_view *view);

/** Prints `shm-inspect: MESSAGE` as one line on stderr, made safe for a terminal. @return `code` */
enum inspect_exit inspect_fail(enum inspect_exit code, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/** The same for what the store said. */
enum inspect_exit inspect_fail_store(int error, const struct shm_fault *fault);

/**
 * Writes out what stdout has gathered. A reader that went away (EPIPE) ends the command without
 * a word; any other error is told.
 * @return whether to go on; where not, *code is what the command returns
 */
bool inspect_flush(enum inspect_exit *code);

/** Sleeps, or is woken by a signal that guard_stop() waits for. @return false where nobody reads
 * stdout any more */
bool inspect_sleep(int ms);

#endif
