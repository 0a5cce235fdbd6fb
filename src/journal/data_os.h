/* SPDX-License-Identifier: MIT */
/*
 * The system calls by which files get and lose their names. What happens inside of files goes
 * through SQLite's file system layer (data_vfs.h).
 */
#ifndef ROSTERD_JOURNAL_DATA_OS_H
#define ROSTERD_JOURNAL_DATA_OS_H

#include "base/fault.h"
#include "journal/data_file.h"

/** Each returns 0, or -1 with errno. Tests put functions here that fail, or that keep a record. */
struct data_os {
    int (*create)(const char *path); /* an empty file of mode 0600; EEXIST if there is one */
    int (*rename)(const char *from, const char *to);
    int (*unlink)(const char *path);
    int (*sync_folder)(const char *path); /* of the directory in which the file lies */
    int (*link)(const char *path, const char *second);
};
extern struct data_os data_os;

/** Sets the fault to "data-file PATH: cannot WHAT: errno". @return DATA_FULL or DATA_FAILED */
enum data_result data_os_fault(const char *path, const char *what, struct fault *fault);
/** Removes a file that may not exist. @return false with errno */
bool data_os_remove(const char *path);

#endif
