/* SPDX-License-Identifier: MIT */
#ifndef ROSTERD_SHM_VERIFY_VERIFY_TABLES_H
#define ROSTERD_SHM_VERIFY_VERIFY_TABLES_H

#include "shm/verify/verify_state.h"

void verify_tables(struct verify *v);

#endif
