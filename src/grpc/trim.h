/* SPDX-License-Identifier: MIT */
/* Memory that only large messages need. It is kept for a second for the next large message, because
 * allocating it for each message costs more than inflating the message; then it is freed. */
#ifndef ROSTERD_GRPC_TRIM_H
#define ROSTERD_GRPC_TRIM_H

struct grpc_server;

void grpc_trim_init(struct grpc_server *server);
/** A message has used such memory: restarts the second. */
void grpc_trim_later(struct grpc_server *server);

#endif
