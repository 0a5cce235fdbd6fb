/* SPDX-License-Identifier: MIT */
/* The segments that there are, for a message that another one is not. */
#ifndef ROSTERD_INSPECT_CORE_OTHER_SEGMENTS_H
#define ROSTERD_INSPECT_CORE_OTHER_SEGMENTS_H

#include <stddef.h>

/** Writes what can be appended to such a message: the first segment with a usual name, and whether
 * there are more. Empty if there is none that is meant for this user (segment_user.h). */
void other_segments_describe(char *text, size_t size);

#endif
