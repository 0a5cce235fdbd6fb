/* SPDX-License-Identifier: MIT */
/* The log lines that a client can cause as often as it likes, such as failed TLS handshakes: a
 * worker writes a bounded number of them per second. */
#ifndef ROSTERD_SERVER_WORKER_CLIENT_LOG_H
#define ROSTERD_SERVER_WORKER_CLIENT_LOG_H

/** Logs the line at level info. Beyond 100 lines in a second lines are left out; the next line
 * that is logged comes after a note which says how many. One bound for the whole process. */
void client_log_line(const char *line);

#endif
