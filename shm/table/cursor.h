/* SPDX-License-Identifier: MIT */
/* A test hook of the cursors, whose functions are public: shm/store.h. */
#ifndef ROSTERD_SHM_TABLE_CURSOR_H
#define ROSTERD_SHM_TABLE_CURSOR_H

#ifdef SHM_TEST_HOOKS
/** How many nodes that its snapshot does not show a cursor passes in one call. */
extern unsigned shm_cursor_pass_max;
#endif

#endif
