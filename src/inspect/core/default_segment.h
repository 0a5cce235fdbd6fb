/* SPDX-License-Identifier: MIT */
/* The segment that a command is for when --segment is not given. */
#ifndef ROSTERD_INSPECT_CORE_DEFAULT_SEGMENT_H
#define ROSTERD_INSPECT_CORE_DEFAULT_SEGMENT_H

/**
 * Without a name: the service's segment or this user's (user/segment_place.h), whichever there is.
 * Files of users who have nothing to do with it do not count. For root and for the service's user
 * the service's comes first. Does not return if there are several for any other user, who has to
 * say which. Where there is none, or none that this user can see, the name of one that the command
 * will not find.
 * @param name of --segment, or NULL. The default of versions before 0.3 means the default
 * @param data_file of --data-file, or NULL: root takes on the rights of its owner, whose segment is
 *   meant then
 * @return `name`, or a static one
 */
const char *segment_or_default(const char *name, const char *data_file);

#endif
