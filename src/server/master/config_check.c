/* SPDX-License-Identifier: MIT */
#include "server/master/config_check.h"

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/output.h"
#include "server/config/options_parse.h"
#include "server/master/generation.h"
#include "server/os/pid_file.h"

static bool check_fail(struct fault *fault, const char *option, const char *value, const char *what)
{
    return fault_set(fault, "%s: %.300s: %s", option, value, what);
}

static bool check_log(const char *option, const char *path, struct fault *fault)
{
    struct stat st;
    if (path == NULL)
        return true;
    int fd = output_descriptor(path);
    if (fd >= 0)
        return output_descriptor_is_good(fd) ||
               check_fail(fault, option, path, output_error(errno));
    if (stat(path, &st) != 0) {
        if (errno != ENOENT || !file_may_be_made(path))
            return check_fail(fault, option, path, strerror(errno));
        return true;
    }
    if (S_ISDIR(st.st_mode))
        return check_fail(fault, option, path, strerror(EISDIR));
    return access(path, W_OK) == 0 || check_fail(fault, option, path, strerror(errno));
}

static bool check_pid_file(const char *path, struct fault *fault)
{
    return pid_file_check(path, fault) || fault_prefix(fault, "pid-file");
}

/* A start makes the directories that are missing. Nothing is locked or read: a running server may
 * use the file. */
static bool check_data_file(const char *path, struct fault *fault)
{
    char place[PATH_MAX];
    struct stat st;
    if (path == NULL)
        return true;
    if (strlen(path) >= sizeof(place))
        return check_fail(fault, "data-file", path, strerror(ENAMETOOLONG));
    if (stat(path, &st) == 0) {
        if (!S_ISREG(st.st_mode))
            return check_fail(fault, "data-file", path, "it is no regular file");
        if (access(path, R_OK | W_OK) != 0)
            return check_fail(fault, "data-file", path, strerror(errno));
    }
    snprintf(place, sizeof(place), "%s", path);
    do {
        char copy[PATH_MAX];
        snprintf(copy, sizeof(copy), "%s", place);
        snprintf(place, sizeof(place), "%s", dirname(copy));
    } while (access(place, F_OK) != 0 && errno == ENOENT && strcmp(place, ".") != 0);
    return access(place, W_OK | X_OK) == 0 || check_fail(fault, "data-file", path, strerror(errno));
}

/* Tries to bind the address, with any free port: the real port may be in use by a running server.
 * @return false with errno set */
static bool host_has_address(const struct listen_address *address)
{
    struct sockaddr_storage any = address->addr;
    ((struct sockaddr_in *)(void *)&any)->sin_port = 0; /* sin6_port has the same offset */
    int fd = socket(any.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int result = fd >= 0 ? bind(fd, (const struct sockaddr *)(const void *)&any, address->len) : -1;
    int error = errno;
    if (fd >= 0)
        close(fd);
    errno = error;
    return result == 0;
}

static bool check_addresses(const char *option, const struct listen_addresses *addresses,
                            struct fault *fault)
{
    for (size_t i = 0; i < addresses->count; i++) {
        const struct listen_address *address = &addresses->all[i];
        const struct sockaddr_un *un = (const struct sockaddr_un *)(const void *)&address->addr;
        bool good = address->addr.ss_family == AF_UNIX ? file_may_be_made(un->sun_path)
                                                       : host_has_address(address);
        if (!good && !address->optional)
            return check_fail(fault, option, address->text, strerror(errno));
    }
    return true;
}

bool config_check(struct options *options, struct fault *fault)
{
    struct generation *generation = calloc(1, sizeof(*generation));
    if (generation == NULL) {
        options_free(options);
        return fault_set(fault, "out of memory");
    }
    generation->options = *options;
    generation->access_log_fd = -1;
    options = &generation->options;
    bool good = generation_load(generation, NULL, fault) &&
                check_log("log-file", options->log_file, fault) &&
                check_log("access-log-file", options->access_log_file, fault) &&
                check_pid_file(options->pid_file, fault) &&
                check_data_file(options_data_file(options), fault) &&
                (options->default_listen || check_addresses("listen", &options->listen, fault)) &&
                check_addresses("metrics-listen", &options->metrics_listen, fault);
    generation_close(generation);
    return good;
}
