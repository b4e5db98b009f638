/*
 * harness.c: runs the functions of one compiled file on inputs, for `ashcc --differential`, which
 * has cc compile this together with the file's assembler text and a table of calls
 * (differential_build.c). Argument: the descriptor of the shared file (exchange.h).
 *
 * Every call is made in a process of its own, so each starts from the same memory, static data and
 * state of the C library. Before the call that process gives up every right but to end (seccomp),
 * and has a limit of processor time. malloc and its kin are given out from the image, in order and
 * at fixed addresses; what is printed is kept. It runs before main, which the file may define
 * itself.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "exchange.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

/* Of the file's assembler text: functions, then data. */
extern void *const ashcc_table[];

/* Of the table of calls. */
typedef void ashcc_call(const struct differential_value *arguments,
                        struct differential_value *value);
extern ashcc_call *const ashcc_calls[];
extern const unsigned char ashcc_returns_text[];
extern const unsigned long ashcc_sizes[]; /* (entries) bytes of data, 0 of functions */
extern const unsigned char ashcc_is_made[]; /* (entries) data whose values may be a vector's */
extern const int ashcc_entries;

extern char __executable_start, end;

static struct differential_exchange *exchange;
static struct differential_result *result; /* of the call that runs */

/* ---- memory ---- */

static _Alignas(16) unsigned char early[1 << 16];
static unsigned char *heap = early, *heap_at = early;
static size_t heap_room = sizeof early;

static void *take(size_t size)
{
    enum { HEAD = 16 };
    size_t whole = (size + HEAD + 15) & ~(size_t)15;
    size_t left = heap_room - (size_t)(heap_at - heap);
    if (size > left || whole > left)
        return NULL;
    unsigned char *at = heap_at + HEAD;
    memcpy(heap_at, &size, sizeof size);
    heap_at += whole;
    return at;
}

__attribute__((weak)) void *malloc(size_t size)
{
    return take(size);
}

__attribute__((weak)) void free(void *at)
{
    (void)at;
}

__attribute__((weak)) void *calloc(size_t n, size_t size)
{
    size_t whole;
    if (__builtin_mul_overflow(n, size, &whole))
        return NULL;
    unsigned char *at = take(whole);
    for (size_t i = 0; at && i < whole; i++)
        ((volatile unsigned char *)at)[i] = 0; /* a loop that is not made a call of calloc */
    return at;
}

__attribute__((weak)) void *realloc(void *old, size_t size)
{
    unsigned char *at = take(size);
    size_t before = 0;
    if (old)
        memcpy(&before, (unsigned char *)old - 16, sizeof before);
    if (at && old)
        memcpy(at, old, before < size ? before : size);
    return at;
}

static unsigned char *heap_place(void)
{
    return (unsigned char *)DIFFERENTIAL_IMAGE_AT + DIFFERENTIAL_BUFFERS * DIFFERENTIAL_STRIDE;
}

static void map_image(void)
{
    unsigned char *at = (unsigned char *)DIFFERENTIAL_IMAGE_AT;
    size_t bytes = DIFFERENTIAL_BUFFERS * DIFFERENTIAL_STRIDE + DIFFERENTIAL_HEAP;
    void *got = mmap(at, bytes + DIFFERENTIAL_PAGE, PROT_NONE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (got != at)
        _exit(3);
    for (int i = 0; i < DIFFERENTIAL_BUFFERS; i++)
        mprotect(at + i * DIFFERENTIAL_STRIDE, DIFFERENTIAL_PAGE, PROT_READ | PROT_WRITE);
    mprotect(heap_place(), DIFFERENTIAL_HEAP, PROT_READ | PROT_WRITE);
}

/* ---- output ---- */

static ssize_t keep(void *cookie, const char *bytes, size_t n)
{
    (void)cookie;
    for (size_t i = 0; i < n; i++, result->printed++)
        if (result->printed < DIFFERENTIAL_TEXT)
            result->text[result->printed] = bytes[i];
    return (ssize_t)n;
}

static void capture_output(void)
{
    static char buffer[4096];
    FILE *to = fopencookie(NULL, "w", (cookie_io_functions_t){.write = keep});
    if (!to)
        _exit(3);
    setvbuf(to, buffer, _IOFBF, sizeof buffer);
    stdout = to;
}

/* ---- rights ---- */

static int give_up_rights(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof filter / sizeof filter[0], filter};
    struct rlimit none = {0, 0};
    struct itimerval limit = {.it_value = {.tv_sec = exchange->milliseconds / 1000,
                                           .tv_usec = exchange->milliseconds % 1000 * 1000}};
    setrlimit(RLIMIT_CORE, &none);
    setrlimit(RLIMIT_FSIZE, &none);
    setitimer(ITIMER_PROF, &limit, NULL);
    return prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0;
}

