/* SPDX-License-Identifier: MIT */
/* The old program's side of an upgrade (handover.h): the program that is to replace this one. */
#ifndef ROSTERD_SERVER_MASTER_SUCCESSOR_H
#define ROSTERD_SERVER_MASTER_SUCCESSOR_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/fault.h"
#include "server/os/listen.h"

struct successor {
    pid_t pid;     /* 0: no upgrade is under way */
    int channel;   /* -1 once it has closed its end */
    bool gave_up;  /* it closed the channel before it served */
    bool too_late; /* it did not serve, or end, in time, and was killed by this program */
};

/** Remembers the path of this program's file. To be called at the start: once the file is replaced,
 * /proc names the old one. */
void successor_remember_program(void);

/**
 * Starts the program again, with the same arguments.
 * @param grpc, web the sockets to hand over
 * @param data_fd the data file's lock, or -1
 */
bool successor_start(struct successor *successor, char *const *argv, const struct listeners *grpc,
                     const struct listeners *web, int segment_fd, int data_fd,
                     struct fault *fault);

enum successor_message { SUCCESSOR_SAYS_NOTHING, SUCCESSOR_READY, SUCCESSOR_CLOSED };
/** To be called when the channel is readable. */
enum successor_message successor_read(const struct successor *successor);
/** Tells the successor that it is the service's main process now. */
void successor_confirm(const struct successor *successor);
/** Closes the channel and forgets the process, which is not ended. */
void successor_forget(struct successor *successor);

#endif
