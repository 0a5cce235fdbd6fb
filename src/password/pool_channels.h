/* SPDX-License-Identifier: MIT */
/*
 * The ways between the workers and the processes of the pool.
 *
 * The master makes them before it forks anything: for each place of a worker a pair of sockets, and
 * a row in memory that all share. A worker sends packets into its own pair. Every process of the
 * pool reads from all pairs: the kernel gives each packet to exactly one of them. So a process that
 * is killed takes one request with it at most, the rest goes to the others or waits for the next
 * process.
 *
 * A place is given to another worker when its worker is dead. A worker therefore begins by writing
 * a random number into its row, the owner, which each request and answer carries. A request of
 * another owner is dropped without work, and so is an answer: no worker gets an answer of another
 * one. Each id is used once, so a second answer is noticed and dropped, too.
 */
#ifndef ROSTERD_PASSWORD_POOL_CHANNELS_H
#define ROSTERD_PASSWORD_POOL_CHANNELS_H

#include <stdbool.h>
#include <stdint.h>

struct pool_channels;

/**
 * Called by the master, before it forks.
 * @param workers how many there usually are
 * @param descriptors how many this process may have; a quarter of them is used at most
 * @return NULL with errno set
 */
struct pool_channels *pool_channels_create(unsigned workers, uint64_t descriptors);
/** Frees this process's view, with its descriptors. NULL is allowed. */
void pool_channels_destroy(struct pool_channels *channels);

/** How many places have a channel: enough for the workers of eight generations, unless there are
 * few descriptors or hundreds of workers. */
unsigned pool_channels_count(const struct pool_channels *channels);

/* ---- for the master ---- */

/** The worker in this place is dead: what it has queued is dropped. */
void pool_channels_forget(struct pool_channels *channels, unsigned place);
/** Answers POOL_LOST to a request whose process has died. */
void pool_channels_answer_lost(const struct pool_channels *channels, unsigned place, uint64_t owner,
                               uint64_t id);

/* ---- for a worker ---- */

/**
 * In a worker, after fork: closes the descriptors of all others, and becomes the place's owner.
 * @param owner is set
 * @return the worker's descriptor, non-blocking, which stays the channels'; -1: the place has none,
 *   or there are no random numbers
 */
int pool_channels_keep(struct pool_channels *channels, unsigned place, uint64_t *owner);
/** Sets how many requests of this worker wait or are worked on. */
void pool_channels_set_load(struct pool_channels *channels, unsigned place, uint32_t requests);
/** The requests of all workers together. Those that others add at this moment may be missing. */
uint64_t pool_channels_load(const struct pool_channels *channels);

/* ---- for a process of the pool ---- */

/** After fork: closes the workers' ends. */
void pool_channels_serve(struct pool_channels *channels);
/** The pool's end of a place, non-blocking. */
int pool_channels_fd(const struct pool_channels *channels, unsigned place);
/** Whether this is still the place's owner. */
bool pool_channels_is_owner(const struct pool_channels *channels, unsigned place, uint64_t owner);

#endif
