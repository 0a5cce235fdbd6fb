/* SPDX-License-Identifier: MIT */
#ifndef ROSTERD_SHM_VERIFY_VERIFY_TABLES_H
#define ROSTERD_SHM_VERIFY_VERIFY_TABLES_H

#include "shm/verify/verify_state.h"

/** Checks the hash tables, after verify_users(). */
void verify_tables(struct verify *v);

#endif
