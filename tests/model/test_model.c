/*
 * test_model.c: binding a model's tensors: hyperparameters and their defaults, and what is refused
 * by name: architectures, shapes, types, missing and left-over tensors.
 */
#include "model/model.h"

#include "gguf_bytes.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static ashlar_status open_spec(const struct model_spec *spec, struct bytes *y, struct model **m,
                               ashlar_error *err)
{
    bytes_model(y, spec);
    return model_open_memory(y->b.data, y->b.length, "m.gguf", m, err);
}

static struct model *open_ok(const struct model_spec *spec, struct bytes *y)
{
    struct model *m;
    ashlar_error err;
    if (open_spec(spec, y, &m, &err) != ASHLAR_OK)
        fail_msg("%s", err.message);
    return m;
}

static void close_ok(struct model *m, struct bytes *y)
{
    model_close(m);
    bytes_fini(y);
}

static void check_refused(const struct model_spec *spec, const char *words)
{
    struct bytes y;
    struct model *m;
    ashlar_error err = {0};
    ashlar_status s = open_spec(spec, &y, &m, &err);
    assert_null(m);
    if (s != ASHLAR_BAD_INPUT || !strstr(err.message, words))
        fail_msg("status %d, message \"%s\", wanted \"%s\"", (int)s, err.message, words);
    bytes_fini(&y);
}

/* ---- what is read -------------------------------------------------------------------------- */

static void test_llama(void **state)
{
    struct bytes y;
    struct model_spec spec = {0};
    struct model *m = open_ok(&spec, &y);
    const struct model_params *p = &m->params;
    (void)state;
    assert_int_equal(p->arch, MODEL_LLAMA);
    assert_string_equal(p->arch_name, "llama");
    assert_string_equal(p->name, "small");
    assert_int_equal(p->n_layer, 1);
    assert_int_equal(p->n_embd, 32);
    assert_int_equal(p->n_head, 2);
    assert_int_equal(p->n_head_kv, 1);
    assert_int_equal(p->head_dim, 16);
    assert_int_equal(p->n_ff, 64);
    assert_int_equal(p->n_vocab, 10);
    assert_int_equal(p->n_ctx_train, 64);
    assert_false(p->rope_neox);
    assert_int_equal(m->layers[0].wk.n_rows, 16);
    assert_int_equal(m->layers[0].w_down.n_cols, 64);
    assert_string_equal(m->layers[0].w_down.name, "blk.0.ffn_down.weight");
    assert_null(m->layers[0].bq.data);
    assert_null(m->layers[0].q_norm.data);
    assert_ptr_not_equal(m->output.data, m->token_embd.data);
    close_ok(m, &y);
}

static void test_defaults(void **state)
{
    struct bytes y;
    struct model_spec spec = {.drop_key = "rope.dimension_count"};
    struct model *m = open_ok(&spec, &y);
    const struct model_params *p = &m->params;
    (void)state;
    assert_int_equal(p->rope_dims, 16);
    assert_true(p->rope_base == 10000);
    assert_int_equal(p->rope_scaling, ROPE_NONE);
    assert_true(p->rope_factor == 1);
    assert_int_equal(p->rope_ctx_orig, 64);
    assert_true(p->yarn_ext_factor == 0 && p->yarn_attn_factor == 1);
    assert_true(p->yarn_beta_fast == 32 && p->yarn_beta_slow == 1);
    close_ok(m, &y);
}

static void test_tied_output_is_the_embedding(void **state)
{
    struct bytes y, untied;
    struct model_spec spec = {.tied = true}, other = {0};
    struct model *m = open_ok(&spec, &y), *n = open_ok(&other, &untied);
    (void)state;
    assert_ptr_equal(m->output.data, m->token_embd.data);
    assert_int_equal(m->output.n_rows, 10);
    assert_int_equal(m->n_tensors, 11);
    assert_int_equal(m->weights_bytes + 10 * 32 * 4, n->weights_bytes);
    close_ok(m, &y);
    close_ok(n, &untied);
}

static void test_qwen2_has_biases(void **state)
{
    struct bytes y;
    struct model_spec spec = {.arch = "qwen2", .biases = true};
    struct model *m = open_ok(&spec, &y);
    (void)state;
    assert_int_equal(m->params.arch, MODEL_QWEN2);
    assert_true(m->params.rope_neox);
    assert_int_equal(m->layers[0].bq.n_cols, 32);
    assert_non_null(m->layers[0].bv.data);
    close_ok(m, &y);
}

static void test_qwen3_has_head_norms(void **state)
{
    struct bytes y;
    struct model_spec spec = {.arch = "qwen3", .tied = true};
    struct model *m = open_ok(&spec, &y);
    (void)state;
    assert_int_equal(m->params.arch, MODEL_QWEN3);
    assert_int_equal(m->layers[0].k_norm.n_cols, 16);
    close_ok(m, &y);
}

