/* SPDX-License-Identifier: MIT */
#include "journal/data_path.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* As many as the kernel follows. */
enum { LINKS_MAX = 40 };

static enum data_result path_error(const char *path, struct fault *fault)
{
    enum data_result result = errno == ENOENT || errno == ENOTDIR ? DATA_NONE : DATA_FAILED;
    fault_set_errno(fault, "data-file %s", path);
    return result;
}

/* Replaces a symbolic link by its target. @return false if `name` is no link, or with errno set */
static bool follow_link(char name[PATH_MAX])
{
    char target[PATH_MAX];
    errno = 0;
    ssize_t len = readlink(name, target, sizeof(target) - 1);
    if (len < 0) {
        if (errno == EINVAL || errno == ENOENT)
            errno = 0; /* no link, or nothing at all: this is the name */
        return false;
    }
    target[len] = '\0';
    const char *slash = strrchr(name, '/');
    size_t keep = target[0] == '/' || slash == NULL ? 0 : (size_t)(slash + 1 - name);
    if (keep + (size_t)len >= PATH_MAX) {
        errno = ENAMETOOLONG;
        return false;
    }
    memcpy(name + keep, target, (size_t)len + 1);
    return true;
}

/* Splits `name`. @return its last part; `folder` receives the real name of its directory, or "" */
static const char *real_folder(char name[PATH_MAX], char folder[PATH_MAX])
{
    char *slash = strrchr(name, '/');
    const char *found;
    if (slash == NULL) {
        found = realpath(".", folder);
    } else if (slash == name) {
        found = realpath("/", folder);
    } else {
        *slash = '\0';
        found = realpath(name, folder);
    }
    if (found == NULL)
        folder[0] = '\0';
    return slash == NULL ? name : slash + 1;
}

enum data_result data_path_resolve(const char *path, char resolved[DATA_PATH_SIZE],
                                   struct fault *fault)
{
    char name[PATH_MAX], folder[PATH_MAX];
    errno = ENAMETOOLONG;
    if ((size_t)snprintf(name, sizeof(name), "%s", path) >= sizeof(name))
        return path_error(path, fault);
    unsigned links = 0;
    while (follow_link(name)) {
        errno = ELOOP;
        if (++links > LINKS_MAX)
            return path_error(path, fault);
    }
    if (errno != 0)
        return path_error(path, fault);
    const char *last = real_folder(name, folder);
    if (folder[0] == '\0')
        return path_error(path, fault);
    errno = EISDIR;
    if (*last == '\0' || strcmp(last, ".") == 0 || strcmp(last, "..") == 0)
        return path_error(path, fault);
    int len = snprintf(resolved, DATA_PATH_SIZE, "%s/%s", folder[1] == '\0' ? "" : folder, last);
    errno = ENAMETOOLONG;
    if (len < 0 || len >= DATA_PATH_SIZE - DATA_SUFFIX_MAX)
        return path_error(path, fault);
    return DATA_OK;
}

void data_path_beside(const char *resolved, const char *suffix, char out[DATA_PATH_SIZE])
{
    int len = snprintf(out, DATA_PATH_SIZE, "%s%s", resolved, suffix);
    assert(len > 0 && len < DATA_PATH_SIZE);
}
