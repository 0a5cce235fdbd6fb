/* SPDX-License-Identifier: MIT */
#ifndef ROSTERD_SHM_VERIFY_VERIFY_CONTROL_H
#define ROSTERD_SHM_VERIFY_VERIFY_CONTROL_H

#include <stdbool.h>

#include "shm/verify/verify_state.h"

/** @return whether the rest can be looked at */
bool verify_bounds(struct verify *v);
void verify_control(struct verify *v);
void verify_feed(struct verify *v);
void verify_slots(struct verify *v);

#endif
