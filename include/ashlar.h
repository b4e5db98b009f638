/*
 * ashlar.h: run language models (GGUF) on the CPU.
 *
 * Two nouns: an engine (one model, its threads, its kernels, its KV memory) and a session (one
 * sequence of tokens inside an engine). Everything else is data passed between them.
 *
 * Threading: an engine and its sessions are used by one thread at a time; the engine runs its own
 * worker threads inside a call. ashlar_engine_cancel may be called from any thread or signal
 * handler at any time.
 *
 * Errors: fallible calls return an ashlar_status and, when `err` is not NULL, fill it. The library
 * never prints and never exits. Arguments are borrowed for the duration of the call.
 */
#ifndef ASHLAR_H
#define ASHLAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ASHLAR_VERSION "0.1.0"

/* ---- status and errors --------------------------------------------------------------------- */

/** What a call came to. The values are the exit codes of the programs. */
typedef enum ashlar_status {
    ASHLAR_OK = 0,
    ASHLAR_FAILED = 1,       /**< the system refused something (I/O, threads) */
    ASHLAR_USAGE = 2,        /**< a wrong option or argument: the caller's mistake */
    ASHLAR_BAD_INPUT = 3,    /**< a file's or text's contents are not acceptable */
    ASHLAR_NO_RESOURCE = 4,  /**< out of memory, context, disk or sessions */
    ASHLAR_CANCELLED = 130,  /**< ashlar_engine_cancel, or the progress callback said stop */
} ashlar_status;

/** A failure in words: "file: tensor x: what", one line without newline; hint may be empty. */
typedef struct ashlar_error {
    ashlar_status status;
    char message[512];
    char hint[256];
} ashlar_error;

/* ---- callbacks ----------------------------------------------------------------------------- */

typedef enum ashlar_log_level {
    ASHLAR_LOG_DEBUG,
    ASHLAR_LOG_INFO,
    ASHLAR_LOG_WARN
} ashlar_log_level;

/** Receives one line of text without newline; called on the thread that called the library. */
typedef void (*ashlar_log_fn)(void *user, ashlar_log_level level, const char *line);

/** Progress of a long step ("load", "prefill"); return false to cancel. */
typedef bool (*ashlar_progress_fn)(void *user, const char *what, uint64_t done, uint64_t total);

/* ---- the KV cache -------------------------------------------------------------------------- */

/**
 * Where keys and values live and which of them a step attends to (docs/design.md, "The KV cache").
 * All zero: "auto". Sizes in tokens are rounded up to whole groups; 0 lets the engine choose.
 */
typedef struct ashlar_kv_options {
    const char *policy;      /**< "auto", "full", "stream", "kvswap"; NULL = auto */
    const char *type;        /**< of keys and values: "f16", "q8_0", "q4_0"; NULL = f16 */
    uint64_t budget_bytes;   /**< most resident bytes of all sessions, all counted; 0 = none */
    double budget_fraction;  /**< the same as a share of the full F16 cache; 0 = none */
    const char *folder;      /**< for KV files; NULL = $TMPDIR, else /var/tmp */
    uint64_t quota_bytes;    /**< most bytes on disk per session; 0 = none */
    const char *io;          /**< "io_uring" or "threads"; NULL = the best that works */
    uint64_t io_rate;        /**< slow the disk down to bytes per second, for experiments; 0 = no */
    double io_latency;       /**< each transfer takes at least these seconds; 0 = no */
    int group_tokens;        /**< G: tokens of one read: 4, 8, 16, 32 or 64 */
    int select_tokens;       /**< M * G: tokens attended besides the recent ones (400) */
    int reuse_tokens;        /**< C * G: tokens kept in memory; default: what the budget allows */
    int recent_tokens;       /**< newest tokens always attended (32) */
    const char *metadata; /**< what predicts, in memory: "int8", "int4", "f16"; NULL = int8, or int4
                             where the budget wants it */
    int sigma;            /**< keys' width / rank of the metadata (8); ranks below 32 are raised */
    int rank; /**< the rank itself; 0 = by sigma. The mean of all layers where the adapter's
                   file says which of them need more */
    const char *layer_ranks; /**< "N,N,...": a rank for each layer, the last for all that follow; a
                                layer of rank 0 attends to the first and the newest groups; NULL =
                                as the adapter's file suggests, or the same rank */
    const char *scoring;  /**< queries that score: "mean" of all heads (NULL), or each "head" for
                             itself */
    float mass;              /**< adaptive: select up to this predicted mass; 0 = fixed */
    const char *adapter; /**< file of ashlar_calibration_write, "none" to fit to the prompt; NULL:
                            the file MODEL.adapter.gguf beside MODEL.gguf where there is one */
    uint64_t made_for; /**< fingerprint of the model that these settings were chosen for: another is
                            refused (BAD_INPUT); 0 = any */
    int check_every;         /**< measure recall in every Nth pass (slow); 0 = never */
} ashlar_kv_options;

