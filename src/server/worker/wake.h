/* SPDX-License-Identifier: MIT */
/*
 * How the journal wakes the workers whose calls wait for the disk. The master makes a set of
 * eventfds before it forks anything, so that the journal and all workers inherit it, and a table,
 * in memory that all share, of which process reads which eventfd. A worker enters its slot in the
 * table when it has joined the segment (shm_actor_join()); the journal writes to the eventfd of each
 * slot that shm_waiters() names.
 *
 * A wake-up may be missing, or come for nothing: workers of an upgrade's old program are unknown
 * to the new one's journal, and with very many workers two share an eventfd. So a worker that waits
 * also looks at shm_published() by itself, every few milliseconds.
 */
#ifndef ROSTERD_SERVER_WORKER_WAKE_H
#define ROSTERD_SERVER_WORKER_WAKE_H

struct wake;

/** Called by the master, before it forks. @param workers how many there usually are
 * @return NULL with errno set */
struct wake *wake_create(unsigned workers);
/** Frees this process's view, with its descriptors. NULL is allowed. */
void wake_destroy(struct wake *wake);

/**
 * In a worker, after fork: closes the eventfds of others.
 * @param place the worker's row in the admission
 * @return the worker's own eventfd, non-blocking, which stays `wake`'s
 */
int wake_keep(struct wake *wake, unsigned place);
/** In a worker that has joined the segment: its eventfd is written when the process in this slot is
 * to be woken. */
void wake_enter(struct wake *wake, unsigned place, unsigned slot);

/** In the journal: wakes the worker in this slot, if it is known. */
void wake_slot(struct wake *wake, unsigned slot);

#endif
