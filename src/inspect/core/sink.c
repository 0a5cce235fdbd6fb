/* SPDX-License-Identifier: MIT */
#include "inspect/core/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "inspect/core/keeper.h"

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

/* Root may not be root any more when the file is whole. */
static enum inspect_exit leave_keeper(struct sink *sink)
{
    sink->keeper = keeper_start(fileno(sink->file), sink->temporary, sink->path);
    if (sink->keeper >= 0)
        return INSPECT_DONE;
    enum inspect_exit code = fail(sink->path, "start a process to keep it");
    fclose(sink->file);
    unlink(sink->temporary);
    return code;
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
    return geteuid() == 0 ? leave_keeper(sink) : INSPECT_DONE;
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

static enum inspect_exit fail_result(const struct sink *sink, struct keeper_result result)
{
    errno = result.error;
    switch (result.step) {
    case KEEPER_DISK:
        return fail(sink->temporary, "write it to disk");
    case KEEPER_RENAME:
        return fail(sink->path, "replace it");
    case KEEPER_DIRECTORY:
        return fail(sink->path, "write its directory to disk");
    default: /* it was killed */
        return fail(sink->path, "replace it");
    }
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
    struct keeper_result result =
        sink->keeper != 0 ? keeper_commit(sink->keeper)
                          : keeper_finish(fileno(sink->file), sink->temporary, sink->path);
    if (result.error != 0)
        code = fail_result(sink, result);
    fclose(sink->file);
    forget(sink);
    return code;
}

void sink_abandon(struct sink *sink)
{
    if (sink->path != NULL) {
        fclose(sink->file);
        if (sink->keeper != 0)
            keeper_abandon(sink->keeper);
        else
            unlink(sink->temporary);
    }
    forget(sink);
}
