/* SPDX-License-Identifier: MIT */
/* The rows of methods: rates, errors and percentiles. */
#ifndef ROSTERD_INSPECT_SCREEN_METHOD_LIST_H
#define ROSTERD_INSPECT_SCREEN_METHOD_LIST_H

#include "inspect/screen/sampler.h"
#include "inspect/screen/view.h"

/** Draws them; the samples have counters. */
void method_list_draw(const struct sampler *sampler, const struct view *view);
/** Draws the sum of all methods in a line of the head. */
void method_list_draw_sum(const struct sampler *sampler, int y);

#endif
