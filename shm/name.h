/* SPDX-License-Identifier: MIT */
/*
 * How a file that a live process uses stands to its name in /dev/shm, where anybody of the same
 * user can remove it: RemoveIPC=, tmpfiles, rm. A file whose last link is gone never gets one
 * again, so the owner keeps a second one, "/dev/shm/.NAME.kept", by which the name is given back.
 * No segment has such a name: none begins with a dot. It is removed at an orderly end; one that
 * a killed owner left is adopted, or removed, by the next owner of NAME.
 */
#ifndef ROSTERD_SHM_NAME_H
#define ROSTERD_SHM_NAME_H

enum shm_name_state {
    SHM_NAME_OURS,     /* it leads to this file, as it should */
    SHM_NAME_RESTORED, /* it was gone, and leads to this file again */
    SHM_NAME_TAKEN,    /* it leads to another file, which is left alone */
    SHM_NAME_LOST,     /* it is gone, and so are all other links of this file: for good */
    SHM_NAME_FAILED,   /* it is gone, and cannot be given back now: errno says why */
};

#endif
