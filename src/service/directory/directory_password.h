/* SPDX-License-Identifier: MIT */
/* SetPassword. The call's state is a struct directory_write_call (directory_write.h). */
#ifndef ROSTERD_SERVICE_DIRECTORY_DIRECTORY_PASSWORD_H
#define ROSTERD_SERVICE_DIRECTORY_DIRECTORY_PASSWORD_H

#include "grpc/grpc.h"

void directory_set_password_on_message(struct grpc_call *call, ProtobufCMessage *message);

#endif
