/*
 * interrupt.c: Ctrl-C. The first one asks the engine to stop and sets a flag that loops look at; a
 * second one, before interrupt_clear, leaves at once. SIGTERM and SIGHUP are a Ctrl-C that nothing
 * clears: the program ends in order, and KV files go with it. A closed stdout is an error of write,
 * not a signal. The handler is installed without SA_RESTART, so that a read at the prompt returns
 * too.
 */
#include "cli/cli.h"

#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t n_pressed, ended;
static _Atomic(ashlar_engine *) watched;

static void on_interrupt(int number)
{
    if (number != SIGINT)
        ended = 1;
    if (n_pressed) {
        (void)!write(STDERR_FILENO, "\n", 1);
        _exit(ASHLAR_CANCELLED);
    }
    n_pressed = 1;
    ashlar_engine *engine = atomic_load(&watched);
    if (engine)
        ashlar_engine_cancel(engine);
}

void interrupt_install(void)
{
    struct sigaction action;

    memset(&action, 0, sizeof action);
    sigemptyset(&action.sa_mask);
    action.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &action, NULL);
    action.sa_handler = on_interrupt;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
}

void interrupt_watch(ashlar_engine *engine)
{
    atomic_store(&watched, engine);
}

bool interrupt_seen(void)
{
    return n_pressed != 0;
}

void interrupt_clear(void)
{
    n_pressed = ended;
}
