/* SPDX-License-Identifier: MIT */
/*
 * A new program in this one's place, on the same sockets and the same segment, with no client
 * refused: the old one starts the new one as its child, with sockets and the segment's descriptor
 * handed over. When all workers of the new one accept, it says so through a channel; the old one
 * makes it the service's main process, tells it to go on alone, and drains.
 */
#ifndef ROSTERD_SERVER_MASTER_UPGRADE_H
#define ROSTERD_SERVER_MASTER_UPGRADE_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/fault.h"
#include "server/config/options.h"
#include "server/os/listen.h"

/* ---- the old one's side ---- */

/** Takes note of where this program lies, before it is replaced. */
void upgrade_open(void);

struct upgrade {
    pid_t pid; /* 0: none is under way */
    int channel;
    bool gave_up;  /* it closed the channel, and had the time to */
    bool too_late; /* and so it was killed, by us */
};

/**
 * Starts the program anew, with the same arguments.
 * @param all which sockets to hand over; their names are made here
 * @return false with fault set
 */
bool upgrade_start(struct upgrade *upgrade, char *const *argv, const struct listeners *grpc,
                   const struct listeners *web, int segment_fd, struct fault *fault);

enum upgrade_news { UPGRADE_NOTHING, UPGRADE_READY, UPGRADE_FAILED };
/** When the channel is readable. */
enum upgrade_news upgrade_read(const struct upgrade *upgrade);
/** The new one is the main process now. */
void upgrade_confirm(const struct upgrade *upgrade);
/** Forgets it. */
void upgrade_close(struct upgrade *upgrade);

/* ---- the new one's side ---- */

struct upgrade_origin {
    int segment_fd, channel; /* -1: this is an ordinary start */
};
/** What the environment says. */
void upgrade_origin(struct upgrade_origin *origin);
/** For shm_exec_again(): the descriptors live on. */
void upgrade_origin_keep_open(const struct upgrade_origin *origin);
/** All workers accept. */
void upgrade_report_ready(const struct upgrade_origin *origin);
/** When the channel is readable: the old one has said to go on, or is gone. */
void upgrade_origin_done(struct upgrade_origin *origin);

#endif
