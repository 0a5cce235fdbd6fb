/* SPDX-License-Identifier: MIT */
/*
 * What the processes of the server take of the machine, read from /proc: the master and its
 * children, which are workers, the journal and the processes for passwords. For each process two
 * files are read, and its descriptors are counted.
 *
 * A process for passwords cannot be dumped, so its descriptors cannot be counted. Where /proc hides
 * such processes (hidepid=, ProtectProc=invisible of systemd) their CPU time alone is known. None
 * of them is in `all`.
 */
#ifndef ROSTERD_SERVICE_OBSERVE_PROCESSES_H
#define ROSTERD_SERVICE_OBSERVE_PROCESSES_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/** Children that are looked at: two generations of the most workers, and the others. */
enum { PROCESSES_MAX = 1152 };

struct process_figures {
    char name[16];      /* "master", "worker-N", "journal" */
    uint64_t cpu_ticks; /* hundredths of a second, as the two below */
    uint64_t memory;    /* bytes in memory that it does not share with a file or a segment */
    uint64_t started;   /* ticks since the boot */
};

struct processes {
    /* Of all processes, those that have ended included. It never falls. */
    uint64_t cpu_ticks;
    uint64_t resident; /* bytes; what processes share counts once: as the one that has most of it */
    uint64_t virtual_bytes;
    uint64_t open_fds, max_fds; /* sums; without the processes for passwords */
    size_t count;
    /** The master first. Two workers of one number (a reload): the younger one. */
    struct process_figures all[1 + PROCESSES_MAX];
};

/** Called by the master at its start, before it forks: the process is the one whose children
 * processes_read() finds, and the time is that of its start. */
void processes_begin(void);
/** Seconds since the epoch; 0: processes_begin() was not called. */
double processes_started_at(void);
/** Reads everything, in the master or in a child of it, from one thread. A process that ends
 * meanwhile may be left out of all but `cpu_ticks`. @param processes is overwritten */
void processes_read(struct processes *processes);

#endif
