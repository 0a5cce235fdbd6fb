/* SPDX-License-Identifier: MIT */
#ifndef ROSTERD_SHM_VERIFY_VERIFY_CONTROL_H
#define ROSTERD_SHM_VERIFY_VERIFY_CONTROL_H

#include <stdbool.h>

#include "shm/verify/verify_state.h"

/** Checks the bounds in the control page, on which the other checks rely.
 * @return whether the other checks are possible */
bool verify_bounds(struct verify *v);
/** Checks the control page. */
void verify_control(struct verify *v);
/** Checks the change feed. */
void verify_feed(struct verify *v);
/** Checks the slots and their pins, but not the pins' lists. */
void verify_slots(struct verify *v);

#endif