/* ---- options and the memory estimate ------------------------------------------------------- */

/** How an engine is opened. Initialise with ashlar_options_init, then change fields. */
typedef struct ashlar_options {
    int n_threads;       /**< worker threads including the caller; 0 = one per available core */
    int n_ctx;           /**< tokens a session can hold; 0 = the model's training length */
    int n_sessions;      /**< sessions that can be open at once (default 1) */
    int n_batch;         /**< most tokens evaluated in one pass; prompts are cut to this (512) */
    const char *isa;     /**< "scalar", "avx2", "avx512", "amx", "neon"; NULL = the best */
    ashlar_kv_options kv;
    bool map_weights;    /**< keep weights in the file mapping instead of huge-page memory */
    ashlar_log_fn log;
    void *log_user;
    ashlar_progress_fn progress;
    void *progress_user;
} ashlar_options;

void ashlar_options_init(ashlar_options *options);

/** Bytes an engine will hold resident. */
typedef struct ashlar_memory {
    uint64_t weights_bytes;
    uint64_t kv_bytes;          /**< resident, all sessions at full length */
    uint64_t activation_bytes;  /**< scratch of one pass of n_batch tokens, logits included */
    uint64_t total_bytes;
} ashlar_memory;

/**
 * Estimate the memory an engine would take, from the file's header alone.
 * Errors: as ashlar_engine_open, except that nothing large is allocated.
 */
ashlar_status ashlar_memory_estimate(const char *path, const ashlar_options *options,
                                     ashlar_memory *out, ashlar_error *err);

/* ---- engine -------------------------------------------------------------------------------- */

typedef struct ashlar_engine ashlar_engine;
typedef struct ashlar_session ashlar_session;

/** Facts about an open model; strings belong to the engine. */
typedef struct ashlar_model_info {
    const char *architecture;   /**< "llama", "qwen2", "qwen3" */
    const char *name;           /**< general.name or "" */
    const char *kernels;        /**< kernel set in use */
    int n_layer, n_embd, n_head, n_head_kv, head_dim, n_ff, n_vocab;
    int n_ctx_train;
    int n_ctx;                  /**< tokens a session of this engine can hold */
    int n_threads;
    int32_t bos, eos;           /**< -1 when the model has none */
    bool add_bos;               /**< the tokenizer asks for BOS before text */
    const char *chat_template;  /**< name of the recognised family, or NULL */
    ashlar_memory memory;       /**< as allocated */
} ashlar_model_info;

/**
 * Open a GGUF model. On success *out owns everything until ashlar_engine_close.
 * Errors: BAD_INPUT (not a valid or supported model; the message names tensor or key and offset),
 * NO_RESOURCE (memory), FAILED (I/O), USAGE (an option out of range), CANCELLED (progress said
 * stop). After a failure *out is NULL and nothing is left open.
 */
ashlar_status ashlar_engine_open(const char *path, const ashlar_options *options,
                                 ashlar_engine **out, ashlar_error *err);

/** Close the engine; all its sessions must be closed before. Accepts NULL. */
void ashlar_engine_close(ashlar_engine *engine);

const ashlar_model_info *ashlar_engine_info(const ashlar_engine *engine);

/**
 * Where the resident bytes of a KV cache on disk are: all sessions, at full length. All 0 for
 * "full".
 */
typedef struct ashlar_kv_memory {
    uint64_t metadata;  /**< what predicts */
    uint64_t adapters;  /**< between keys and metadata, and what fitting them to a prompt takes */
    uint64_t reuse;     /**< groups kept in memory */
    uint64_t recent;    /**< newest tokens */
    uint64_t windows;   /**< earlier groups passing by a prompt */
    uint64_t chunk;     /**< a pass's own keys and values */
    uint64_t stages;    /**< groups being written */
    uint64_t checksums;
    uint64_t other;     /**< bookkeeping, scratch */
} ashlar_kv_memory;

/** What the KV cache did since the engine was opened. Strings belong to the engine. */
typedef struct ashlar_kv_stats {
    const char *policy;             /**< in use: "full", "stream", "kvswap" */
    const char *io;                 /**< "io_uring" or "threads"; NULL when nothing goes to disk */
    uint64_t resident_bytes;        /**< all sessions at full length, everything counted */
    uint64_t disk_bytes;            /**< in KV files now */
    uint64_t bytes_read, bytes_written, reads;
    uint64_t hits, misses;          /**< selected groups found in memory, and not */
    const char *adapter;            /**< the file in use; NULL: fitted to the prompt, or none */
    double predict_seconds;         /**< choosing groups */
    double wait_seconds;            /**< waiting for reads */
    double attention_seconds;       /**< attending to keys that are in memory */
    int group_tokens, select_tokens, reuse_tokens; /**< as chosen; 0 where they mean nothing */
    int rank;                       /**< the largest of all layers; 0: no metadata */
    const char *metadata;           /**< type of what predicts; NULL where nothing does */
    ashlar_kv_memory memory;        /**< of resident_bytes */
    bool buffered;                  /**< a KV file goes through the page cache: no O_DIRECT there */
    const int *ranks;               /**< (n_layer) of the metadata; the engine's; NULL: none */
} ashlar_kv_stats;

