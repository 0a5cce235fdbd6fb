/* SPDX-License-Identifier: MIT */
#include "inspect/core/sink.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "inspect/core/keeper.h"
#include "inspect/core/memory.h"
#include "inspect/core/stdout.h"

static enum inspect_exit sink_fail(const char *path, const char *what)
{
    return report_fail(INSPECT_FAILED, "%s: cannot %s: %s", path, what, strerror(errno));
}

static void sink_reset(struct sink *sink)
{
    free(sink->temporary);
    if (sink->buffer != NULL)
        explicit_bzero(sink->buffer, STDOUT_BUFFER_SIZE); /* a dump may have secrets */
    free(sink->buffer);
    memset(sink, 0, sizeof(*sink));
}

/* The program will not be root any more when the file is whole. */
static enum inspect_exit leave_keeper(struct sink *sink)
{
    sink->keeper = keeper_start(fileno(sink->file), sink->temporary, sink->path, !sink->new_file);
    if (sink->keeper >= 0)
        return INSPECT_DONE;
    enum inspect_exit code = sink_fail(sink->path, "start a process to keep it");
    fclose(sink->file);
    unlink(sink->temporary);
    return code;
}

/* Mode 0600, because the file contains personal data. A file at the temporary name was left by a
 * killed dump and is removed. O_EXCL and O_NOFOLLOW make sure that the dump is written to a new
 * file, not to one that another user has put there. */
static enum inspect_exit open_temporary(struct sink *sink)
{
    /* The data file may have any name, this one, too. */
    if (!sink->new_file && unlink(sink->temporary) != 0 && errno != ENOENT)
        return sink_fail(sink->temporary, "remove it");
    int fd = open(sink->temporary, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0 && errno == EEXIST)
        return report_fail(INSPECT_FAILED,
                           "%s: exists, perhaps from a backup that was killed: remove it",
                           sink->temporary);
    if (fd < 0)
        return sink_fail(sink->temporary, "create it");
    sink->file = fdopen(fd, "w+");
    if (sink->file == NULL) {
        close(fd);
        unlink(sink->temporary);
        return sink_fail(sink->temporary, "open it");
    }
    setvbuf(sink->file, sink->buffer, _IOFBF, STDOUT_BUFFER_SIZE);
    return geteuid() == 0 ? leave_keeper(sink) : INSPECT_DONE;
}

static enum inspect_exit open_sink_file(struct sink *sink)
{
    sink->buffer = memory_new_array(STDOUT_BUFFER_SIZE, 1);
    if (asprintf(&sink->temporary, "%s.tmp", sink->path) < 0)
        memory_exhausted();
    enum inspect_exit code = open_temporary(sink);
    if (code != INSPECT_DONE)
        sink_reset(sink);
    return code;
}

enum inspect_exit sink_open(struct sink *sink, const char *path)
{
    *sink = (struct sink){.file = stdout, .path = path};
    if (path == NULL)
        return INSPECT_DONE;
    struct stat st;
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
        return report_fail(INSPECT_FAILED, "%s: not a regular file", path);
    return open_sink_file(sink);
}

enum inspect_exit sink_open_new(struct sink *sink, const char *path)
{
    struct stat st;
    *sink = (struct sink){.path = path, .new_file = true};
    if (lstat(path, &st) == 0)
        return report_fail(INSPECT_FAILED, "%s: exists", path);
    return open_sink_file(sink);
}

bool sink_is_full(const struct sink *sink)
{
    return stdout_is_full(sink->file);
}

bool sink_flush(struct sink *sink, enum inspect_exit *code)
{
    if (sink->path == NULL)
        return stdout_flush(code);
    if (fflush(sink->file) == 0 && !ferror(sink->file))
        return true;
    *code = sink_fail(sink->temporary, "write");
    return false;
}

enum inspect_exit sink_commit(struct sink *sink)
{
    enum inspect_exit code = INSPECT_DONE;
    assert(sink->file != NULL); /* open */
    if (!sink_flush(sink, &code)) {
        sink_abandon(sink);
        return code;
    }
    if (sink->path == NULL)
        return INSPECT_DONE;
    struct fault fault;
    bool done = sink->keeper != 0 ? keeper_commit(sink->keeper, sink->path, &fault)
                                  : keeper_finish(fileno(sink->file), sink->temporary, sink->path,
                                                  !sink->new_file, &fault);
    if (!done)
        code = report_fault(INSPECT_FAILED, &fault);
    fclose(sink->file);
    sink_reset(sink);
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
    sink_reset(sink);
}
