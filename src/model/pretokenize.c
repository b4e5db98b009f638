/*
 * pretokenize.c: pre-tokenizers as sequences of PCRE2 patterns.
 *
 * A sequence of patterns cuts in stages: the first cuts the text into its matches and the gaps
 * between them, the next cuts each of those pieces on its own (a lookahead sees the piece's end as
 * the end of the text), and so on; what the last stage leaves are the words. The stages are run
 * depth first, so no list of pieces is ever built.
 *
 * Invariants: patterns see only valid UTF-8 (PCRE2's own check is switched off), have no
 * lookbehind, never match the empty string, and need linear time: at every position at most one
 * quantifier can give characters back. Should PCRE2 give up all the same (its match limit), the
 * rest of the piece becomes one word: worse tokens, but every byte is kept.
 */
#include "model/pretokenize.h"

#include "model/utf8.h"

#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

#define MAX_STAGES 5

/* White space as Unicode has it; PCRE2's \s also takes U+180E, which has not been one since 6.3. */
#define WS "\\x{09}-\\x{0d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}" \
           "\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"
#define SPACES "[" WS "]+(?![^" WS "])|[" WS "]+" /* a run leaves its last for the word behind it */
#define CONTRACTION "'(?:[sStTmMdD]|[rR][eE]|[vV][eE]|[lL][lL])"

#define GPT2 "'(?:[stmd]|re|ve|ll)| ?\\p{L}+| ?\\p{N}+| ?[^" WS "\\p{L}\\p{N}]+|" SPACES
/* Llama 3 and its descendants differ in how many digits stand together. */
#define LLAMA3(digits)                                                                       \
    CONTRACTION "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" digits "| ?[^" WS "\\p{L}\\p{N}]+[\\r\\n]*" \
    "|[" WS "]*[\\r\\n]+|" SPACES

struct recipe {
    const char *names; /* as in tokenizer.ggml.pre, with spaces around each */
    struct pretokenizer_traits traits;
    const char *patterns[MAX_STAGES];
};

/*
 * The aliases are models that took a tokenizer over. Where a published pattern ends in
 * "\s+(?!\S)" alone, what it leaves is one piece anyway, so one spelling serves for all.
 */
static const struct recipe recipes[] = {
    {" default ", {false, false},
     {"[\\p{P}$+<=>^~|]+", GPT2, "\\p{N}+", "[0-9][0-9][0-9]"}},
    {" llama-bpe llama3 llama-v3 falcon3 pixtral lfm2 ", {true, true}, {LLAMA3("\\p{N}{1,3}")}},
    {" smaug-bpe dbrx ", {false, false}, {LLAMA3("\\p{N}{1,3}")}},
    {" qwen2 deepseek-r1-qwen megrez stablelm2 ", {false, false}, {LLAMA3("\\p{N}")}},
    {" gpt-2 phi-2 olmo mpt mellum exaone4 ", {false, false}, {GPT2}},
    {" smollm starcoder refact command-r codeshell exaone minerva-7b ", {false, false},
     {"\\p{N}", GPT2}},
    {" deepseek-coder ", {false, false},
     {"[\\r\\n]", "[" WS "]?\\p{L}+", "[" WS "]?\\p{P}+",
      "[\\x{4e00}-\\x{9fa5}\\x{0800}-\\x{4e00}\\x{ac00}-\\x{d7ff}]+", "\\p{N}"}},
    {" tekken ", {true, true},
     {"[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+"
      "|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*"
      "|\\p{N}| ?[^" WS "\\p{L}\\p{N}]+[\\r\\n/]*|[" WS "]*[\\r\\n]+|" SPACES}},
};

struct pretokenizer {
    struct pretokenizer_traits traits;
    int n_stages;
    pcre2_code *stages[MAX_STAGES];
};

struct pretokenize_scratch {
    int n_stages;
    pcre2_match_context *context;
    pcre2_match_data *matches[MAX_STAGES]; /* one a stage: stages are nested */
};

/* ---- making -------------------------------------------------------------------------------- */

/* The key has spaces around it, so that a name is never found inside another. */
static const struct recipe *find_recipe(const char *name, size_t length)
{
    char key[40];

    if (length == 0)
        return &recipes[0];
    if (length + 3 > sizeof key || memchr(name, ' ', length) || memchr(name, 0, length))
        return NULL;
    key[0] = ' ';
    memcpy(key + 1, name, length);
    memcpy(key + 1 + length, " ", 2);
    for (size_t i = 0; i < sizeof recipes / sizeof recipes[0]; i++)
        if (strstr(recipes[i].names, key))
            return &recipes[i];
    return NULL;
}

/* NULL when out of memory: the patterns are ours and compile. */
static pcre2_code *compile(const char *pattern)
{
    int code;
    PCRE2_SIZE offset;
    pcre2_code *compiled = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
                                         PCRE2_UTF | PCRE2_UCP, &code, &offset, NULL);

    /* Without the just-in-time compiler the interpreter does the same, more slowly. */
    if (compiled)
        (void)pcre2_jit_compile(compiled, PCRE2_JIT_COMPLETE);
    return compiled;
}