void ashlar_engine_kv_stats(const ashlar_engine *engine, ashlar_kv_stats *out);

/**
 * The share of the true attention (softmax over all keys, averaged over heads) that the attended
 * keys held, over the steps that were checked (ashlar_kv_options.check_every).
 */
typedef struct ashlar_kv_recall {
    uint64_t steps;
    double mean, least;
} ashlar_kv_recall;

/** The recall of one layer; false when the layer does not exist or no step of it was checked. */
bool ashlar_engine_kv_recall(const ashlar_engine *engine, int layer, ashlar_kv_recall *out);

/** What an adapter file was fitted to, and how well: `rank` of `width` directions. */
typedef struct ashlar_calibration {
    uint64_t tokens;
    int rank, width;
    /** Share of the mean square of query . key that it keeps, over layers. */
    double energy_mean, energy_least;
} ashlar_calibration;

/**
 * Gather the keys of all tokens evaluated from now on (width * width floats per layer, width = KV
 * heads x head_dim), and as a sample those of the first long sequence (at most 8,192 * width more).
 * A second call starts anew. Errors: NO_RESOURCE.
 */
ashlar_status ashlar_calibration_begin(ashlar_engine *engine, ashlar_error *err);

/**
 * Fit what kvswap predicts with to the keys gathered and write it to `path` (GGUF;
 * kvswap/adapter_file.h), of rank width / sigma (0: 8), with a table of how much attention each
 * layer catches at each rank. Errors: USAGE (no tokens were evaluated), FAILED, NO_RESOURCE.
 */
ashlar_status ashlar_calibration_write(ashlar_engine *engine, const char *path, int sigma,
                                       ashlar_calibration *out, ashlar_error *err);

/**
 * Ask the running (or else the next) evaluation to stop soon with ASHLAR_CANCELLED.
 * Async-signal-safe. The evaluation that stops clears the request; the sessions stay usable at
 * their last whole state.
 */
void ashlar_engine_cancel(ashlar_engine *engine);

/* ---- text ---------------------------------------------------------------------------------- */

enum {
    ASHLAR_ADD_SPECIAL = 1,   /**< add BOS/EOS as the model's metadata asks */
    ASHLAR_PARSE_SPECIAL = 2, /**< recognise control tokens such as <|im_end|> in the text */
};

/**
 * Turn `length` bytes of UTF-8 (invalid bytes allowed) into tokens.
 * Writes at most `capacity` ids to `tokens` and the needed number to *n_tokens, so a first call
 * with capacity 0 measures. Errors: NO_RESOURCE. More than `capacity` is not an error.
 */
ashlar_status ashlar_tokenize(const ashlar_engine *engine, const char *text, size_t length,
                              unsigned flags, int32_t *tokens, size_t capacity, size_t *n_tokens,
                              ashlar_error *err);

/**
 * The raw bytes of one token (not terminated; they may be part of a UTF-8 character); the pointer
 * belongs to the engine. Control tokens give length 0 unless `special`.
 */
const char *ashlar_token_piece(const ashlar_engine *engine, int32_t token, bool special,
                               size_t *length);

/** True for tokens that end a generation (EOS, EOT, <|im_end|>, ...). */
bool ashlar_token_is_end(const ashlar_engine *engine, int32_t token);

/** Holds back the bytes of an unfinished UTF-8 character between tokens. Zero-initialise. */
typedef struct ashlar_utf8_stream {
    unsigned char pending[4];
    int n_pending;
} ashlar_utf8_stream;

/**
 * Add `length` bytes; write the bytes that form whole characters to `out`, which must have room for
 * length + 4, and return how many. Bytes that can never be part of a character pass unchanged.
 * A call with length 0 flushes what is pending.
 */
size_t ashlar_utf8_push(ashlar_utf8_stream *stream, const char *bytes, size_t length, char *out);

typedef struct ashlar_message {
    const char *role;     /**< "system", "user" or "assistant" */
    const char *content;  /**< NUL-terminated UTF-8 */
} ashlar_message;

enum {
    ASHLAR_CHAT_PROMPT = 1,      /**< end with the header of the assistant's turn */
    ASHLAR_CHAT_NO_THINKING = 2, /**< models with a thinking mode: switch it off */
};