static void test_quantised_rows(void **state)
{
    struct bytes y;
    struct model_spec spec = {.matrices_q8 = true};
    struct model *m = open_ok(&spec, &y);
    (void)state;
    assert_int_equal(m->layers[0].w_down.type, TENSOR_Q8_0);
    assert_int_equal(m->layers[0].w_down.row_bytes, 68);
    close_ok(m, &y);
}

static void test_yarn(void **state)
{
    struct bytes y;
    struct model_spec spec = {.string_key = "rope.scaling.type", .string_value = "yarn",
                              .float_key = "rope.scaling.factor", .float_value = 4,
                              .key = "rope.scaling.original_context_length", .value = 16};
    struct model *m = open_ok(&spec, &y);
    (void)state;
    assert_int_equal(m->params.rope_scaling, ROPE_YARN);
    assert_true(m->params.rope_factor == 4);
    assert_int_equal(m->params.rope_ctx_orig, 16);
    assert_true(m->params.yarn_ext_factor == 1);
    close_ok(m, &y);
}

static void test_linear_scaling_old_and_new(void **state)
{
    static const char *const keys[] = {"rope.scale_linear", "rope.scaling.factor"};
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct bytes y;
        struct model_spec spec = {.float_key = keys[i], .float_value = 2};
        struct model *m = open_ok(&spec, &y);
        assert_int_equal(m->params.rope_scaling, ROPE_LINEAR);
        assert_true(m->params.rope_factor == 2);
        close_ok(m, &y);
    }
}

static void test_scaling_none_ignores_the_factor(void **state)
{
    struct bytes y;
    struct model_spec spec = {.string_key = "rope.scaling.type", .string_value = "none",
                              .float_key = "rope.scaling.factor", .float_value = 4};
    struct model *m = open_ok(&spec, &y);
    (void)state;
    assert_int_equal(m->params.rope_scaling, ROPE_NONE);
    assert_true(m->params.rope_factor == 1);
    close_ok(m, &y);
}

/* ---- what is refused ----------------------------------------------------------------------- */

static void test_architectures(void **state)
{
    (void)state;
    check_refused(&(struct model_spec){.arch = "gemma"},
                  "m.gguf: key general.architecture: \"gemma\" is not supported");
    check_refused(&(struct model_spec){.arch = "llam"}, "\"llam\" is not supported");
    check_refused(&(struct model_spec){.arch = ""}, "\"\" is not supported");
}

static void test_missing_keys(void **state)
{
    static const char *const keys[] = {
        "block_count", "context_length", "embedding_length", "feed_forward_length",
        "attention.head_count", "attention.layer_norm_rms_epsilon",
    };
    (void)state;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        char words[96];
        snprintf(words, sizeof words, "key llama.%s: missing", keys[i]);
        check_refused(&(struct model_spec){.drop_key = keys[i]}, words);
    }
}

static void test_values_out_of_range(void **state)
{
    static const struct {
        const char *key;
        uint32_t value;
    } cases[] = {
        {"block_count", 0}, {"block_count", 1025}, {"embedding_length", 0},
        {"embedding_length", UINT32_MAX}, {"feed_forward_length", 0}, {"context_length", 0},
        {"attention.head_count", 0}, {"attention.head_count", 3}, {"attention.head_count_kv", 0},
        {"attention.head_count_kv", 4}, {"attention.key_length", 15}, {"attention.key_length", 514},
        {"attention.value_length", 8}, {"rope.dimension_count", 18}, {"rope.dimension_count", 7},
        {"expert_count", 8},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check_refused(&(struct model_spec){.key = cases[i].key, .value = cases[i].value},
                      cases[i].key);
}

static void test_vocabulary_size_must_match_the_embedding(void **state)
{
    (void)state;
    check_refused(&(struct model_spec){.key = "vocab_size", .value = 11},
                  "tensor token_embd.weight: 10 rows of 32 values where 11 of 32 are wanted");
}

static void test_floats_out_of_range(void **state)
{
    static const struct {
        const char *key;
        float value;
    } cases[] = {
        {"attention.layer_norm_rms_epsilon", -1}, {"attention.layer_norm_rms_epsilon", NAN},
        {"rope.freq_base", 0}, {"rope.freq_base", INFINITY}, {"rope.scaling.factor", 0.5f},
        {"rope.scaling.factor", -4}, {"rope.scaling.yarn_log_multiplier", 0.1f},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check_refused(
            &(struct model_spec){.float_key = cases[i].key, .float_value = cases[i].value},
            cases[i].key);
}

static void test_unknown_rope_scaling(void **state)
{
    (void)state;
    check_refused(
        &(struct model_spec){.string_key = "rope.scaling.type", .string_value = "longrope"},
        "key llama.rope.scaling.type: \"longrope\" is not supported");
}

static void test_missing_tensors(void **state)
{
    static const char *const names[] = {
        "token_embd.weight", "output_norm.weight", "blk.0.attn_q.weight", "blk.0.ffn_down.weight",
        "blk.0.attn_norm.weight",
    };
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char words[96];
        snprintf(words, sizeof words, "m.gguf: tensor %s: missing", names[i]);
        check_refused(&(struct model_spec){.drop_tensor = names[i]}, words);
    }
    check_refused(&(struct model_spec){.arch = "qwen3", .drop_tensor = "blk.0.attn_q_norm.weight"},
                  "blk.0.attn_q_norm.weight: missing");
    check_refused(&(struct model_spec){.key = "block_count", .value = 2},
                  "blk.1.attn_norm.weight: missing");
}

static void test_left_over_tensors(void **state)
{
    static const char *const names[] = {
        "blk.0.ffn_gate_exps.weight", "blk.0.attn_qkv.weight", "blk.1.attn_norm.weight",
        "blk.0.attn_q_norm.weight", "blk.0.attn_output.bias", "cls.output.weight",
    };
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char words[96];
        snprintf(words, sizeof words, "tensor %s: is not part of a dense llama model", names[i]);
        check_refused(&(struct model_spec){.extra_tensor = names[i]}, words);
    }
    check_refused(&(struct model_spec){.arch = "qwen2", .extra_tensor = "rope_freqs.weight"},
                  "tensor rope_freqs.weight: is not part");
}

