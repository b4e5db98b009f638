/* model_params.h: reading hyperparameters from a GGUF file's keys; used by model.c alone. */
#ifndef MODEL_MODEL_PARAMS_H
#define MODEL_MODEL_PARAMS_H

#include "model/model.h"

/**
 * Fill p from the keys of g, every value inside sane limits. n_vocab is 0 when no key tells it
 * (then the embedding's rows do). Errors: BAD_INPUT naming the key.
 */
ashlar_status model_params_read(const struct gguf *g, struct model_params *p, ashlar_error *err);

#endif
