/* SPDX-License-Identifier: MIT */
/* What a write of the directory is answered, once its result may be told. */
#ifndef ROSTERD_SERVICE_DIRECTORY_DIRECTORY_WRITE_ANSWER_H
#define ROSTERD_SERVICE_DIRECTORY_DIRECTORY_WRITE_ANSWER_H

#include "service/directory/directory_write_call.h"

/** Ends the call with write->result, which is not SHM_OK. */
void directory_write_refuse(struct grpc_call *call, const struct directory_write_call *write);
/** Ends the call with its result. */
void directory_write_finish(struct grpc_call *call);

#endif
