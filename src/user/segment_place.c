/* SPDX-License-Identifier: MIT */
#include "user/segment_place.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void segment_of_this_user(char name[SEGMENT_NAME_SIZE])
{
    snprintf(name, SEGMENT_NAME_SIZE, "/rosterd-%u", (unsigned)geteuid());
}

void segment_of_this_server(char name[SEGMENT_NAME_SIZE])
{
    static const char states[] = "/var/lib/";
    const char *state = getenv("STATE_DIRECTORY");
    if (state != NULL && strncmp(state, states, sizeof(states) - 1) == 0)
        snprintf(name, SEGMENT_NAME_SIZE, "%s", SEGMENT_OF_SERVICE);
    else
        segment_of_this_user(name);
}