/* ---- one call ---- */

/*
 * int ashcc_guarded(call, arguments, value): makes the call with marks in the registers that
 * belong to the caller; not zero: they came back.
 */
int ashcc_guarded(ashcc_call *call, const struct differential_value *arguments,
                  struct differential_value *value);
__asm__(".text\n"
        "ashcc_guarded:\n"
        "    push %rbp\n    push %rbx\n    push %r12\n    push %r13\n    push %r14\n    push %r15\n"
        "    sub $8, %rsp\n"
        "    mov %rdi, %rax\n    mov %rsi, %rdi\n    mov %rdx, %rsi\n"
        "    mov $0x1357, %rbp\n    mov $0x2468, %rbx\n    mov $0x3579, %r12\n"
        "    mov $0x468a, %r13\n    mov $0x579b, %r14\n    mov $0x68ac, %r15\n"
        "    call *%rax\n"
        "    sub $0x1357, %rbp\n    sub $0x2468, %rbx\n    sub $0x3579, %r12\n"
        "    sub $0x468a, %r13\n    sub $0x579b, %r14\n    sub $0x68ac, %r15\n"
        "    or %rbx, %rbp\n    or %r12, %rbp\n    or %r13, %rbp\n    or %r14, %rbp\n"
        "    or %r15, %rbp\n"
        "    xor %eax, %eax\n    test %rbp, %rbp\n    sete %al\n"
        "    add $8, %rsp\n"
        "    pop %r15\n    pop %r14\n    pop %r13\n    pop %r12\n    pop %rbx\n    pop %rbp\n"
        "    ret\n");

/* What a function reads before it has written it shall not be what another program has there. */
static __attribute__((noinline)) void fill_stack(int garbage)
{
    volatile unsigned char area[48 << 10];
    for (size_t i = 0; i < sizeof area; i++)
        area[i] = (unsigned char)(garbage + (int)(i * 7));
}

/* Before a call: the vector's memory, and values of those data that the file leaves zero. */
static void load(const struct differential_input *input, const unsigned char *statics)
{
    unsigned char *at = (unsigned char *)DIFFERENTIAL_IMAGE_AT;
    for (int i = 0; i < ashcc_entries; statics += ashcc_sizes[i++])
        if (ashcc_is_made[i] && exchange->made[input - exchange->inputs])
            memcpy(ashcc_table[i], statics, ashcc_sizes[i]);
    for (int i = 0; i < DIFFERENTIAL_BUFFERS; i++)
        memcpy(at + i * DIFFERENTIAL_STRIDE, input->buffers[i], DIFFERENTIAL_PAGE);
    memset(heap_place(), exchange->garbage, DIFFERENTIAL_HEAP);
    heap = heap_at = heap_place();
    heap_room = DIFFERENTIAL_HEAP;
}

static void save(unsigned char *statics)
{
    unsigned char *at = (unsigned char *)DIFFERENTIAL_IMAGE_AT;
    for (int i = 0; i < DIFFERENTIAL_BUFFERS; i++)
        memcpy(result->buffers[i], at + i * DIFFERENTIAL_STRIDE, DIFFERENTIAL_PAGE);
    result->heap_used = (uint64_t)(heap_at - heap);
    memcpy(result->heap, heap, result->heap_used);
    for (int i = 0; i < ashcc_entries; i++) {
        memcpy(statics, ashcc_table[i], ashcc_sizes[i]);
        statics += ashcc_sizes[i];
    }
}

