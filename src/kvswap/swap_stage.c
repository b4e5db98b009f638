/*
 * swap_stage.c: write-behind through two buffers: one is filled while the other is on its way. A
 * failed write breaks the sequence that owns it, nobody else.
 */
#include "kvswap/swap.h"

static void finish(struct kv *kv, struct stage *stage)
{
    for (int i = 0; i < stage->n_requests; i++) {
        struct aio_request *r = &stage->requests[i];
        if (stage->submitted)
            aio_wait(kv->aio, r);
        ashlar_error error;
        if (r->error) {
            aio_error(r, kv->sequences[stage->owners[i]].store.path, &error);
            swap_break(kv, stage->owners[i], &error);
        }
        kv->stats.bytes_written += r->done;
    }
    stage->n_groups = stage->n_requests = 0;
    stage->submitted = false;
}

void swap_stage_submit(struct kv *kv)
{
    struct stage *stage = &kv->stages[kv->stage];
    if (stage->n_requests == 0)
        return;
    swap_choice_join(kv);
    stage->submitted = true;
    aio_submit(kv->aio, stage->requests, stage->n_requests);
    kv->stage ^= 1;
    finish(kv, &kv->stages[kv->stage]);
}

void swap_stage_drain(struct kv *kv)
{
    swap_choice_join(kv);
    swap_stage_submit(kv);
    finish(kv, &kv->stages[kv->stage ^ 1]);
}

unsigned char *swap_stage_room(struct kv *kv, int n_groups)
{
    if (kv->stages[kv->stage].n_groups + n_groups > kv->plan.stage_groups)
        swap_stage_submit(kv);
    struct stage *stage = &kv->stages[kv->stage];
    return stage->data + (size_t)stage->n_groups * store_group_bytes(&kv->plan.shape);
}

void swap_stage_write(struct kv *kv, int sequence, int layer, int group, int n, unsigned char *data)
{
    struct stage *stage = &kv->stages[kv->stage];
    struct swap_sequence *s = &kv->sequences[sequence];
    ashlar_error error;
    if (store_write(&s->store, layer, group, n, data,
                    stage->pieces + store_pieces(&s->store.shape, stage->n_groups, false),
                    &stage->requests[stage->n_requests], &error) != ASHLAR_OK) {
        swap_break(kv, sequence, &error);
        return;
    }
    stage->owners[stage->n_requests++] = sequence;
    stage->n_groups += n;
}
