/* SPDX-License-Identifier: MIT */
/*
 * A segment that an earlier version made has the name that was the default then. The service's new
 * name is in a directory that has this very name, so the move has two steps. A start that dies
 * between them leaves the segment under SEGMENT_ON_THE_WAY, where the next start finds it.
 */
#ifndef ROSTERD_SERVER_MASTER_SEGMENT_MOVE_H
#define ROSTERD_SERVER_MASTER_SEGMENT_MOVE_H

/** At a start whose segment has the default name: moves an earlier version's segment there, if
 * there is none yet and no server has it. Logs that it did, or why it could not. */
void segment_move_old(const char *name);

#endif
