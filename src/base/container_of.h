/* SPDX-License-Identifier: MIT */
/* From a member that is embedded in a struct to the struct. */
#ifndef ROSTERD_BASE_CONTAINER_OF_H
#define ROSTERD_BASE_CONTAINER_OF_H

#include <stddef.h>
#include <stdint.h>

/** The struct `type` whose `member` is at `pointer`. The compiler checks the member's type. */
#define container_of(pointer, type, member)                                                        \
    __extension__({                                                                                \
        const __typeof__(((type){0}).member) *member_of_ = (pointer);                              \
        (type *)((uintptr_t)member_of_ - offsetof(type, member));                                  \
    })

#endif
