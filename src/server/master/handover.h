/* SPDX-License-Identifier: MIT */
/*
 * An upgrade puts a new program in the place of the running one, on the same sockets and the same
 * segment, with no client refused. The protocol between the two:
 *
 *   1. The old program (successor.h) starts the new one as its child. Listening sockets, the
 *      segment, the data file's lock and one end of a socket pair, the channel, are inherited;
 * their numbers are in the environment.
 *   2. When all workers of the new program (predecessor.h) accept connections, it sends
 *      HANDOVER_READY through the channel.
 *   3. The old program makes the new one the service's main process, sends HANDOVER_GO_ON, and
 *      drains. Its journal ends first; the new program's has waited for that.
 *
 * A channel that closes before that means that the other program is gone: the old one continues to
 * serve, the new one goes on alone.
 */
#ifndef ROSTERD_SERVER_MASTER_HANDOVER_H
#define ROSTERD_SERVER_MASTER_HANDOVER_H

/** The environment variable: "SEGMENT CHANNEL DATA", numbers of descriptors. DATA has the lock of
 * the data file (data_lock.h), and is -1 or missing without one. Sockets are handed over as systemd
 * does it: sd_listen_fds(3). */
#define HANDOVER_VARIABLE "ROSTERD_UPGRADE"
/** The messages, of one byte each. */
#define HANDOVER_READY 'R'
#define HANDOVER_GO_ON 'G'

#endif
