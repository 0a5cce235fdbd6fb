/* SPDX-License-Identifier: MIT */
/* rosterd --version, and the same as labels of a metric. */
#ifndef ROSTERD_SERVER_VERSION_LIBRARIES_H
#define ROSTERD_SERVER_VERSION_LIBRARIES_H

/** Prints the version of rosterd, its commit and its libraries to standard output. */
void version_print_server(void);
/** `version="1.0",revision="...",openssl="3.0.15",...`: the labels of rosterd_build_info. The text
 * is static. */
const char *version_labels_server(void);

#endif
