/* SPDX-License-Identifier: MIT */
/* rosterd --version. */
#ifndef ROSTERD_SERVER_VERSION_LIBRARIES_H
#define ROSTERD_SERVER_VERSION_LIBRARIES_H

/** Prints the version of rosterd, its commit and its libraries to standard output. */
void version_print_server(void);

#endif
