/* SPDX-License-Identifier: MIT */
#include "user/segment_place.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void segment_of_this_user(char name[SEGMENT_NAME_SIZE])
{
    snprintf(name, SEGMENT_NAME_SIZE, "/rosterd-%u", (unsigned)geteuid());
}

static bool is_service(void)
{
    static const char states[] = "/var/lib/";
    const char *state = getenv("STATE_DIRECTORY");
    struct stat st;
    return geteuid() == 0 || (state != NULL && strncmp(state, states, sizeof(states) - 1) == 0) ||
           (lstat("/dev/shm/rosterd", &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid());
}

void segment_of_this_server(char name[SEGMENT_NAME_SIZE])
{
    if (is_service())
        snprintf(name, SEGMENT_NAME_SIZE, "%s", SEGMENT_OF_SERVICE);
    else
        segment_of_this_user(name);
}
