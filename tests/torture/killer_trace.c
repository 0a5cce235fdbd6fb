/* SPDX-License-Identifier: MIT */
/*
 * Single-steps a child by ptrace.
 *
 * A first child finds the pages that the operation writes: the segment is mapped read-only, and
 * each page's first write faults. Then a second child is single-stepped. After each step, those
 * pages and the head of the thread's list of robust mutexes are compared with their state before
 * the step; the kernel uses that list when the thread dies. A position is where they differ. A kill
 * anywhere between two positions leaves the same bytes and the same list as a kill at the first of
 * the two.
 *
 * A position is identified by its instruction and by how often that instruction was reached, so
 * that a trial can go there with a hardware breakpoint. The bytes there are compared with the
 * recorded ones: a trial that arrives in another state is a failure, not a pass.
 */
#include "tests/torture/killer.h"

#include <elf.h>
#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm/core/store_handle.h"

enum { PAGES_MAX = 4096, COUNTS = 1 << 18 };

/* ---- finding the pages that the operation writes ---- */

static struct survey {
    uint64_t count;
    uint64_t page[PAGES_MAX];
} * survey;
static bool surveying;
bool trace_all;

static void on_write(int signal, siginfo_t *info, void *context)
{
    uint64_t at = (uint64_t)(uintptr_t)info->si_addr;
    (void)signal;
    (void)context;
    if (at < SHM_BASE || at - SHM_BASE > UINT64_C(1) << 32 || survey->count == PAGES_MAX)
        _exit(98);
    at -= at % SHM_PAGE;
    survey->page[survey->count++] = at - SHM_BASE;
    if (mprotect((void *)(uintptr_t)at, SHM_PAGE, PROT_READ | PROT_WRITE) != 0)
        _exit(97);
}

static void watch_writes(uint64_t size)
{
    struct sigaction action = {.sa_sigaction = on_write, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &action, NULL);
    (void)mprotect((void *)(uintptr_t)SHM_BASE, size, PROT_READ);
}

/* The linker redirects the store's calls of mmap to the wrapper: an operation that maps the
 * segment itself is watched from then on. */
void *__real_mmap(void *at, size_t size, int prot, int flags, int fd, off_t offset);
void *__wrap_mmap(void *at, size_t size, int prot, int flags, int fd, off_t offset);
/* An empty function, as the place of a breakpoint. */
static void __attribute__((noinline)) trace_mapped(void)
{
    __asm__ volatile("");
}

void *__wrap_mmap(void *at, size_t size, int prot, int flags, int fd, off_t offset)
{
    void *mapped = __real_mmap(at, size, prot, flags, fd, offset);
    if (mapped == (void *)(uintptr_t)SHM_BASE) {
        if (surveying)
            watch_writes(size);
        trace_mapped();
    }
    return mapped;
}

static pid_t start(const struct killer_case *kase, struct world *w, bool stepped)
{
    pid_t parent = getpid();
    fflush(NULL);
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(99);
    if (stepped)
        ptrace(PTRACE_TRACEME, 0, NULL, NULL);
    if (kase->before != NULL)
        kase->before(w);
    surveying = !stepped;
    if (surveying && !kase->opens)
        watch_writes(world_store->size);
    if (stepped)
        raise(SIGSTOP);
    kase->run(w);
    if (stepped)
        raise(SIGSTOP);
    _exit(0);
}

static bool run_survey(struct trace *trace, const struct killer_case *kase, struct world *w)
{
    int status;
    survey->count = 0;
    pid_t pid = start(kase, w, false);
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0) {
        fprintf(stderr, "%s: without a kill, it ended with status %#x: %s\n", kase->name,
                (unsigned)status, w->why);
        return false;
    }
    trace->num_pages = survey->count;
    trace->pages = malloc(survey->count * sizeof(*trace->pages) + 1);
    memcpy(trace->pages, survey->page, survey->count * sizeof(*trace->pages));
    return true;
}

/* ---- the child's state ---- */

struct lock_list {
    uint64_t first, pending;
};

struct tracee {
    pid_t pid;
    const struct trace *trace;
    const struct image *image;
    uint64_t list_at; /* address of its thread's robust list, in the child */
    struct lock_list list;
    struct stat file; /* size and block count are compared, too */
    uint8_t *pages;   /* contents after the previous step */
};

