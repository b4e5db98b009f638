/*
 * cc_options.c: the table. Rows without help are variants of a row before them. An option that
 * changes meaning is either passed to whoever it concerns or refused; only what cannot change what
 * a program does (optimisation, warnings, layout of debug data) is a note.
 */
#include "ashcc/cc_options.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

enum {
    PP = CC_PREPROCESS,
    RD = CC_READ,
    AS = CC_ASSEMBLE,
    LD = CC_LINK,
    NOTE = CC_NOTE,
    NO = CC_REFUSE,
    ASK = CC_ASK
};

const struct cc_option cc_options[] = {
    /* what to make */
    {"-c", CC_ALONE, 0, CC_COMPILE, NULL, "make object files, do not link"},
    {"-S", CC_ALONE, 0, CC_ASSEMBLY, NULL, "make assembler files"},
    {"-E", CC_ALONE, 0, CC_ONLY_PREPROCESS, NULL, "preprocess only (cc does it)"},
    {"-o", CC_EITHER, 0, CC_OUTPUT, "FILE", "write the result to FILE"},
    {"-x", CC_EITHER, 0, CC_LANGUAGE, "LANGUAGE",
     "the files that follow are c, cpp-output, assembler, assembler-with-cpp or none (by suffix)"},
    {"-v", CC_ALONE, 0, CC_VERBOSE, NULL,
     "print the commands, the options that mean nothing here, and a summary; without files: cc's "
     "version"},
    {"-###", CC_ALONE, 0, CC_DRY_RUN, NULL, "print the commands and run none"},
    {"-pipe", CC_ALONE, NOTE, CC_NOTHING, NULL, NULL},
    {"-save-temps", CC_JOINED, NOTE, CC_NOTHING, NULL, NULL},

    /* the preprocessor */
    {"-I", CC_EITHER, PP, CC_NOTHING, "DIR",
     "search DIR for headers; also -isystem, -iquote, -idirafter"},
    {"-isystem", CC_EITHER, PP, CC_NOTHING, NULL, NULL},
    {"-iquote", CC_EITHER, PP, CC_NOTHING, NULL, NULL},
    {"-idirafter", CC_EITHER, PP, CC_NOTHING, NULL, NULL},
    {"-iprefix", CC_EITHER, PP, CC_NOTHING, NULL, NULL},
    {"-iwithprefix", CC_EITHER, PP, CC_NOTHING, NULL, NULL},
    {"-iwithprefixbefore", CC_EITHER, PP, CC_NOTHING, NULL, NULL},
    {"-isysroot", CC_EITHER, PP | LD, CC_NOTHING, NULL, NULL},
    {"--sysroot=", CC_JOINED, PP | LD | AS, CC_NOTHING, NULL, NULL},
    {"-B", CC_EITHER, PP | LD | AS, CC_NOTHING, NULL, NULL},
    {"-specs=", CC_JOINED, PP | LD | AS, CC_NOTHING, NULL, NULL},
    {"-D", CC_EITHER, PP, CC_NOTHING, "NAME[=VALUE]", "define a macro"},
    {"-U", CC_EITHER, PP, CC_NOTHING, "NAME", "undefine a macro"},
    {"-include", CC_SEPARATE, PP, CC_NOTHING, "FILE", "read FILE first; also -imacros"},
    {"-imacros", CC_SEPARATE, PP, CC_NOTHING, NULL, NULL},
    {"-nostdinc", CC_ALONE, PP, CC_NOTHING, NULL, NULL},
    {"-undef", CC_ALONE, PP, CC_NOTHING, NULL, NULL},
    {"-Wp,", CC_JOINED, PP, CC_NOTHING, "OPTIONS",
     "options for the preprocessor; also -Xpreprocessor OPTION"},
    {"-Xpreprocessor", CC_SEPARATE, PP, CC_NOTHING, NULL, NULL},
    {"-trigraphs", CC_ALONE, PP, CC_NOTHING, NULL, NULL},
    {"-C", CC_ALONE, NOTE, CC_NOTHING, NULL, NULL},
    {"-CC", CC_ALONE, NOTE, CC_NOTHING, NULL, NULL},
    {"-P", CC_ALONE, NOTE, CC_NOTHING, NULL, NULL}, /* line markers are needed */
    {"-H", CC_ALONE, PP, CC_NOTHING, NULL, NULL},
    {"-M", CC_ALONE, ASK, CC_NOTHING, NULL, NULL},
    {"-MM", CC_ALONE, ASK, CC_NOTHING, NULL, NULL},
    {"-MD", CC_ALONE, 0, CC_DEPENDENCIES, NULL,
     "write a dependency file too; -MMD: without system headers"},
    {"-MMD", CC_ALONE, 0, CC_DEPENDENCIES, NULL, NULL},
    {"-MF", CC_EITHER, 0, CC_DEPENDENCY_FILE, "FILE", "its name"},
    {"-MT", CC_EITHER, 0, CC_DEPENDENCY_TARGET, "TARGET", "its target; also -MQ"},
    {"-MQ", CC_EITHER, 0, CC_DEPENDENCY_TARGET, NULL, NULL},
    {"-MP", CC_ALONE, PP, CC_NOTHING, NULL, NULL},
    {"-MG", CC_ALONE, PP, CC_NOTHING, NULL, NULL},

    /* the language */
    {"-std=", CC_JOINED, PP | RD, CC_NOTHING, "STANDARD", "c89 to c17, gnu89 to gnu17"},
    {"--std=", CC_JOINED, PP | RD, CC_NOTHING, NULL, NULL},
    {"-ansi", CC_ALONE, PP | RD, CC_NOTHING, NULL, NULL},
    {"-fsigned-char", CC_ALONE, PP | RD, CC_NOTHING, NULL, NULL},
    {"-funsigned-char", CC_ALONE, PP | RD, CC_NOTHING, NULL, NULL},
    {"-fgnu89-inline", CC_ALONE, PP | RD, CC_NOTHING, NULL, NULL},
    {"-ffreestanding", CC_ALONE, PP | RD, CC_NOTHING, NULL, NULL},
    {"-fhosted", CC_ALONE, PP, CC_NOTHING, NULL, NULL},
    {"-fms-extensions", CC_ALONE, PP | RD, CC_NOTHING, NULL, NULL},
    {"-fplan9-extensions", CC_ALONE, NO, CC_NOTHING, NULL, NULL},
    {"-fdollars-in-identifiers", CC_ALONE, PP | RD, CC_NOTHING, NULL, NULL},
    {"-finput-charset=", CC_JOINED, PP, CC_NOTHING, NULL, NULL},
    {"-fexec-charset=", CC_JOINED, NO, CC_NOTHING, NULL, NULL},
    {"-fwide-exec-charset=", CC_JOINED, NO, CC_NOTHING, NULL, NULL},
    {"-fshort-enums", CC_ALONE, NO, CC_NOTHING, NULL, NULL},
    {"-fshort-wchar", CC_ALONE, NO, CC_NOTHING, NULL, NULL},
    {"-fpack-struct", CC_JOINED, NO, CC_NOTHING, NULL, NULL},
    {"-funsigned-bitfields", CC_ALONE, NO, CC_NOTHING, NULL, NULL},
    {"-fleading-underscore", CC_ALONE, NO, CC_NOTHING, NULL, NULL},
    {"-fwrapv", CC_ALONE, PP | RD, CC_WRAPS, NULL,
     "signed overflow wraps; also -fno-strict-overflow"},
    {"-fno-strict-overflow", CC_ALONE, PP | RD, CC_WRAPS, NULL, NULL},
    {"-fno-wrapv", CC_ALONE, PP | RD, CC_NO_WRAPS, NULL, NULL},
    {"-fstrict-overflow", CC_ALONE, PP | RD, CC_NO_WRAPS, NULL, NULL},
    {"-ftrapv", CC_ALONE, NO, CC_NOTHING, NULL, NULL},
    {"-fopenmp", CC_JOINED, NO, CC_NOTHING, NULL, NULL},
    {"-fopenacc", CC_JOINED, NO, CC_NOTHING, NULL, NULL},
    {"-fgnu-tm", CC_ALONE, NO, CC_NOTHING, NULL, NULL},
    {"-fsanitize=", CC_JOINED, NO, CC_NOTHING, NULL, NULL},
    {"-finstrument-functions", CC_JOINED, NO, CC_NOTHING, NULL, NULL},
    {"-fprofile-arcs", CC_ALONE, NO, CC_NOTHING, NULL, NULL},
    {"-ftest-coverage", CC_ALONE, NO, CC_NOTHING, NULL, NULL},
    {"--coverage", CC_ALONE, NO, CC_NOTHING, NULL, NULL},
    {"-pg", CC_ALONE, NO, CC_NOTHING, NULL, NULL},
    {"-p", CC_ALONE, NO, CC_NOTHING, NULL, NULL},
    {"-fplugin=", CC_JOINED, NO, CC_NOTHING, NULL, NULL},
    {"-fsplit-stack", CC_ALONE, NO, CC_NOTHING, NULL, NULL},
    {"-fPIC", CC_ALONE, PP, CC_PIC, NULL, "make code for shared objects; also -fpic"},
    {"-fpic", CC_ALONE, PP, CC_PIC, NULL, NULL},
    {"-fPIE", CC_ALONE, PP, CC_NO_PIC, NULL, NULL},
    {"-fpie", CC_ALONE, PP, CC_NO_PIC, NULL, NULL},
    {"-fno-PIC", CC_ALONE, PP, CC_NO_PIC, NULL, NULL},
    {"-fno-pic", CC_ALONE, PP, CC_NO_PIC, NULL, NULL},
    {"-fno-", CC_JOINED, NOTE, CC_NOTHING, NULL,
     NULL}, /* the negations of the above are the default */
    {"-f", CC_JOINED, NOTE, CC_NOTHING, "...",
     "those that change C's meaning are honoured or refused by name, the others mean nothing here"},

    /* the machine */
    {"-m64", CC_ALONE, PP | AS | LD, CC_NOTHING, NULL, NULL},
    {"-m32", CC_ALONE, NO, CC_NOTHING, NULL, NULL},
    {"-mx32", CC_ALONE, NO, CC_NOTHING, NULL, NULL},
    {"-m16", CC_ALONE, NO, CC_NOTHING, NULL, NULL},
    {"-mabi=", CC_JOINED, NO, CC_NOTHING, NULL, NULL},
    {"-mno-red-zone", CC_ALONE, NOTE, CC_NOTHING, NULL, NULL}, /* none is used */
    {"-mlong-double-64", CC_ALONE, NO, CC_NOTHING, NULL, NULL},
    {"-mlong-double-128", CC_ALONE, NO, CC_NOTHING, NULL, NULL},
    {"-mms-bitfields", CC_ALONE, NO, CC_NOTHING, NULL, NULL},
    {"-mcmodel=", CC_JOINED, NO, CC_NOTHING, NULL, NULL},
    {"-mcmodel=small", CC_ALONE, NOTE, CC_NOTHING, NULL, NULL},
    {"-mno-sse", CC_JOINED, NO, CC_NOTHING, NULL, NULL},
    {"-msoft-float", CC_ALONE, NO, CC_NOTHING, NULL, NULL},
    {"-mregparm=", CC_JOINED, NO, CC_NOTHING, NULL, NULL},
    {"-m", CC_JOINED, NOTE, CC_NOTHING, "...", "those that change the ABI are refused by name"},

    /* what means nothing here */
    {"-O", CC_JOINED, NOTE, CC_NOTHING, "...", "nothing: blocks are as good as their translator"},
    {"-Ofast", CC_ALONE, NOTE, CC_NOTHING, NULL, NULL},
    {"-g", CC_JOINED, AS, CC_DEBUG, "...", "line numbers for debuggers"},
    {"-g0", CC_ALONE, AS, CC_NO_DEBUG, NULL, NULL},
    {"-ggdb", CC_JOINED, AS, CC_DEBUG, NULL, NULL},
    {"-gdwarf", CC_JOINED, AS, CC_DEBUG, NULL, NULL},
    {"-gz", CC_JOINED, AS, CC_NOTHING, NULL, NULL},
    {"-W", CC_JOINED, PP, CC_NOTHING, "...",
     "the preprocessor's warnings; ashcc has none of its own"},
    {"-w", CC_ALONE, PP, CC_NOTHING, NULL, NULL},
    {"-pedantic", CC_ALONE, PP, CC_NOTHING, NULL, NULL},
    {"-pedantic-errors", CC_ALONE, PP, CC_NOTHING, NULL, NULL},
    {"--param", CC_EITHER, NOTE, CC_NOTHING, NULL, NULL},
    {"-Q", CC_ALONE, NOTE, CC_NOTHING, NULL, NULL},
    {"-d", CC_JOINED, NOTE, CC_NOTHING, NULL, NULL},

    /* the assembler */
    {"-Wa,", CC_JOINED, AS, CC_NOTHING, "OPTIONS",
     "options for the assembler; also -Xassembler OPTION"},
    {"-Xassembler", CC_SEPARATE, AS, CC_NOTHING, NULL, NULL},

    /* the linker */
    {"-l", CC_EITHER, LD, CC_NOTHING, "NAME", "link with a library"},
    {"-L", CC_EITHER, LD, CC_NOTHING, "DIR", "search DIR for libraries"},
    {"-shared", CC_ALONE, LD, CC_NOTHING, NULL,
     "make a shared object; also -static, -pie, -no-pie, -rdynamic, -s, -nostdlib, -r and their "
     "like"},
    {"-static", CC_ALONE, LD, CC_NOTHING, NULL, NULL},
    {"-static-pie", CC_ALONE, LD, CC_NOTHING, NULL, NULL},
    {"-static-libgcc", CC_ALONE, LD, CC_NOTHING, NULL, NULL},
    {"-shared-libgcc", CC_ALONE, LD, CC_NOTHING, NULL, NULL},
    {"-pie", CC_ALONE, LD, CC_NOTHING, NULL, NULL},
    {"-no-pie", CC_ALONE, LD, CC_NOTHING, NULL, NULL},
    {"-nopie", CC_ALONE, LD, CC_NOTHING, NULL, NULL},
    {"-rdynamic", CC_ALONE, LD, CC_NOTHING, NULL, NULL},
    {"-export-dynamic", CC_ALONE, LD, CC_NOTHING, NULL, NULL},
    {"-s", CC_ALONE, LD, CC_NOTHING, NULL, NULL},
    {"-r", CC_ALONE, LD, CC_NOTHING, NULL, NULL},
    {"-nostdlib", CC_ALONE, LD, CC_NOTHING, NULL, NULL},
    {"-nostartfiles", CC_ALONE, LD, CC_NOTHING, NULL, NULL},
    {"-nodefaultlibs", CC_ALONE, LD, CC_NOTHING, NULL, NULL},
    {"-nolibc", CC_ALONE, LD, CC_NOTHING, NULL, NULL},
    {"-T", CC_EITHER, LD, CC_NOTHING, NULL, NULL},
    {"-u", CC_EITHER, LD, CC_NOTHING, NULL, NULL},
    {"-z", CC_SEPARATE, LD, CC_NOTHING, NULL, NULL},
    {"-e", CC_EITHER, LD, CC_NOTHING, NULL, NULL},
    {"-fuse-ld=", CC_JOINED, LD, CC_NOTHING, NULL, NULL},
    {"-Wl,", CC_JOINED, LD, CC_NOTHING, "OPTIONS", "options for the linker; also -Xlinker OPTION"},
    {"-Xlinker", CC_SEPARATE, LD, CC_NOTHING, NULL, NULL},
    {"-pthread", CC_ALONE, PP | LD, CC_NOTHING, NULL, "use POSIX threads"},
    {"-pthreads", CC_ALONE, PP | LD, CC_NOTHING, NULL, NULL},

    /* questions that cc answers */
    {"--version", CC_ALONE, 0, CC_VERSION, NULL, "print cc's version and ashcc's"},
    {"-V", CC_ALONE, ASK, CC_NOTHING, NULL, NULL},
    {"-dumpmachine", CC_ALONE, ASK, CC_NOTHING, NULL,
     "a question to cc; also -dumpversion, -print-..."},
    {"-dumpversion", CC_ALONE, ASK, CC_NOTHING, NULL, NULL},
    {"-dumpfullversion", CC_ALONE, ASK, CC_NOTHING, NULL, NULL},
    {"-dumpspecs", CC_ALONE, ASK, CC_NOTHING, NULL, NULL},
    {"-print-", CC_JOINED, ASK, CC_NOTHING, NULL, NULL},
    {"--print-", CC_JOINED, ASK, CC_NOTHING, NULL, NULL},
    {"-qversion", CC_ALONE, ASK, CC_NOTHING, NULL, NULL},
    {"--target-help", CC_ALONE, ASK, CC_NOTHING, NULL, NULL},
    {"--help=", CC_JOINED, ASK, CC_NOTHING, NULL, NULL},
    {NULL, CC_ALONE, 0, CC_NOTHING, NULL, NULL},
};

const struct cc_option *cc_option_find(const char *word)
{
    const struct cc_option *best = NULL;
    size_t best_length = 0;
    for (const struct cc_option *o = cc_options; o->name; o++) {
        size_t length = strlen(o->name);
        bool whole = strcmp(word, o->name) == 0;
        bool begins = strncmp(word, o->name, length) == 0;
        bool fits = o->shape == CC_ALONE || o->shape == CC_SEPARATE ? whole : begins;
        if (fits && length > best_length) {
            best = o;
            best_length = length;
        }
    }
    return best;
}
