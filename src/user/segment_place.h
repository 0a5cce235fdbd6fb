/* SPDX-License-Identifier: MIT */
/*
 * The segment's name where no option gives one. /dev/shm is everybody's: a file there that another
 * user made first would keep a server from its name for ever. So the service has a directory that
 * is made when the machine starts (tmpfiles.d) and that only its user may write. Any other server
 * has a name with its user's number, which the users of one machine do not share.
 */
#ifndef ROSTERD_USER_SEGMENT_PLACE_H
#define ROSTERD_USER_SEGMENT_PLACE_H

#define SEGMENT_OF_SERVICE "/rosterd/users"
/** The default of versions before 0.3, of a service and of any other server. A start moves it.
 * Where an option says so, the default of this version is meant: a directory may have the name now.
 */
#define SEGMENT_BEFORE "/rosterd"

enum { SEGMENT_NAME_SIZE = 256 };

/** The name for a server that this user runs and that is no service: "/rosterd-1000". */
void segment_of_this_user(char name[SEGMENT_NAME_SIZE]);
/** The name for this server. It is the service if systemd gave it a STATE_DIRECTORY in /var/lib, or
 * if its user has the directory of the service's segment: an older unit gives no STATE_DIRECTORY,
 * and a newer one must find the same segment. Root has the service's data file by default, so it
 * has that name, too. */
void segment_of_this_server(char name[SEGMENT_NAME_SIZE]);

#endif
