/* SPDX-License-Identifier: MIT */
/* The new program's side of an upgrade (handover.h): the program that started this one. */
#ifndef ROSTERD_SERVER_MASTER_PREDECESSOR_H
#define ROSTERD_SERVER_MASTER_PREDECESSOR_H

struct predecessor {
    int segment_fd; /* of the segment that is handed over; -1: this is an ordinary start */
    int data_fd;    /* the data file's lock; -1: as above, or there is none */
    int channel;    /* -1: as above, or the handover is done */
};

/** Reads from the environment what was handed over. */
void predecessor_find(struct predecessor *predecessor);
/** Makes the descriptors survive shm_exec_again(). */
void predecessor_keep_open(const struct predecessor *predecessor);
/** Tells the predecessor that all workers of this program accept connections. */
void predecessor_report_ready(const struct predecessor *predecessor);
/** To be called when the channel is readable: the predecessor has sent its confirmation, or is
 * gone. Closes the channel. */
void predecessor_done(struct predecessor *predecessor);

#endif
