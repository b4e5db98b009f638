/*
 * chat_family.h: how each family of chat templates writes a conversation, as data. For
 * src/model/chat*.c only.
 */
#ifndef MODEL_CHAT_FAMILY_H
#define MODEL_CHAT_FAMILY_H

#include "model/chat.h"

enum chat_trim { TRIM_NOTHING, TRIM_ANSWERS, TRIM_ALL };

struct chat_around {
    const char *before, *after;
};

struct chat_style {
    const char *name;
    struct chat_around system, user, answer;
    const char *again;        /* before every user turn but the first; only with system_in_user */
    const char *prompt;       /* opens the assistant's turn */
    const char *think;        /* follows the prompt; NULL: the family does not think */
    const char *do_not_think; /* follows the prompt instead, with ASHLAR_CHAT_NO_THINKING */
    bool system_in_user;      /* the system's text stands inside the first user turn, */
                              /* and user and assistant must take turns */
    enum chat_trim trim;      /* white space around contents */
};

/** NULL for CHAT_UNKNOWN and numbers that are no family. */
const struct chat_style *chat_style(enum chat_family family);

#endif
