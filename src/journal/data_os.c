/* SPDX-License-Identifier: MIT */
#include "journal/data_os.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <unistd.h>

#include "journal/data_path.h"

static int create_file(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return -1;
    return close(fd);
}

static int sync_folder_of(const char *path)
{
    char copy[DATA_PATH_SIZE];
    snprintf(copy, sizeof(copy), "%s", path);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    int result = fsync(fd);
    int error = errno;
    close(fd);
    errno = error;
    return result;
}

struct data_os data_os = {
    .create = create_file,
    .rename = rename,
    .unlink = unlink,
    .sync_folder = sync_folder_of,
    .link = link,
};

enum data_result data_os_fault(const char *path, const char *what, struct fault *fault)
{
    enum data_result result = errno == ENOSPC || errno == EDQUOT ? DATA_FULL : DATA_FAILED;
    fault_set_errno(fault, "data-file %s: cannot %s", path, what);
    return result;
}

bool data_os_remove(const char *path)
{
    return data_os.unlink(path) == 0 || errno == ENOENT;
}