/**
 * Render a conversation with the model's chat template into tokens: markers as control tokens,
 * contents as plain text (a marker typed by a user stays text). Capacity as ashlar_tokenize.
 * Errors: BAD_INPUT (the model has no template, or one of an unknown family; an unknown role).
 */
ashlar_status ashlar_chat_tokenize(const ashlar_engine *engine, const ashlar_message *messages,
                                   size_t n_messages, unsigned flags, int32_t *tokens,
                                   size_t capacity, size_t *n_tokens, ashlar_error *err);

/* ---- sessions ------------------------------------------------------------------------------ */

/** Open an empty session. Errors: NO_RESOURCE when n_sessions are open. */
ashlar_status ashlar_session_open(ashlar_engine *engine, ashlar_session **out, ashlar_error *err);

/** Close a session and give its KV memory back. Accepts NULL. */
void ashlar_session_close(ashlar_session *session);

/** Number of tokens in the session. */
size_t ashlar_session_length(const ashlar_session *session);

/** The tokens of the session, (ashlar_session_length) ids; valid until the session changes. */
const int32_t *ashlar_session_tokens(const ashlar_session *session);

/** Append tokens and evaluate them: ashlar_batch_eval with one item. */
ashlar_status ashlar_session_append(ashlar_session *session, const int32_t *tokens, size_t n_tokens,
                                    ashlar_error *err);

/**
 * Logits (n_vocab) of the last appended token; owned by the session, valid until it changes.
 * NULL when there are none (empty, or after a rewind to a shorter length).
 */
const float *ashlar_session_logits(const ashlar_session *session);

/** Forget all tokens from position `length` on. Errors: USAGE when longer than the session. */
ashlar_status ashlar_session_rewind(ashlar_session *session, size_t length, ashlar_error *err);

/**
 * For benchmarks: append n_tokens random tokens without evaluating them. Their keys and values are
 * drawn from the seed, in about the shape of real ones; the text means nothing and there are no
 * logits. The same seed and positions give the same bits under every KV policy. Errors: NO_RESOURCE
 * (context full, checked before any work; memory), CANCELLED, and what the KV cache's disk may
 * refuse; the session then keeps the tokens that were wholly added.
 */
ashlar_status ashlar_session_fill(ashlar_session *session, size_t n_tokens, uint64_t seed,
                                  ashlar_error *err);

/** One sequence's share of a batch. */
typedef struct ashlar_batch_item {
    ashlar_session *session;
    const int32_t *tokens;  /**< (n_tokens) ids to append */
    size_t n_tokens;        /**< at least 1; items may differ in length */
    ashlar_status status;   /**< out: what became of this item */
} ashlar_batch_item;

/**
 * Append tokens to several sessions of one engine and evaluate them together (continuous batching).
 * Sessions must be distinct. Prompts longer than n_batch are cut into passes.
 * Errors: USAGE (an id out of range, a session twice), NO_RESOURCE (context full: checked before
 * any work), CANCELLED. After an error every session keeps the tokens that were wholly evaluated
 * (see ashlar_session_length); logits are valid only for items whose status is OK.
 */
ashlar_status ashlar_batch_eval(ashlar_engine *engine, ashlar_batch_item *items, size_t n_items,
                                ashlar_error *err);

/* ---- sampling ------------------------------------------------------------------------------ */

typedef struct ashlar_sampler ashlar_sampler;

/** Initialise with ashlar_sampler_options_init: greedy. Filters apply in the order listed. */
typedef struct ashlar_sampler_options {
    float repeat_penalty;  /**< > 1 discourages the last repeat_last tokens; 1 = off */
    int repeat_last;       /**< window of the penalty, in tokens (64) */
    int top_k;             /**< keep the k likeliest; 0 = all */
    float top_p;           /**< keep the smallest set with this mass; 1 = all */
    float min_p;           /**< drop tokens below min_p times the likeliest; 0 = none */
    float temperature;     /**< 0 = greedy */
    uint64_t seed;
} ashlar_sampler_options;

void ashlar_sampler_options_init(ashlar_sampler_options *options);

/** Errors: USAGE (an option out of range), NO_RESOURCE. All memory is taken here. */
ashlar_status ashlar_sampler_new(const ashlar_engine *engine, const ashlar_sampler_options *options,
                                 ashlar_sampler **out, ashlar_error *err);
void ashlar_sampler_free(ashlar_sampler *sampler);

/** Choose a token from logits (n_vocab, not changed). Equal logits: the lowest id. */
int32_t ashlar_sampler_sample(ashlar_sampler *sampler, const float *logits);

/** Tell the sampler which token was taken (for the repeat penalty). */
void ashlar_sampler_accept(ashlar_sampler *sampler, int32_t token);

#ifdef __cplusplus
}
#endif
#endif
