/* SPDX-License-Identifier: MIT */
#include "shm/core/hash.h"

uint32_t shm_check_hidden(const uint8_t *hidden, size_t length)
{
    return shm_check_bytes(hidden, length) * UINT32_C(0x9e3779b1);
}