ashlar_status pretokenizer_new(const char *name, size_t name_length, struct pretokenizer **out,
                               ashlar_error *err)
{
    const struct recipe *recipe = find_recipe(name, name_length);

    *out = NULL;
    if (!recipe) {
        error_set(err, ASHLAR_BAD_INPUT, "tokenizer.ggml.pre: unknown pre-tokenizer '%.*s'",
                  (int)(name_length < 64 ? name_length : 64), name);
        error_hint(err, "known are llama-bpe, qwen2, gpt-2, smollm, starcoder, deepseek-coder, "
                        "tekken, default and their aliases");
        return ASHLAR_BAD_INPUT;
    }
    struct pretokenizer *p = calloc(1, sizeof *p);
    if (!p)
        return error_memory(err, sizeof *p, "pre-tokenizer");
    p->traits = recipe->traits;
    while (p->n_stages < MAX_STAGES && recipe->patterns[p->n_stages]) {
        p->stages[p->n_stages] = compile(recipe->patterns[p->n_stages]);
        if (!p->stages[p->n_stages]) {
            pretokenizer_free(p);
            return error_set(err, ASHLAR_NO_RESOURCE, "cannot compile the pre-tokenizer's pattern");
        }
        p->n_stages++;
    }
    *out = p;
    return ASHLAR_OK;
}

void pretokenizer_free(struct pretokenizer *p)
{
    if (!p)
        return;
    for (int i = 0; i < p->n_stages; i++)
        pcre2_code_free(p->stages[i]);
    free(p);
}

struct pretokenizer_traits pretokenizer_traits(const struct pretokenizer *p)
{
    return p->traits;
}

struct pretokenize_scratch *pretokenize_scratch_new(const struct pretokenizer *p)
{
    struct pretokenize_scratch *scratch = calloc(1, sizeof *scratch);

    if (!scratch)
        return NULL;
    scratch->context = pcre2_match_context_create(NULL);
    bool whole = scratch->context != NULL;
    for (; whole && scratch->n_stages < p->n_stages; scratch->n_stages++) {
        scratch->matches[scratch->n_stages] = pcre2_match_data_create(1, NULL);
        whole = scratch->matches[scratch->n_stages] != NULL;
    }
    if (!whole) {
        pretokenize_scratch_free(scratch);
        return NULL;
    }
    return scratch;
}

void pretokenize_scratch_free(struct pretokenize_scratch *scratch)
{
    if (!scratch)
        return;
    for (int i = 0; i < scratch->n_stages; i++)
        pcre2_match_data_free(scratch->matches[i]);
    pcre2_match_context_free(scratch->context);
    free(scratch);
}

/* ---- cutting ------------------------------------------------------------------------------- */

struct cut {
    const struct pretokenizer *p;
    struct pretokenize_scratch *scratch;
    pretokenize_fn fn;
    void *user;
    bool no_memory; /* PCRE2 could not get any: the cutting fails, unlike at a match limit */
};

/* The next match at or behind `start`. False also when PCRE2 gives up (see the top). */
static bool find_match(struct cut *cut, int stage, const char *text, size_t length,
                       size_t start, size_t *from, size_t *to)
{
    pcre2_match_data *match = cut->scratch->matches[stage];
    int found = pcre2_match(cut->p->stages[stage], (PCRE2_SPTR)text, length, start,
                            PCRE2_NO_UTF_CHECK, match, cut->scratch->context);

    if (found == PCRE2_ERROR_JIT_STACKLIMIT)
        found = pcre2_match(cut->p->stages[stage], (PCRE2_SPTR)text, length, start,
                            PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, match, cut->scratch->context);
    cut->no_memory = found == PCRE2_ERROR_NOMEMORY;
    if (found < 0)
        return false;
    PCRE2_SIZE *ends = pcre2_get_ovector_pointer(match);
    *from = ends[0];
    *to = ends[1];
    return ends[1] > ends[0];
}

/* Cut one piece by the stages from `stage` on; recursion is as deep as there are stages. */
static bool cut_piece(struct cut *cut, int stage, const char *text, size_t length)
{
    size_t done = 0, from, to;

    if (length == 0)
        return true;
    if (stage == cut->p->n_stages)
        return cut->fn(cut->user, text, length);
    while (done < length && find_match(cut, stage, text, length, done, &from, &to)) {
        if (!cut_piece(cut, stage + 1, text + done, from - done) ||
            !cut_piece(cut, stage + 1, text + from, to - from))
            return false;
        done = to;
    }
    if (cut->no_memory)
        return false;
    return cut_piece(cut, stage + 1, text + done, length - done);
}

/* Proportional to the text, so that the limit stops runaways and nothing else. */
static void set_match_limit(struct pretokenize_scratch *scratch, size_t length)
{
    uint64_t limit = 100000 + 16 * (uint64_t)length;

    pcre2_set_match_limit(scratch->context, limit < UINT32_MAX ? (uint32_t)limit : UINT32_MAX);
}

bool pretokenize(const struct pretokenizer *p, struct pretokenize_scratch *scratch,
                 const char *text, size_t length, pretokenize_fn fn, void *user)
{
    struct cut cut = {p, scratch, fn, user, false};

    set_match_limit(scratch, length);
    while (length > 0) {
        size_t valid = utf8_valid_prefix(text, length);
        if (!cut_piece(&cut, 0, text, valid))
            return false;
        size_t invalid = utf8_invalid_prefix(text + valid, length - valid);
        for (size_t i = 0; i < invalid; i++)
            if (!fn(user, text + valid + i, 1))
                return false;
        text += valid + invalid;
        length -= valid + invalid;
    }
    return true;
}
