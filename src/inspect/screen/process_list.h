/* SPDX-License-Identifier: MIT */
/* The rows of processes that have a slot. */
#ifndef ROSTERD_INSPECT_SCREEN_PROCESS_LIST_H
#define ROSTERD_INSPECT_SCREEN_PROCESS_LIST_H

#include <stdint.h>

#include "inspect/screen/sampler.h"
#include "inspect/screen/view.h"

void process_list_draw(const struct sampler *sampler, const struct view *view);

enum { PROCESS_AGE_SIZE = 24 };
/** Formats seconds in at most 6 characters, if they are fewer than 1000 days: "59s", "12m05s",
 * "23h59m", "99d23h", "100d". @return `text` */
const char *process_format_age(char text[PROCESS_AGE_SIZE], int64_t seconds);

#endif
