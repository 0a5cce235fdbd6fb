/* SPDX-License-Identifier: MIT */
#include "service/core/descriptors.h"

/* make runs the compiler in the top build directory: the path is relative to that. */
__asm__(".pushsection .rodata\n"
        ".balign 16\n"
        ".globl rosterd_descriptor_set, rosterd_descriptor_set_end\n"
        ".hidden rosterd_descriptor_set, rosterd_descriptor_set_end\n"
        "rosterd_descriptor_set:\n"
        ".incbin \"proto/descriptor_set.bin\"\n"
        "rosterd_descriptor_set_end:\n"
        ".popsection\n");

extern const uint8_t rosterd_descriptor_set[], rosterd_descriptor_set_end[];

const uint8_t *service_descriptors(size_t *len)
{
    /* The assembler put the two symbols around one object. */
    *len = (uintptr_t)rosterd_descriptor_set_end - (uintptr_t)rosterd_descriptor_set;
    return rosterd_descriptor_set;
}
