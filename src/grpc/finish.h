/* SPDX-License-Identifier: MIT */
/* How a call ends, in addition to the public grpc_call_finish(). */
#ifndef ROSTERD_GRPC_FINISH_H
#define ROSTERD_GRPC_FINISH_H

#include <stdbool.h>

#include "grpc/call.h"

/** Ends a call now, without waiting for a client that reads slowly: replies that wait in the stream
 * are dropped (RST_STREAM CANCEL). message is a static text. */
void grpc_call_cut(struct grpc_call *call, enum grpc_status status, const char *message);
/** Callback of the call's timer: cuts the call with DEADLINE_EXCEEDED. */
void grpc_call_deadline_passed(struct timer *timer);
/** Callback of grpc_partial_init(): cuts the call with DEADLINE_EXCEEDED. */
void grpc_call_message_overdue(struct grpc_call *call);
/** Counts what the arena has taken since the last look as held for the connection.
 * @return false if that is too much: the call is finished then */
bool grpc_call_hold_arena(struct grpc_call *call);

#endif
