/* SPDX-License-Identifier: MIT */
/* The configuration file: KEY = VALUE on each line; # and ; begin comments. */
#ifndef ROSTERD_SERVER_CONFIG_OPTION_FILE_H
#define ROSTERD_SERVER_CONFIG_OPTION_FILE_H

#include <stdbool.h>

#include "base/fault.h"
#include "server/config/options.h"

/** Sets the options that the file has. @return false: "PATH:LINE: KEY: ...", for the first fault */
bool option_file_read(struct options *options, const char *path, struct fault *fault);

#endif
