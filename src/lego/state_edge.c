/*
 * state_edge.c: accesses at the border of memory, for state_steer.h. A load that is too wide but
 * whose further bytes nobody uses gives the right result on every state, until one day the bytes
 * behind lie on a page that is not there. So the address of each access through a pointer is solved
 * for the last place of the image, now and then for the first one: what reads a byte more, or
 * stores back what it read there, faults. Others are put beside the multiple of 4 GiB inside the
 * image: an address of which only the lower half or less was computed is wrong there.
 *
 * Accesses inside objects that the block names are left alone: where an object's element is
 * decided by an index, an address at the border would be outside the object, and no C.
 */
#include "lego/state_steer.h"

/** Does the address come from a pointer, and not from an object of the block? */
static bool is_through_pointer(const struct steer_expr *e)
{
    if (!e)
        return true;
    if (e->op == IR_LOAD) /* the address of that pointer is another access's */
        return true;
    return e->op != IR_ADDRESS && is_through_pointer(e->a) && is_through_pointer(e->b) &&
           is_through_pointer(e->c);
}

/** The access of the path that was tried least, of equals any; NULL: all were, often enough. */
static const struct steer_access *choose(const struct steer_path *p, const unsigned char *tried)
{
    const struct steer_access *chosen = NULL;
    int least = STEER_EDGE_ENOUGH;
    uint32_t n = 0;
    for (int i = 0; i < p->n_accesses; i++) {
        const struct steer_access *a = &p->accesses[i];
        int count = tried[a->address - p->program->exprs];
        if (count > least || count == STEER_EDGE_ENOUGH || !is_through_pointer(a->address))
            continue;
        if (count < least)
            n = 0;
        least = count;
        if (rng_below(p->rng, ++n) == 0)
            chosen = a;
    }
    return chosen;
}

/* The path may be another one now, and the access at another time of it, or none. */
static bool is_there(struct steer_path *p, const struct steer_expr *address, int64_t wanted)
{
    struct steer_value v;
    steer_trace(p);
    for (int i = 0; i < p->n_accesses; i++)
        if (p->accesses[i].address == address &&
            steer_evaluate(p, address, p->accesses[i].time, &v) && v.integer == wanted)
            return true;
    return false;
}

int state_edge(const struct steer_program *program, const struct state_layout *l,
               const struct block *block, unsigned char *tried, unsigned char *image,
               struct rng *rng)
{
    struct steer_path p = {
        .program = program, .block = block, .layout = l, .image = image, .rng = rng};
    steer_trace(&p);
    const struct steer_access *a = choose(&p, tried);
    if (!a)
        return -1;
    const struct steer_expr *address = a->address;
    tried[address - program->exprs]++;
    struct steer_value wanted = {.integer = STATE_IMAGE_AT};
    switch (rng_below(rng, 4)) {
    case 0: break;
    case 1:
        if (l->carry) { /* below it, at it, above it: the pointer moves on, or led there */
            wanted.integer += (int64_t)(l->carry + a->size * rng_below(rng, 3) - a->size);
            break;
        } /* fall through */
    default: wanted.integer += (int64_t)(l->size - a->size);
    }
    steer_solve(&p, address, wanted, a->time, 0);
    return is_there(&p, address, wanted.integer) ? (int)(address - program->exprs) : -1;
}