static struct lock_list read_list(const struct tracee *t)
{
    struct robust_list_head head = {0};
    struct iovec mine = {.iov_base = &head, .iov_len = sizeof(head)};
    struct iovec theirs = {.iov_base = (void *)(uintptr_t)t->list_at, .iov_len = sizeof(head)};
    (void)process_vm_readv(t->pid, &mine, 1, &theirs, 1, 0);
    return (struct lock_list){.first = (uint64_t)(uintptr_t)head.list.next,
                              .pending = (uint64_t)(uintptr_t)head.list_op_pending};
}

/* Whether the page has memory. A page beyond the arena's end may have none yet, and then no
 * process has written to it. */
static bool is_there(const struct image *image, uint64_t page)
{
    const struct shm_control *control = image_control(image);
    if (page >= SHM_ARENA_AT)
        return page < control->arena_end - SHM_BASE;
    return page < SHM_SLOTS_AT ||
           page < SHM_SLOTS_AT + control->slots_ready * sizeof(struct shm_slot);
}

static uint64_t hash_all(const struct trace *trace, const struct image *image)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < trace->num_pages; i++)
        if (is_there(image, trace->pages[i]))
            sum += image_hash_page(image, trace->pages[i]);
    return sum;
}

/* @return whether the bytes or the list have changed since the last call */
static bool has_changed(struct tracee *t)
{
    struct lock_list list = read_list(t);
    bool changed = list.first != t->list.first || list.pending != t->list.pending;
    t->list = list;
    struct stat file = {0};
    (void)fstat(t->image->fd, &file);
    changed |= file.st_size != t->file.st_size || file.st_blocks != t->file.st_blocks;
    t->file = file;
    for (size_t i = 0; i < t->trace->num_pages; i++) {
        uint64_t page = t->trace->pages[i];
        uint8_t *old = t->pages + i * SHM_PAGE;
        if (!is_there(t->image, page) || memcmp(old, t->image->map + page, SHM_PAGE) == 0)
            continue;
        memcpy(old, t->image->map + page, SHM_PAGE);
        changed = true;
    }
    return changed;
}

/* ---- steps ---- */

static uint64_t ip_of(pid_t pid)
{
#ifdef __x86_64__
    return (uint64_t)ptrace(PTRACE_PEEKUSER, pid, offsetof(struct user, regs.rip), NULL);
#else
    struct user_regs_struct regs = {0};
    struct iovec iov = {.iov_base = &regs, .iov_len = sizeof(regs)};
    (void)ptrace(PTRACE_GETREGSET, pid, NT_PRSTATUS, &iov);
    return regs.pc;
#endif
}

/* @return the signal that stopped the child, 0 if the child has ended */
static int wait_stop(pid_t pid)
{
    int status;
    while (waitpid(pid, &status, __WALL) != pid)
        if (errno != EINTR)
            return 0;
    return WIFSTOPPED(status) ? WSTOPSIG(status) : 0;
}

static int step(pid_t pid)
{
    return ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) == 0 ? wait_stop(pid) : 0;
}

/* Sets a hardware breakpoint at ip; 0 removes it. @return whether the machine has a free one */
static bool set_breakpoint(pid_t pid, uint64_t ip)
{
#ifdef __x86_64__
    uint64_t on = ip != 0 ? 1 : 0;
    return ptrace(PTRACE_POKEUSER, pid, offsetof(struct user, u_debugreg[0]), ip) == 0 &&
           ptrace(PTRACE_POKEUSER, pid, offsetof(struct user, u_debugreg[7]), on) == 0;
#else
    (void)pid;
    return ip == 0;
#endif
}

/* Continues until the child is about to execute the instruction at ip once more. */
static bool arrive(pid_t pid, uint64_t ip, bool breakpoint)
{
    if (breakpoint)
        return ptrace(PTRACE_CONT, pid, NULL, NULL) == 0 && wait_stop(pid) == SIGTRAP &&
               ip_of(pid) == ip;
    while (ip_of(pid) == ip)
        if (step(pid) != SIGTRAP)
            return false;
    while (ip_of(pid) != ip)
        if (step(pid) != SIGTRAP)
            return false;
    return true;
}

static bool begin(struct tracee *t, const struct killer_case *kase, struct world *w)
{
    struct robust_list_head *head;
    size_t size;
    w->why[0] = '\0';
    t->pid = start(kase, w, true);
    if (t->pid < 0 || wait_stop(t->pid) != SIGSTOP ||
        ptrace(PTRACE_SETOPTIONS, t->pid, NULL, PTRACE_O_EXITKILL) != 0 ||
        syscall(SYS_get_robust_list, t->pid, &head, &size) != 0) {
        fprintf(stderr, "%s: the child did not start: %s\n", kase->name, w->why);
        return false;
    }
    t->list_at = (uint64_t)(uintptr_t)head;
    if (!kase->opens || trace_all)
        return true;
    uint64_t mapped = (uint64_t)(uintptr_t)&trace_mapped;
    bool there = arrive(t->pid, mapped, set_breakpoint(t->pid, mapped));
    (void)set_breakpoint(t->pid, 0);
    return there;
}

