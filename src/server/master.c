/* SPDX-License-Identifier: MIT */
#include "server/master.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "server/children.h"
#include "user/user.h"

enum { KILL_AFTER_MS = 5000 }; /* a worker that does not stop in this time is killed */

enum phase { STARTING, SERVING, STOPPING };

struct master {
    const struct options *options;
    struct listeners listeners, web_listeners;
    struct auth *auth;
    int access_log_fd;
    struct tls *tls;
    struct admission *admission;
    struct shm_store *store;
    struct shm_actor *actor;
    uint64_t maintain_at; /* ms: the table's next housekeeping */
    struct shm_counters *counters;
    struct children children;
    struct pollfd *fds;
    int signal_fd;
    enum phase phase;
    uint64_t kill_at;  /* ms, while stopping */
    bool made_segment; /* by this start */
    bool served;       /* all workers were ready once */
    bool fast;         /* the stop is */
    int exit_status;
};

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static bool fail(struct master *master, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static bool fail(struct master *master, const char *format, ...)
{
    va_list args;
    char line[700];
    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    fprintf(stderr, "rosterd: %s\n", line);
    master->exit_status = 1;
    return false;
}

/* ---- start ---- */

static bool add_listeners(struct master *master, struct listeners *listeners, const char *option,
                          const struct listen_addresses *addresses, bool optional)
{
    for (size_t i = 0; i < addresses->count; i++) {
        const struct listen_address *address = &addresses->all[i];
        int added = listeners_add(listeners, address, optional);
        if (added < 0)
            return fail(master, "%s: %s: %s", option, address->text, strerror(errno));
        if (added == 0)
            log_notice("%s is left out: %s", address->text, strerror(errno));
    }
    return true;
}

static bool open_listeners(struct master *master)
{
    const struct options *options = master->options;
    if (!add_listeners(master, &master->listeners, "listen", &options->listen,
                       options->default_listen) ||
        !add_listeners(master, &master->web_listeners, "metrics-listen", &options->metrics_listen,
                       false))
        return false;
    return master->listeners.count != 0 ||
           fail(master, "listen: this host has neither 127.0.0.1 nor [::1]");
}

static bool open_tokens(struct master *master)
{
    struct auth_report report;
    if (master->options->auth_token_file == NULL)
        return true;
    master->auth = auth_load(master->options->auth_token_file, &report);
    if (master->auth == NULL)
        return fail(master, "auth-token-file: %s", report.fault);
    if (report.warning[0] != '\0')
        log_warning("auth-token-file: %s", report.warning);
    log_info("auth-token-file: %zu tokens", auth_count(master->auth));
    return true;
}

static bool open_tls(struct master *master)
{
    struct tls_report report;
    if (master->options->tls_certificates.count == 0)
        return true;
    master->tls = tls_load(master->options, &report);
    if (master->tls == NULL)
        return fail(master, "%s", report.fault);
    if (report.warning[0] != '\0')
        log_warning("%s", report.warning);
    return true;
}

static bool open_admission(struct master *master)
{
    const struct options *options = master->options;
    master->admission = admission_create((unsigned)options->workers, options->max_connections,
                                         options->max_connections_per_address);
    return master->admission != NULL || fail(master, "max-connections: %s", strerror(errno));
}

/* Appended to, so that the lines of all workers stay whole. */
static bool open_access_log(struct master *master)
{
    const char *path = master->options->access_log_file;
    if (!master->options->access_log)
        return true;
    master->access_log_fd = path == NULL
                                ? fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0)
                                : open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    return master->access_log_fd >= 0 ||
           fail(master, "access-log-file: %s: %s", path == NULL ? "standard error" : path,
                strerror(errno));
}

_Static_assert((int)USER_KEYS == SHM_KEYS && (int)USER_KEY_MAX == SHM_KEY_MAX,
               "the store's keys are a user's");

/* What a large segment's check or rebuild is at: about each second, from the second one on. */
struct progress {
    const char *segment;
    uint64_t told_at;
};

static void log_progress(void *data, const char *what, unsigned percent)
{
    enum { TELL_MS = 1000 };
    struct progress *progress = data;
    if (now_ms() < progress->told_at + TELL_MS)
        return;
    progress->told_at = now_ms();
    log_notice("%s segment %s: %u %%", what, progress->segment, percent);
}

static bool set_segment_aside(struct master *master)
{
    char moved_to[256];
    struct shm_fault fault;
    int error = shm_store_set_aside(master->options->segment, moved_to, &fault);
    if (error == SHM_OK)
        log_notice("segment %s: moved aside to %s", master->options->segment, moved_to);
    else if (error == SHM_ENOSEG)
        log_notice("segment %s: there is none to move aside", master->options->segment);
    else
        return fail(master, "%s", fault.text);
    return true;
}

