/* SPDX-License-Identifier: MIT */
#include "journal/data_keep.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "journal/data_os.h"
#include "journal/data_path.h"

enum { NAMES_MAX = 100 }; /* that are tried: one second has this many at most */

static void name_kept(const char *path, int i, char kept[DATA_KEPT_SIZE])
{
    char stamp[32];
    time_t now = clock_real_s();
    struct tm utc;
    gmtime_r(&now, &utc);
    strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", &utc);
    if (i == 0)
        snprintf(kept, DATA_KEPT_SIZE, "%s.%s", path, stamp);
    else
        snprintf(kept, DATA_KEPT_SIZE, "%s.%s-%d", path, stamp, i);
}

static void name_log(const char *kept, char name[DATA_KEPT_SIZE + 4])
{
    snprintf(name, DATA_KEPT_SIZE + 4, "%s-wal", kept);
}

/* A log that is not empty belongs to the file: the file could not be opened, or somebody reads it.
 */
static enum data_result keep_log(const char *path, const char *kept, struct fault *fault)
{
    char from[DATA_PATH_SIZE], to[DATA_KEPT_SIZE + 4];
    struct stat st;
    data_path_beside(path, "-wal", from);
    name_log(kept, to);
    if (stat(from, &st) != 0 || st.st_size == 0 || data_os.link(from, to) == 0)
        return DATA_OK;
    return data_os_fault(path, "keep its write-ahead log", fault);
}

enum data_result data_keep(const char *path, char kept[DATA_KEPT_SIZE], struct fault *fault)
{
    for (int i = 0; i < NAMES_MAX; i++) {
        name_kept(path, i, kept);
        if (data_os.link(path, kept) == 0) {
            enum data_result result = keep_log(path, kept, fault);
            if (result != DATA_OK)
                data_keep_undo(path, kept);
            return result;
        }
        if (errno != EEXIST)
            break;
    }
    kept[0] = '\0';
    return errno == ENOENT ? DATA_OK : data_os_fault(path, "keep it under another name", fault);
}

void data_keep_undo(const char *path, char kept[DATA_KEPT_SIZE])
{
    char new_name[DATA_PATH_SIZE], log[DATA_KEPT_SIZE + 4];
    struct stat own, second;
    data_path_beside(path, ".new", new_name);
    /* With a PATH.new the next open would finish the replacement. */
    if (kept[0] == '\0' || access(new_name, F_OK) == 0 || stat(path, &own) != 0 ||
        stat(kept, &second) != 0 || own.st_ino != second.st_ino || own.st_dev != second.st_dev)
        return;
    name_log(kept, log);
    (void)data_os_remove(log);
    (void)data_os_remove(kept);
    kept[0] = '\0';
}
