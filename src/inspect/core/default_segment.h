/* SPDX-License-Identifier: MIT */
/* The segment that a command is for when --segment is not given. */
#ifndef ROSTERD_INSPECT_CORE_DEFAULT_SEGMENT_H
#define ROSTERD_INSPECT_CORE_DEFAULT_SEGMENT_H

/** The service's segment or this user's (user/segment_place.h), whichever there is. Does not return
 * if there are several: the user has to say which. Where there is none, or none that this user can
 * see, the name of one that the command will not find. The name is static. */
const char *default_segment(void);

#endif
