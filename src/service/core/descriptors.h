/* SPDX-License-Identifier: MIT */
/* The serialized google.protobuf.FileDescriptorSet of all files of proto/ that are served. protoc
 * writes it at build time; the program contains it. */
#ifndef ROSTERD_SERVICE_CORE_DESCRIPTORS_H
#define ROSTERD_SERVICE_CORE_DESCRIPTORS_H

#include <stddef.h>
#include <stdint.h>

/** The set's bytes, valid as long as the program runs. */
const uint8_t *service_descriptors(size_t *len);

#endif
