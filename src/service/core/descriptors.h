/* SPDX-License-Identifier: MIT */
/* The serialized google.protobuf.FileDescriptorSet of proto/, as protoc wrote it. */
#ifndef ROSTERD_SERVICE_DESCRIPTORS_H
#define ROSTERD_SERVICE_DESCRIPTORS_H

#include <stddef.h>
#include <stdint.h>

/** Lives as long as the program. */
const uint8_t *service_descriptors(size_t *len);

#endif
