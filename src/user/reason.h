/* SPDX-License-Identifier: MIT */
/* How the checks of this folder say why a user is refused: by a static text. */
#ifndef ROSTERD_USER_REASON_H
#define ROSTERD_USER_REASON_H

#include <stdbool.h>

/** @return false, so that a check can end with `return give_reason(reason, ...)` */
static inline bool give_reason(const char **reason, const char *text)
{
    *reason = text;
    return false;
}

#endif
