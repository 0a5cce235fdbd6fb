/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "tests/torture/storm.h"

void (*shm_test_hook)(const char *point);

const struct storm_scene storm_scenes[] = {
    {"killed_at_random_they_lose_nothing_acknowledged", storm_storm},
    {0},
};