static void test_wrong_shapes(void **state)
{
    (void)state;
    check_refused(
        &(struct model_spec){.tensor = "blk.0.attn_k.weight", .rows = 32, .type = TENSOR_F32},
        "tensor blk.0.attn_k.weight: 32 rows of 32 values where 16 of 32 are wanted");
    check_refused(
        &(struct model_spec){.tensor = "output.weight", .rows = 11, .type = TENSOR_F32},
        "tensor output.weight: ");
    check_refused(
        &(struct model_spec){.tensor = "output_norm.weight", .cols = 64, .type = TENSOR_F32},
        "tensor output_norm.weight: ");
    check_refused(
        &(struct model_spec){.tensor = "blk.0.attn_norm.weight", .rows = 2, .type = TENSOR_F32},
        "tensor blk.0.attn_norm.weight: ");
}

static void test_wrong_types(void **state)
{
    (void)state;
    check_refused(&(struct model_spec){.tensor = "blk.0.ffn_up.weight", .type = 20, .cols = 32},
                  "tensor blk.0.ffn_up.weight: type IQ4_NL is not supported");
    check_refused(&(struct model_spec){.tensor = "blk.0.ffn_up.weight", .type = 99},
                  "tensor blk.0.ffn_up.weight: type type 99");
    check_refused(&(struct model_spec){.tensor = "blk.0.ffn_norm.weight", .type = TENSOR_F16},
                  "tensor blk.0.ffn_norm.weight: type F16 where F32 is wanted");
}

static void test_vocabulary_file_gets_a_hint(void **state)
{
    struct bytes y;
    struct model *m;
    ashlar_error err = {0};
    struct model_spec spec = {0};
    (void)state;
    bytes_model(&y, &spec);
    memset(y.b.data + 8, 0, 8); /* no tensors */
    assert_int_equal(model_open_memory(y.b.data, y.b.length, "m", &m, &err), ASHLAR_BAD_INPUT);
    assert_non_null(strstr(err.hint, "vocabulary"));
    bytes_fini(&y);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_llama),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_tied_output_is_the_embedding),
        cmocka_unit_test(test_qwen2_has_biases),
        cmocka_unit_test(test_qwen3_has_head_norms),
        cmocka_unit_test(test_quantised_rows),
        cmocka_unit_test(test_yarn),
        cmocka_unit_test(test_linear_scaling_old_and_new),
        cmocka_unit_test(test_scaling_none_ignores_the_factor),
        cmocka_unit_test(test_architectures),
        cmocka_unit_test(test_missing_keys),
        cmocka_unit_test(test_values_out_of_range),
        cmocka_unit_test(test_vocabulary_size_must_match_the_embedding),
        cmocka_unit_test(test_floats_out_of_range),
        cmocka_unit_test(test_unknown_rope_scaling),
        cmocka_unit_test(test_missing_tensors),
        cmocka_unit_test(test_left_over_tensors),
        cmocka_unit_test(test_wrong_shapes),
        cmocka_unit_test(test_wrong_types),
        cmocka_unit_test(test_vocabulary_file_gets_a_hint),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