static bool open_segment(struct master *master)
{
    const struct options *options = master->options;
    struct progress progress = {.segment = options->segment, .told_at = now_ms()};
    const struct shm_config config = {
        .name = options->segment,
        .size = options->segment_size,
        .max_users = options->max_users,
        .unique = (unsigned)options->unique,
        .key_of = user_key_of,
        .snapshot_max_bytes = options->snapshot_max_bytes,
        .progress = log_progress,
        .progress_data = &progress,
    };
    struct shm_fault fault;
    size_t num_names;
    if (options->segment_reset && !set_segment_aside(master))
        return false;
    /* where the start fails later, a segment that it made goes again */
    int fd = shm_open(options->segment, O_RDONLY | O_CLOEXEC, 0);
    bool existed = fd >= 0 || errno != ENOENT;
    if (fd >= 0)
        close(fd);
    int error = shm_store_open(&master->store, &config, &fault);
    if (error == SHM_EBASE)
        shm_exec_again(options->argv);
    if (error == SHM_ECORRUPT || error == SHM_ELAYOUT)
        return fail(master, "%s; --segment-reset moves it aside and starts with an empty one",
                    fault.text);
    if (error != SHM_OK)
        return fail(master, "%s", fault.text);
    master->made_segment = !existed;
    if (shm_actor_join(&master->actor, master->store, SHM_ACTOR_MASTER, 0, &fault) != SHM_OK)
        return fail(master, "%s", fault.text);
    const char *const *names = stats_names(&num_names);
    if (names == NULL)
        return fail(master, "out of memory");
    if (shm_counters_open(&master->counters, options->segment, names, num_names, &fault) != SHM_OK)
        return fail(master, "%s", fault.text);
    return true;
}

static bool block_signals(struct master *master)
{
    static const int handled[] = {SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGCHLD};
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof(handled) / sizeof(handled[0]); i++)
        sigaddset(&set, handled[i]);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGCHLD, SIG_DFL); /* ignored by who started us, dead children would be lost */
    sigprocmask(SIG_BLOCK, &set, NULL);
    master->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    return master->signal_fd >= 0 || fail(master, "signalfd: %s", strerror(errno));
}

/* A connection is a descriptor; what the administrator allows is used. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static bool open_all(struct master *master)
{
    raise_descriptor_limit();
    if (!block_signals(master) || !open_tokens(master) || !open_tls(master) ||
        !open_admission(master) || !open_access_log(master) || !open_listeners(master) ||
        !open_segment(master))
        return false;
    const struct worker_config config = {
        .options = master->options,
        .listeners = &master->listeners,
        .web_listeners = &master->web_listeners,
        .auth = master->auth,
        .access_log_fd = master->access_log_fd,
        .tls = master->tls,
        .admission = master->admission,
        .store = master->store,
        .counters = master->counters,
    };
    unsigned workers = (unsigned)master->options->workers;
    if (!children_open(&master->children, &config, workers))
        return fail(master, "workers: %s", strerror(errno));
    master->children.close_fd = master->signal_fd;
    master->fds = calloc(workers + 1, sizeof(*master->fds));
    return master->fds != NULL || fail(master, "out of memory");
}

static void log_started(struct master *master)
{
    master->phase = SERVING;
    master->served = true;
    const struct listener *tcp = NULL;
    for (size_t i = 0; i < master->listeners.count; i++) {
        const struct listener *listener = &master->listeners.all[i];
        log_info("listening on %s", listener->text);
        if (tcp == NULL && !listener->unix_socket)
            tcp = listener;
    }
    for (size_t i = 0; i < master->web_listeners.count; i++)
        log_info("metrics on %s", master->web_listeners.all[i].text);
    if (tcp != NULL)
        log_notice("Server started on port %u", tcp->port);
    else
        log_notice("Server started on %s", master->listeners.all[0].text);
}

/* ---- stop ---- */

static void stop(struct master *master, bool fast)
{
    if (master->phase == STOPPING && (master->fast || !fast))
        return;
    master->phase = STOPPING;
    master->fast = fast;
    master->kill_at = now_ms() + KILL_AFTER_MS + (fast ? 0 : master->options->drain_timeout);
    /* else clients would wait in a queue from which nobody takes them */
    listeners_close(&master->listeners, true);
    children_signal(&master->children, fast ? SIGTERM : SIGQUIT);
}

/* In a worker too: what is closed here is this process's own view of it. */
static void close_shared(struct master *master)
{
    children_close(&master->children);
    free(master->fds);
    shm_counters_close(master->counters);
    auth_free(master->auth);
    tls_free(master->tls);
    admission_destroy(master->admission);
    if (master->store != NULL)
        shm_store_close(master->store);
}

static void close_all(struct master *master)
{
    shm_actor_leave(master->actor);
    listeners_close(&master->listeners, true);
    close_shared(master);
    if (master->made_segment && !master->served) {
        struct shm_fault fault;
        shm_store_unlink(master->options->segment, &fault);
    }
    listeners_close(&master->web_listeners, true);
    if (master->access_log_fd >= 0)
        close(master->access_log_fd);
    if (master->signal_fd >= 0)
        close(master->signal_fd);
}

/* ---- children ---- */

