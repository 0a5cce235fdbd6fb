/* SPDX-License-Identifier: MIT */
/*
 * Checks and restores the name of a file in /dev/shm that a live process uses. Any process of the
 * same user can remove the name: RemoveIPC=, tmpfiles, rm. A file without links can never be linked
 * again, so the owner keeps a second link beside it, ".NAME.kept", and restores the name from it.
 * No segment has such a name, because no segment's name begins with a dot. An orderly end removes
 * the second link. The second link of a killed owner is adopted, or removed, by the next owner of
 * NAME.
 */
#ifndef ROSTERD_SHM_NAME_H
#define ROSTERD_SHM_NAME_H

enum shm_name_state {
    SHM_NAME_OURS,     /* the name leads to this file */
    SHM_NAME_RESTORED, /* the name was gone and has been restored */
    SHM_NAME_TAKEN,    /* the name leads to another file, which is left alone */
    SHM_NAME_LOST,     /* the file has no link left: the name cannot be restored */
    SHM_NAME_FAILED,   /* the name is gone and cannot be restored now: see errno */
};

#endif