/* Last of all: the text may have no end, and then the process dies of it. */
static void save_pointed(void)
{
    const char *text;
    memcpy(&text, result->value.bytes, sizeof text);
    if (!ashcc_returns_text[exchange->function] || !text)
        return;
    for (int i = 0; i < DIFFERENTIAL_POINTED && (i == 0 || text[i - 1]); i++)
        result->pointed[i] = text[i];
}

static _Noreturn void run(const struct differential_input *input, unsigned char *statics)
{
    struct differential_value value;
    memset(&value, 0, sizeof value);
    capture_output();
    load(input, statics);
    if (!give_up_rights())
        _exit(4);
    fill_stack(exchange->garbage);
    result->preserved =
        ashcc_guarded(ashcc_calls[exchange->function], input->arguments, &value);
    fflush(stdout);
    result->value = value;
    save(statics);
    result->outcome = DIFFERENTIAL_RETURNED;
    save_pointed();
    syscall(SYS_exit_group, 0);
    __builtin_unreachable();
}

static int outcome_of(int status)
{
    if (!WIFSIGNALED(status))
        return DIFFERENTIAL_DIED;
    switch (WTERMSIG(status)) {
    case SIGILL: case SIGTRAP: return DIFFERENTIAL_TRAPPED;
    case SIGSEGV: case SIGBUS: case SIGFPE: return DIFFERENTIAL_FAULTED;
    case SIGPROF: return DIFFERENTIAL_ENDLESS;
    default: return DIFFERENTIAL_DIED;
    }
}

/* 0: done; else the exit status for a harness that cannot work. */
static int run_one(int i, unsigned char *statics)
{
    int status;
    result = &exchange->results[i];
    result->printed = 0;
    memset(result->pointed, 0, sizeof result->pointed);
    pid_t child = fork();
    if (child == 0)
        run(&exchange->inputs[i], statics);
    if (child < 0 || waitpid(child, &status, 0) != child)
        return 3;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 4)
        return 4;
    if (result->outcome != DIFFERENTIAL_RETURNED)
        result->outcome = outcome_of(status);
    return 0;
}

/* A file that never returns costs a few vectors, not all. */
static int run_batch(unsigned char *statics)
{
    enum { ENDLESS_MOST = 2 };
    size_t bytes = 0;
    int endless = 0, failed = 0;
    for (int i = 0; i < ashcc_entries; i++)
        bytes += ashcc_sizes[i];
    for (int i = 0; i < exchange->n && !failed; i++) {
        exchange->results[i].outcome = DIFFERENTIAL_UNRUN;
        if (exchange->skip[i])
            continue;
        if (endless == ENDLESS_MOST)
            exchange->results[i].outcome = DIFFERENTIAL_ENDLESS;
        else
            failed = run_one(i, statics + bytes * (size_t)i);
        endless += exchange->results[i].outcome == DIFFERENTIAL_ENDLESS;
    }
    return failed;
}

static __attribute__((constructor)) void run_all(int argc, char **argv)
{
    char local;
    size_t bytes = sizeof *exchange + sizeof(uint64_t) * (size_t)ashcc_entries;
    if (argc != 2)
        _exit(2);
    for (int i = 0; i < ashcc_entries; i++)
        bytes += ashcc_sizes[i] * DIFFERENTIAL_BATCH;
    exchange = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, atoi(argv[1]), 0);
    if (exchange == MAP_FAILED)
        _exit(3);
    uint64_t *addresses = (uint64_t *)(exchange + 1);
    for (int i = 0; i < ashcc_entries; i++)
        addresses[i] = (uint64_t)ashcc_table[i];
    exchange->image_begin = (uint64_t)&__executable_start;
    exchange->image_end = (uint64_t)&end;
    exchange->stack_end = (uint64_t)&local + (1 << 20);
    exchange->stack_begin = (uint64_t)&local - (8 << 20);
    map_image();
    _exit(run_batch((unsigned char *)(addresses + ashcc_entries)));
}

__attribute__((weak)) int main(void)
{
    return 0;
}
