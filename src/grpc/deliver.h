/* SPDX-License-Identifier: MIT */
/*
 * A whole message on its way to its method: inflated if it was compressed, decoded, its strings
 * checked. A compressed message is decoded where it was inflated, and stays there until its method
 * has seen it: copying it would cost as much as inflating it, and a client that sends little which
 * inflates to much pays for neither.
 */
#ifndef ROSTERD_GRPC_DELIVER_H
#define ROSTERD_GRPC_DELIVER_H

#include "grpc/call.h"

/** Gives a message to its method. The call may have ended afterwards.
 * @param bytes the message without its prefix; overwritten if it may be secret */
void grpc_deliver(struct grpc_call *call, uint8_t *bytes, size_t len, bool compressed);
/** The most bytes that a request message of the call may have, on the wire and inflated. */
uint32_t grpc_call_max_request(const struct grpc_call *call);

#endif
