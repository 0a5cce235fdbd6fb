/* SPDX-License-Identifier: MIT */
/*
 * The request's body: messages out of bytes that come in pieces of any size. A message that lies
 * whole in the bytes at hand is delivered from there; otherwise it is put together in the call's
 * inbox. While the call is held back (it is paused, or its replies wait for the client) nothing is
 * delivered and the window of what comes is kept back, so the client stops sending.
 */
#ifndef ROSTERD_GRPC_RECEIVE_H
#define ROSTERD_GRPC_RECEIVE_H

#include "grpc/call.h"

/** Takes body bytes, delivers the messages that they complete, and keeps the rest. To be called
 * with len 0, too, when something that held the call back is gone. Gives back the window of what
 * has been used. */
void grpc_receive(struct grpc_call *call, uint8_t *data, size_t len);

#endif
