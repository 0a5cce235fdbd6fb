/* SPDX-License-Identifier: MIT */
#ifndef ROSTERD_SHM_VERIFY_VERIFY_REQUESTS_H
#define ROSTERD_SHM_VERIFY_VERIFY_REQUESTS_H

#include "shm/verify/verify_state.h"

/** Claims the memory of the requests that were done, and checks their entries and chains.
 * @return false: there is no memory for the check */
bool verify_requests(struct verify *v);

#endif