/* @return CHILDREN_SPAWNED; in the child its exit status */
static int spawn(struct master *master, unsigned number)
{
    int result = children_spawn(&master->children, number, now_ms());
    if (result != CHILDREN_NO_FORK)
        return result;
    if (master->phase == STARTING) {
        fail(master, "workers: cannot start one: %s", strerror(errno));
        stop(master, true);
    } else {
        log_error("worker %u cannot be started: %s", number, strerror(errno));
        children_plan_respawn(&master->children, number, now_ms());
    }
    return CHILDREN_SPAWNED;
}

static int spawn_due(struct master *master)
{
    struct children *children = &master->children;
    for (unsigned i = 0; i < children->count && master->phase != STOPPING; i++) {
        if (children->all[i].pid != 0 || children->all[i].respawn_at > now_ms())
            continue;
        int result = spawn(master, i);
        if (result != CHILDREN_SPAWNED)
            return result;
    }
    return CHILDREN_SPAWNED;
}

static void on_start_failed(struct master *master, unsigned number, pid_t pid, int status)
{
    const char *report = master->children.all[number].report;
    char end[128];
    children_describe_end(end, sizeof(end), status);
    if (report[0] != '\0' && report[0] != WORKER_READY)
        fail(master, "worker %u: %s", number, report);
    else
        fail(master, "worker %u (pid %d) %s before the server was ready", number, (int)pid, end);
}

static void on_child_end(struct master *master, pid_t pid, int status)
{
    int found = children_bury(&master->children, pid);
    if (found < 0)
        return;
    unsigned number = (unsigned)found;
    bool clean = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (master->phase == STOPPING) {
        if (!clean && master->served)
            children_obituary(&master->children, number, pid, status);
        return;
    }
    if (master->phase == STARTING) {
        on_start_failed(master, number, pid, status);
        stop(master, true);
        return;
    }
    children_obituary(&master->children, number, pid, status);
    if (WIFEXITED(status) && WEXITSTATUS(status) == WORKER_EXIT_CONFIG) {
        log_error("worker %u cannot start: %s; the server stops", number,
                  master->children.all[number].report);
        master->exit_status = 1;
        stop(master, true);
        return;
    }
    children_plan_respawn(&master->children, number, now_ms());
}

/* ---- the wait ---- */

static void on_signal(struct master *master, int signal)
{
    pid_t pid;
    int status;
    switch (signal) {
    case SIGCHLD:
        while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
            on_child_end(master, pid, status);
        break;
    case SIGQUIT:
        log_notice("QUIT: running calls may finish");
        stop(master, false);
        break;
    default:
        log_notice("%s: the server stops", signal == SIGTERM  ? "TERM"
                                           : signal == SIGINT ? "INT"
                                                              : "HUP");
        stop(master, true);
    }
}

static void read_signals(struct master *master)
{
    struct signalfd_siginfo info;
    while (read(master->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
        on_signal(master, (int)info.ssi_signo);
}

static int next_wait(const struct master *master)
{
    uint64_t now = now_ms();
    int wait = master->maintain_at > now ? (int)(master->maintain_at - now) : 0;
    int other = master->phase != STOPPING ? children_respawn_wait(&master->children, now)
                : master->kill_at > now   ? (int)(master->kill_at - now)
                                          : 0;
    return other >= 0 && other < wait ? other : wait;
}

static void maintain(struct master *master)
{
    if (now_ms() >= master->maintain_at)
        master->maintain_at = now_ms() + shm_maintain(master->actor);
    if (master->tls != NULL)
        tls_forget_old_secrets(master->tls);
}

/* @return CHILDREN_SPAWNED when the server has ended; in a child its exit status */
static int supervise(struct master *master)
{
    while (master->phase != STOPPING || children_running(&master->children) != 0) {
        int result = spawn_due(master);
        if (result != CHILDREN_SPAWNED)
            return result;
        if (master->phase == STOPPING && children_running(&master->children) == 0)
            break; /* a first fork failed */
        size_t count = children_poll_set(&master->children, master->fds + 1);
        master->fds[0] = (struct pollfd){.fd = master->signal_fd, .events = POLLIN};
        poll(master->fds, count + 1, next_wait(master));
        children_read_reports(&master->children);
        read_signals(master);
        maintain(master);
        if (master->phase == STARTING && children_all_ready(&master->children))
            log_started(master);
        if (master->phase == STOPPING && now_ms() >= master->kill_at) {
            log_warning("workers that did not stop in time are killed");
            children_signal(&master->children, SIGKILL);
            master->kill_at = now_ms() + KILL_AFTER_MS;
        }
    }
    return CHILDREN_SPAWNED;
}

int master_run(const struct options *options)
{
    struct master master = {.options = options, .signal_fd = -1, .access_log_fd = -1};
    log_set_level((enum log_level)options->log_level);
    if (open_all(&master)) {
        int child_status = supervise(&master);
        if (child_status != CHILDREN_SPAWNED) {
            shm_actor_abandon(master.actor);
            close_shared(&master);
            return child_status;
        }
        if (master.served)
            log_notice("Server stopped");
    }
    close_all(&master);
    return master.exit_status;
}
