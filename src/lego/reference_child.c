/*
 * reference_child.c: the process in which references run. They are C that a compiler made of the
 * user's own program, run on random states, so they stray: into unmapped memory (a signal, the
 * state is discarded) or, rarely, into the child's own memory (it may die; the parent starts
 * another). The child can only read and write its socket, protect memory and exit (seccomp), so
 * nothing it does reaches further.
 */
#include "lego/reference_child.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifdef __has_feature /* clang */
#if __has_feature(address_sanitizer)
#define SANITIZED
#endif
#elif defined __SANITIZE_ADDRESS__
#define SANITIZED
#endif

static sigjmp_buf escape;

static void on_fault(int signal)
{
    siglongjmp(escape, signal);
}

static void catch_faults(void)
{
    /* Out of the image, misaligned or too far (SEGV, BUS); the sanitizer's traps and divisions
     * (ILL, TRAP, FPE). */
    static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};
    /* NODEFER: the handler leaves by siglongjmp(), which restores no mask here */
    struct sigaction action = {.sa_handler = on_fault, .sa_flags = SA_NODEFER};
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
        sigaction(signals[i], &action, NULL);
}

static bool limit_rights(void)
{
    /* no core files of states that crash, no files at all; a processor-time limit if the parent is
     * gone */
    struct rlimit none = {0, 0}, cpu = {600, 600};
    setrlimit(RLIMIT_CORE, &none);
    setrlimit(RLIMIT_FSIZE, &none);
    setrlimit(RLIMIT_CPU, &cpu);
#ifdef __x86_64__
    enum { ARCH = AUDIT_ARCH_X86_64 };
#else
    enum { ARCH = AUDIT_ARCH_AARCH64 };
#endif
    static const int allowed[] = {SYS_read, SYS_write, SYS_mprotect, SYS_rt_sigreturn,
#ifdef SANITIZED
                                  SYS_sigaltstack, /* its siglongjmp() asks where the stack is */
#endif
                                  SYS_exit_group};
    enum { N = sizeof allowed / sizeof allowed[0] };
    struct sock_filter filter[N + 5] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        /* another architecture's numbers would mean other calls */
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 0, N + 1),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
    };
    for (int i = 0; i < N; i++)
        filter[3 + i] = (struct sock_filter)BPF_JUMP(
            BPF_JMP | BPF_JEQ | BPF_K, (unsigned)allowed[i], (unsigned char)(N - i), 0);
    filter[3 + N] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    filter[4 + N] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog program = {N + 5, filter};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0;
}

/** One state. The x87 stack may be left in any state by a fault. */
static void run_state(struct reference_exchange *x, int i)
{
    unsigned char *image = (unsigned char *)STATE_IMAGE_AT;
    struct reference_result *result = &x->results[i];
    /* volatile: read after siglongjmp() */
    volatile long fuel = REFERENCE_FUEL;
    memcpy(image, x->inputs + (size_t)i * x->image_bytes, x->image_bytes);
    memset(result->seen, 0, sizeof result->seen);
    int signal = sigsetjmp(escape, 0);
    if (signal == 0) {
        int exit = x->function(x->at, (long *)&fuel, result->seen);
        result->outcome = exit < 0 ? REFERENCE_ENDLESS : REFERENCE_LEFT;
        result->exit = exit;
    } else {
#ifdef __x86_64__
        __asm__ volatile("fninit");
#endif
        result->outcome =
            signal == SIGSEGV || signal == SIGBUS ? REFERENCE_FAULT : REFERENCE_UNDEFINED;
        result->exit = -1;
    }
    result->labels = (int)(REFERENCE_FUEL - fuel);
    if (result->outcome == REFERENCE_LEFT)
        memcpy(x->outputs + (size_t)i * x->image_bytes, image, x->image_bytes);
}

/** Pages of the image that this block has; those behind it fault. */
static bool size_image(size_t bytes)
{
    static size_t current;
    if (bytes == current)
        return true;
    unsigned char *image = (unsigned char *)STATE_IMAGE_AT;
    current = bytes;
    return mprotect(image, STATE_MAX_IMAGE, PROT_NONE) == 0 &&
           mprotect(image, bytes, PROT_READ | PROT_WRITE) == 0;
}

static bool map_image(void)
{
    void *wanted = (void *)STATE_IMAGE_AT;
    return mmap(wanted, STATE_MAX_IMAGE, PROT_NONE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0) == wanted;
}

void reference_child_main(int socket, struct reference_exchange *exchange)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    catch_faults();
    char byte = map_image() && limit_rights();
    if (write(socket, &byte, 1) != 1 || !byte)
        _exit(1);
    while (read(socket, &byte, 1) == 1) {
        if (!size_image(exchange->image_bytes))
            _exit(1);
        for (int i = exchange->first; i < exchange->n; i++) {
            run_state(exchange, i);
            /* tells the parent which state it was, should the next one kill this process */
            exchange->done = i + 1;
        }
        if (write(socket, &byte, 1) != 1)
            break;
    }
    _exit(0);
}
