/* SPDX-License-Identifier: MIT */
/* The segment that a command is for when --segment is not given. */
#ifndef ROSTERD_INSPECT_CORE_DEFAULT_SEGMENT_H
#define ROSTERD_INSPECT_CORE_DEFAULT_SEGMENT_H

#include <sys/types.h>

/**
 * The service's segment or this user's (user/segment_place.h), whichever there is. Files of users
 * who have nothing to do with it do not count. For root and for the service's user the service's
 * comes first. Does not return if there are several for any other user, who has to say which. Where
 * there is none, or none that this user can see, the name of one that the command will not find.
 * @param user for whom: root names the owner of a data file
 * @return a static name
 */
const char *default_segment(uid_t user);

#endif
