/* SPDX-License-Identifier: MIT */
#include "inspect/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* One user's line is far shorter than the other half of the buffer, even with each byte of a
 * body escaped. */
enum { BUFFER_SIZE = INSPECT_STDOUT_BUFFER, FLUSH_AT = BUFFER_SIZE / 2 };

static enum inspect_exit fail(const char *path, const char *what)
{
    return inspect_fail(INSPECT_FAILED, "%s: cannot %s: %s", path, what, strerror(errno));
}

static void forget(struct sink *sink)
{
    free(sink->temporary);
    free(sink->buffer);
    memset(sink, 0, sizeof(*sink));
}

/* Users' names are nobody else's to read: mode 0600. A name that is there was left by one who
 * died; O_EXCL and O_NOFOLLOW see to it that nobody chose where we write. */
static enum inspect_exit open_temporary(struct sink *sink)
{
    if (unlink(sink->temporary) != 0 && errno != ENOENT)
        return fail(sink->temporary, "remove it");
    int fd = open(sink->temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return fail(sink->temporary, "create it");
    sink->file = fdopen(fd, "w");
    if (sink->file == NULL) {
        close(fd);
        unlink(sink->temporary);
        return fail(sink->temporary, "open it");
    }
    setvbuf(sink->file, sink->buffer, _IOFBF, BUFFER_SIZE);
    return INSPECT_DONE;
}

enum inspect_exit sink_open(struct sink *sink, const char *path)
{
    struct stat st;

    *sink = (struct sink){.file = stdout, .path = path};
    if (path == NULL)
        return INSPECT_DONE;
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
        return inspect_fail(INSPECT_FAILED, "%s: it is no regular file", path);
    sink->buffer = malloc(BUFFER_SIZE);
    if (sink->buffer == NULL || asprintf(&sink->temporary, "%s.tmp", path) < 0)
        abort(); /* out of memory */
    enum inspect_exit code = open_temporary(sink);
    if (code != INSPECT_DONE)
        forget(sink);
    return code;
}

bool sink_is_full(const struct sink *sink)
{
    return __fpending(sink->file) >= FLUSH_AT;
}

bool sink_flush(struct sink *sink, enum inspect_exit *code)
{
    if (sink->path == NULL)
        return inspect_flush(code);
    if (fflush(sink->file) == 0 && !ferror(sink->file))
        return true;
    *code = fail(sink->temporary, "write");
    return false;
}

/* The new name has to reach the disk, too. */
static bool sync_directory(const char *path)
{
    char *copy = strdup(path);

    if (copy == NULL)
        abort();
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(copy);
    if (fd < 0)
        return false;
    /* EINVAL: a file system that has no such thing */
    bool good = fsync(fd) == 0 || errno == EINVAL;
    close(fd);
    return good;
}

enum inspect_exit sink_commit(struct sink *sink)
{
    enum inspect_exit code = INSPECT_DONE;

    if (!sink_flush(sink, &code)) {
        sink_abandon(sink);
        return code;
    }
    if (sink->path == NULL)
        return INSPECT_DONE;
    if (fsync(fileno(sink->file)) != 0)
        code = fail(sink->temporary, "write it to disk");
    else if (rename(sink->temporary, sink->path) != 0)
        code = fail(sink->path, "replace it");
    if (code != INSPECT_DONE) {
        sink_abandon(sink);
        return code;
    }
    fclose(sink->file);
    if (!sync_directory(sink->path))
        code = fail(sink->path, "write its directory to disk");
    forget(sink);
    return code;
}

void sink_abandon(struct sink *sink)
{
    if (sink->path != NULL) {
        fclose(sink->file);
        unlink(sink->temporary);
    }
    forget(sink);
}
