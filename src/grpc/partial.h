/* SPDX-License-Identifier: MIT */
/*
 * Messages that begin and do not end. The bytes that came occupy memory, so the rest must come
 * within message_timeout. This time is the same for all calls, so the calls stand in one list in
 * the order in which their messages began, and one timer watches the head of the list. A call that
 * the server itself holds back (it is paused, or its replies wait) is not in the list: flow control
 * keeps its bytes with the client.
 */
#ifndef ROSTERD_GRPC_PARTIAL_H
#define ROSTERD_GRPC_PARTIAL_H

#include <stdbool.h>
#include <stdint.h>

#include "grpc/call.h"
#include "grpc/server.h"

/**
 * @param timeout_ms 0: no bound
 * @param overdue is called for each call whose message is late; the call has left the list
 */
void grpc_partial_init(struct grpc_server *server, uint64_t timeout_ms,
                       void (*overdue)(struct grpc_call *call));
/** Says whether the call waits for the rest of a message. Its time runs from the first note on. */
void grpc_partial_note(struct grpc_call *call, bool begun);

#endif