static void end(pid_t pid)
{
    int status;
    kill(pid, SIGKILL);
    while (waitpid(pid, &status, __WALL) == pid && !WIFSIGNALED(status) && !WIFEXITED(status))
        ;
}

/* ---- recording ---- */

struct count {
    uint64_t ip;
    uint32_t arrivals;
};

static struct count *count_of(struct count *counts, uint64_t ip)
{
    for (uint64_t i = ip * UINT64_C(0x9e3779b97f4a7c15) >> 46;; i = (i + 1) % COUNTS)
        if (counts[i].ip == ip || counts[i].ip == 0) {
            counts[i].ip = ip;
            return &counts[i];
        }
}

static void add_position(struct trace *trace, const struct image *image, uint64_t ip,
                         uint32_t arrivals, uint32_t steps)
{
    if (trace->count == trace->room) {
        trace->room = trace->room * 2 + 64;
        trace->at = realloc(trace->at, trace->room * sizeof(*trace->at));
    }
    trace->at[trace->count++] = (struct position){.ip = ip,
                                                  .arrivals = arrivals,
                                                  .steps = steps,
                                                  .hash = hash_all(trace, image),
                                                  .version = image_version(image),
                                                  .sealed = image_sealed(image)};
}

/* @return the signal of the stop that ended it */
static int record(struct trace *trace, struct tracee *t)
{
    struct count *counts = calloc(COUNTS, sizeof(*counts));
    uint64_t last = 0;
    uint32_t arrivals = 0, steps = 0;
    int signal = SIGTRAP;
    (void)has_changed(t); /* record the initial state */
    add_position(trace, t->image, 0, 0, 0);
    while (signal == SIGTRAP) {
        uint64_t ip = ip_of(t->pid);
        if (ip != last) { /* otherwise another iteration of a repeated (rep) instruction */
            arrivals = ++count_of(counts, ip)->arrivals;
            steps = 0;
        }
        last = ip;
        steps++;
        signal = step(t->pid);
        trace->steps++;
        if (signal != 0 && has_changed(t))
            add_position(trace, t->image, ip, arrivals, steps);
    }
    free(counts);
    return signal;
}

bool trace_record(struct trace *trace, const struct killer_case *kase, struct world *w,
                  struct image *image)
{
    memset(trace, 0, sizeof(*trace));
    if (survey == NULL)
        survey =
            mmap(NULL, sizeof(*survey), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    image_restore(image);
    w->why[0] = '\0';
    if (!run_survey(trace, kase, w))
        return false;
    image_restore(image);
    struct tracee t = {.trace = trace, .image = image};
    if (!begin(&t, kase, w))
        return false;
    t.pages = calloc(trace->num_pages + 1, SHM_PAGE);
    int signal = record(trace, &t);
    free(t.pages);
    end(t.pid);
    if (signal != SIGSTOP)
        fprintf(stderr, "%s: single-stepped, it ended with signal %d: %s\n", kase->name, signal,
                w->why);
    return signal == SIGSTOP;
}

void trace_free(struct trace *trace)
{
    free(trace->at);
    free(trace->pages);
}

/* ---- killing ---- */

static bool run_to(pid_t pid, const struct position *at)
{
    uint32_t left = at->arrivals;
    if (left != 0 && ip_of(pid) == at->ip)
        left--; /* the child starts there */
    bool breakpoint = left != 0 && set_breakpoint(pid, at->ip);
    for (; left != 0; left--)
        if (!arrive(pid, at->ip, breakpoint))
            return false;
    (void)set_breakpoint(pid, 0);
    for (uint32_t i = 0; i < at->steps; i++) {
        int signal = step(pid);
        if (signal != SIGTRAP && !(signal == SIGSTOP && i + 1 == at->steps))
            return false;
    }
    return true;
}

bool trace_kill_at(const struct trace *trace, const struct position *at,
                   const struct killer_case *kase, struct world *w, struct image *image)
{
    struct tracee t = {.trace = trace, .image = image};
    image_restore(image);
    if (!begin(&t, kase, w))
        return false;
    bool there = run_to(t.pid, at) && hash_all(trace, image) == at->hash;
    end(t.pid);
    return there;
}
