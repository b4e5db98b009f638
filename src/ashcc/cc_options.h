/*
 * cc_options.h: the options of cc as data: how each is written, and what ashcc does with it. The
 * parser (arguments.c), the manual and the completions are all made from this table.
 */
#ifndef ASHCC_CC_OPTIONS_H
#define ASHCC_CC_OPTIONS_H

enum cc_shape {
    CC_ALONE,    /* -c */
    CC_JOINED,   /* -std=c11, -Wall: what follows belongs to it, may be empty */
    CC_SEPARATE, /* -include FILE */
    CC_EITHER    /* -I DIR, -IDIR */
};

/* Where an option goes; several may hold. */
enum cc_role {
    CC_PREPROCESS = 1, /* cc -E */
    CC_READ = 2,       /* the reader of C */
    CC_ASSEMBLE = 4,   /* cc -c of assembly */
    CC_LINK = 8,       /* cc, linking: keeps its place among the inputs */
    CC_NOTE = 16,      /* means nothing here: accepted, listed with -v */
    CC_REFUSE = 32,    /* would change what the code means in a way that is not supported */
    CC_ASK = 64        /* a question to cc: the whole command line is handed to it */
};

enum cc_action {
    CC_NOTHING,
    CC_OUTPUT,
    CC_COMPILE,
    CC_ASSEMBLY,
    CC_ONLY_PREPROCESS,
    CC_LANGUAGE,
    CC_DEBUG,
    CC_NO_DEBUG,
    CC_VERBOSE,
    CC_DRY_RUN,
    CC_DEPENDENCIES,
    CC_DEPENDENCY_FILE,
    CC_DEPENDENCY_TARGET,
    CC_VERSION,
    CC_PIC,
    CC_NO_PIC,
    CC_WRAPS,
    CC_NO_WRAPS
};

struct cc_option {
    const char *name; /* with its dashes */
    enum cc_shape shape;
    unsigned roles;
    enum cc_action action;
    const char *argument; /* for the manual; NULL: none */
    const char *help;     /* NULL: not in the manual on its own */
};

/** Ended by name == NULL. The longest name that fits counts. */
extern const struct cc_option cc_options[];

/** The entry for a word that begins with a dash, or NULL. */
const struct cc_option *cc_option_find(const char *word);

#endif
