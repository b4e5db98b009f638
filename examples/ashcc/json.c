/* A tokenizer for JSON: counts what it meets and measures nesting. */
#include <stdio.h>

enum token { END, OPEN, CLOSE, STRING, NUMBER, WORD, MARK, BAD };

struct scanner {
    const char *at;
    int depth, deepest;
};

static enum token next(struct scanner *s)
{
    while (*s->at == ' ' || *s->at == '\n')
        s->at++;
    char c = *s->at;
    switch (c) {
    case 0:
        return END;
    case '{':
    case '[':
        s->at++;
        if (++s->depth > s->deepest)
            s->deepest = s->depth;
        return OPEN;
    case '}':
    case ']':
        s->at++;
        s->depth--;
        return CLOSE;
    case ',':
    case ':':
        s->at++;
        return MARK;
    case '"':
        for (s->at++; *s->at && *s->at != '"'; s->at++) {
            if (*s->at == '\\' && s->at[1])
                s->at++;
        }
        if (!*s->at)
            return BAD;
        s->at++;
        return STRING;
    }
    if (c == '-' || (c >= '0' && c <= '9')) {
        do
            s->at++;
        while ((*s->at >= '0' && *s->at <= '9') || *s->at == '.' || *s->at == 'e');
        return NUMBER;
    }
    if (c >= 'a' && c <= 'z') {
        while (*s->at >= 'a' && *s->at <= 'z')
            s->at++;
        return WORD;
    }
    return BAD;
}

int main(void)
{
    struct scanner s = {"{\"name\": \"ash\\\"lar\", \"sizes\": [1, -2.5, 3e2, [true, null]], \"empty\": {}}", 0, 0};
    int counts[BAD + 1] = {0};
    enum token t;
    while ((t = next(&s)) != END && t != BAD)
        counts[t]++;
    printf("strings %d, numbers %d, words %d, marks %d, depth %d, %s\n", counts[STRING], counts[NUMBER],
           counts[WORD], counts[MARK], s.deepest, t == END && s.depth == 0 ? "balanced" : "broken");
    return 0;
}
