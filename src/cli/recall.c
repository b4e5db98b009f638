/*
 * recall.c: draws records for recall.gguf: lines, questions and answers from a seed.
 *
 * A record is drawn as units. A unit is one thing that can be asked: a fact ("The clerk gave Nora
 * saffron."), a chain of names that ends in a fact ("Old friends call Nora Bruno."), or three facts
 * of one name ("The cook served Nora first barley."). The units' lines and lines of prose are
 * shuffled together; the first units drawn are asked.
 *
 * Two rules make the records learnable by a model of a million parameters: a value directly follows
 * the word that asks for it (English allows it with verbs that take two objects), and the answer
 * repeats that pair. So each word of an answer is one look-up of the word before it.
 *
 * Invariants: a name begins at most one fact and ends at most one; a record never exceeds the
 * tokens asked for; nothing depends on anything but the specification.
 */
#include "cli/recall.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"

/* Words of the templates; other classes do not occur in them. */
static const char *const frame_words[] = {
    "The", " clerk", " gave", " guild", " owed", "We", " sent", " captain", " lent", "Somebody",
    " promised", " baker", " sold", " widow", " left", "An", " uncle", " bought", " crew",
    " brought", " bank", " offered", " sailors", " call", "Old", " friends", " neighbours", "In",
    " town", " they", "At", " home", " cook", " served", " host", " poured", " aunt", " packed",
    "Question", ":", " what", " did", " give", "?\n", " where", " does", " the", " trail", " of",
    " lead", " serve", "Answer", " They", ".\n", " The", " runs", " first", " second", " third",
    ",", " in", " evening", "Nobody", " saw", "By", " morning", "Then", " one",
};

/* Prose that holds no facts is made of these four classes. */
static const char *const adjectives[] = {
    " old", " quiet", " narrow", " bright", " heavy", " crooked", " pale", " wooden", " empty",
    " broad", " distant", " gentle", " hollow", " rusty", " sleepy", " steep", " tall", " warm",
    " windy", " young", " grey", " damp", " dusty", " early", " faint", " golden", " idle",
    " lonely", " modest", " patient",
};

static const char *const nouns[] = {
    " harbour", " bridge", " meadow", " tower", " lantern", " wagon", " river", " cottage",
    " kettle", " orchard", " ladder", " market", " window", " valley", " chapel", " mill",
    " barrel", " garden", " stable", " clock", " forest", " fountain", " ferry", " beacon",
    " cellar", " island", " path", " library", " anchor", " hedge", " roof", " square", " shutter",
    " cliff", " sparrow", " donkey", " gate", " village", " stream", " terrace",
};

static const char *const verbs[] = {
    " waited", " leaned", " drifted", " slept", " stood", " turned", " rested", " glowed",
    " creaked", " shook", " stayed", " vanished", " rose", " settled", " trembled", " lingered",
    " moved", " sank", " shone", " stopped",
};

static const char *const prepositions[] = {
    " behind", " beyond", " beneath", " beside", " above", " near", " under", " across", " below",
    " against",
};

/* Keys, each of which has at most one fact in a record. */
static const char *const names[] = {
    " Aaron", " Abel", " Abigail", " Ada", " Adam", " Adela", " Adele", " Adrian", " Agatha",
    " Agnes", " Aidan", " Alan", " Albert", " Alda", " Alden", " Alec", " Alfred", " Alice",
    " Alina", " Alma", " Alvin", " Amanda", " Amber", " Amelia", " Amos", " Amy", " Andrea",
    " Angela", " Angus", " Anita", " Anna", " Ansel", " Anton", " April", " Archie", " Ariel",
    " Arlo", " Arthur", " Asa", " Astrid", " Aubrey", " Audrey", " August", " Aurora", " Austin",
    " Ava", " Avery", " Axel", " Barbara", " Barnaby", " Barry", " Basil", " Beatrice", " Becky",
    " Bella", " Benedict", " Benjamin", " Bernard", " Bertha", " Bessie", " Bethany", " Beverly",
    " Bianca", " Blake", " Blanche", " Boris", " Bradley", " Brandon", " Brenda", " Brian",
    " Bridget", " Bruce", " Bruno", " Byron", " Caleb", " Calvin", " Camilla", " Candice", " Carl",
    " Carmen", " Carol", " Caroline", " Carter", " Casper", " Cecil", " Cecilia", " Cedric",
    " Celeste", " Celia", " Charles", " Charlotte", " Chester", " Chloe", " Christine", " Clara",
    " Clarence", " Clark", " Claude", " Claudia", " Clement", " Clifford", " Clive", " Clyde",
    " Colin", " Conrad", " Constance", " Cora", " Cordelia", " Cornelia", " Craig", " Curtis",
    " Cynthia", " Cyril", " Cyrus", " Dagmar", " Daisy", " Damian", " Daniel", " Daphne", " Darcy",
    " Daria", " David", " Dean", " Deborah", " Declan", " Delia", " Della", " Denise", " Dennis",
    " Derek", " Desmond", " Dexter", " Diana", " Dinah", " Dominic", " Donald", " Donna", " Dora",
    " Doreen", " Doris", " Dorothy", " Douglas", " Duncan", " Dustin", " Dylan", " Earl", " Edgar",
    " Edith", " Edmund", " Edna", " Edward", " Edwin", " Effie", " Eileen", " Elaine", " Eleanor",
    " Elena", " Eli", " Elias", " Elijah", " Elise", " Eliza", " Ella", " Ellen", " Elliot",
    " Elmer", " Elsa", " Elsie", " Elvira", " Emery", " Emil", " Emily", " Emma", " Enid",
    " Enoch", " Eric", " Erica", " Ernest", " Esther", " Ethan", " Ethel", " Etta", " Eugene",
    " Eunice", " Eva", " Evan", " Evelyn", " Ezra", " Fabian", " Faith", " Fanny", " Felicity",
    " Felix", " Ferdinand", " Fergus", " Finn", " Fiona", " Flora", " Florence", " Floyd",
    " Frances", " Frank", " Freda", " Frederick", " Freya", " Frida", " Gabriel", " Gail",
    " Gareth", " Garrett", " Gavin", " Gemma", " Geoffrey", " George", " Gerald", " Gerda",
    " Gertrude", " Gideon", " Gilbert", " Giles", " Gina", " Gladys", " Glenn", " Gloria",
    " Gordon", " Grace", " Graham", " Grant", " Greta", " Griffin", " Guido", " Gustav", " Gwen",
    " Hannah", " Harold", " Harriet", " Harry", " Harvey", " Hattie", " Hazel", " Hector",
    " Heidi", " Helen", " Helga", " Henrietta", " Henry", " Herbert", " Herman", " Hilary",
    " Hilda", " Hiram", " Homer", " Horace", " Howard", " Hubert", " Hugh", " Hugo", " Humphrey",
    " Ian", " Ida", " Ignatius", " Imogen", " Ina", " Ines", " Ingrid", " Irene", " Iris", " Irma",
    " Irving", " Isaac", " Isabel", " Isadora", " Ivan", " Ivor", " Ivy", " Jacob", " Jago",
    " James", " Jane", " Janet", " Jasmine", " Jasper", " Jean", " Jemima", " Jennifer", " Jeremy",
    " Jerome", " Jesse", " Jessica", " Jill", " Joan", " Joanna", " Joel", " Johanna", " John",
    " Jonah", " Jonas", " Jordan", " Joseph", " Josephine", " Joshua", " Joyce", " Judith",
    " Julia", " Julian", " Juliet", " Julius", " June", " Justin", " Karen", " Karl", " Katherine",
    " Kathleen", " Kay", " Keith", " Kelvin", " Kenneth", " Kermit", " Kevin", " Kirk", " Kirsten",
    " Klara", " Konrad", " Kurt", " Kyle", " Lambert", " Lance", " Lars", " Laura", " Laurence",
    " Lavinia", " Leah", " Leander", " Leila", " Lena", " Leo", " Leon", " Leonard", " Leonora",
    " Leroy", " Leslie", " Lester", " Lewis", " Liam", " Lila", " Lillian", " Linda", " Linus",
    " Lionel", " Lisa", " Livia", " Lloyd", " Logan", " Lois", " Lola", " Loretta", " Lorna",
    " Louis", " Louisa", " Lucas", " Lucian", " Lucille", " Lucinda", " Lucy", " Luke", " Luther",
    " Lydia", " Lyle", " Mabel", " Madeline", " Magda", " Magnus", " Malcolm", " Manfred",
    " Marcella", " Marcus", " Margaret", " Maria", " Marian", " Marina", " Marion", " Marjorie",
    " Mark", " Marlene", " Marshall", " Martha", " Martin", " Mary", " Mathilda", " Matthew",
    " Maude", " Maureen", " Maurice", " Mavis", " Max", " Maxine", " Melanie", " Melvin", " Mercy",
    " Meredith", " Merle", " Michael", " Mildred", " Miles", " Millicent", " Milo", " Minerva",
    " Minna", " Miranda", " Miriam", " Mitchell", " Moira", " Molly", " Monica", " Morgan",
    " Morris", " Moses", " Muriel", " Myra", " Myrtle", " Nadia", " Nancy", " Naomi", " Natalie",
    " Nathan", " Neal", " Nelson", " Nestor", " Neville", " Nicholas", " Nigel", " Nina", " Noah",
    " Noel", " Nora", " Norbert", " Noreen", " Norma", " Norman", " Octavia", " Odette", " Olga",
    " Olive", " Oliver", " Olivia", " Olwen", " Omar", " Opal", " Ophelia", " Orson", " Oscar",
    " Oswald", " Otis", " Otto", " Owen", " Pamela", " Patrick", " Patsy", " Paul", " Paula",
    " Pauline", " Pearl", " Penelope", " Percy", " Perry", " Peter", " Philip", " Phoebe",
    " Phyllis", " Polly", " Portia", " Preston", " Prudence", " Quentin", " Quincy", " Rachel",
    " Ralph", " Ramona", " Randolph", " Raphael", " Raymond", " Rebecca", " Regina", " Reginald",
    " Reuben", " Rex", " Rhoda", " Richard", " Rita", " Robert", " Roberta", " Robin", " Roderick",
    " Rodney", " Roger", " Roland", " Rolf", " Roman", " Ronald", " Rosa", " Rosalind",
    " Rosamund", " Roscoe", " Rose", " Rowena", " Roy", " Ruby", " Rudolf", " Rufus", " Rupert",
    " Russell", " Ruth", " Ryan", " Sabina", " Sally", " Salome", " Samson", " Samuel", " Sandra",
    " Sarah", " Saul", " Sebastian", " Selma", " Serena", " Seth", " Sharon", " Sheila", " Sidney",
    " Sigrid", " Silas", " Silvia", " Simon", " Solomon", " Sonia", " Sophia", " Spencer",
    " Stanley", " Stella", " Stephen", " Stuart", " Susan", " Sybil", " Sylvester", " Tabitha",
    " Tamara", " Tanya", " Teresa", " Thaddeus", " Thea", " Thelma", " Theodore", " Thomas",
    " Thora", " Tilda", " Timothy", " Titus", " Tobias", " Trevor", " Tristan", " Trudy", " Tyler",
    " Ulrich", " Una", " Ursula", " Valentine", " Valerie", " Vanessa", " Vera", " Verna",
    " Vernon", " Veronica", " Victor", " Victoria", " Vincent", " Viola", " Violet", " Virgil",
    " Virginia", " Vivian", " Wallace", " Walter", " Wanda", " Warren", " Wendell", " Wendy",
    " Wilbur", " Wilfred", " William", " Wilma", " Winifred", " Winston", " Xavier", " Yolanda",
    " Yvonne", " Zachary", " Zara", " Zelda", " Zoe",
};

/* Values: a pool of their own, so that a value looks like nothing else. */
static const char *const goods[] = {
    " agate", " alabaster", " alfalfa", " almonds", " aluminium", " amethyst", " aniseed",
    " anthracite", " apples", " apricots", " arnica", " artichokes", " ash", " asparagus",
    " bacon", " balsam", " bamboo", " bananas", " barley", " basalt", " beans", " beef", " beer",
    " beeswax", " bergamot", " berries", " birch", " biscuits", " borax", " bran", " brandy",
    " brass", " bread", " brick", " bronze", " broth", " butter", " buttermilk", " cabbage",
    " calico", " camphor", " candles", " canvas", " caramel", " caraway", " cardamom", " carrots",
    " cashmere", " caviar", " cedar", " celery", " cement", " chalk", " charcoal", " cheese",
    " cherries", " chestnuts", " chicory", " chives", " chocolate", " chrome", " cider",
    " cinnamon", " clay", " cloves", " clover", " coal", " cobalt", " cocoa", " coconuts",
    " coffee", " copper", " coral", " coriander", " cork", " corn", " cotton", " cranberries",
    " cream", " cress", " crystal", " cucumbers", " cumin", " currants", " custard", " damask",
    " dates", " denim", " diamonds", " dill", " dough", " down", " dumplings", " ebony", " eggs",
    " emeralds", " enamel", " endive", " felt", " fennel", " ferns", " figs", " flannel", " flax",
    " flint", " flour", " fudge", " fur", " garlic", " garnet", " gauze", " ginger", " glass",
    " glue", " gold", " grain", " granite", " grapes", " gravel", " gravy", " grease", " gypsum",
    " ham", " hay", " hazelnuts", " heather", " hemp", " herring", " hickory", " honey", " hops",
    " horn", " ice", " incense", " indigo", " ink", " iodine", " iron", " ivory", " jade", " jam",
    " jasper", " jelly", " juniper", " jute", " kelp", " lace", " lacquer", " lamb", " lard",
    " lavender", " leather", " leeks", " lemons", " lentils", " lettuce", " licorice",
    " lilac", " lime", " limestone", " linen", " linseed", " liquor", " mackerel", " mahogany",
    " maize", " malachite", " malt", " maple", " marble", " marzipan", " melons", " mercury",
    " mica", " milk", " millet", " mint", " molasses", " moss", " muslin", " mustard", " mutton",
    " myrrh", " nails", " nectar", " needles", " nickel", " nougat", " nutmeg", " nylon", " oak",
    " oatmeal", " oats", " ochre", " oil", " olives", " onions", " onyx", " opium", " oranges",
    " oregano", " oysters", " paper", " paprika", " parchment", " parsley", " parsnips",
    " peaches", " peanuts", " pearls", " pears", " peas", " peat", " pepper", " pewter",
    " pickles", " pine", " pitch", " plaster", " platinum", " plums", " pollen", " poplar",
    " poppies", " porcelain", " pork", " porridge", " potash", " potatoes", " prunes", " pumice",
    " pumpkins", " quartz", " quinces", " quinoa", " radishes", " raisins", " resin", " rhubarb",
    " ribbon", " rice", " rope", " rosemary", " rubber", " rubies", " rum", " rust", " rye",
    " saffron", " sage", " salmon", " salt", " sand", " sandalwood", " sapphires", " sardines",
    " satin", " sausages", " seaweed", " sesame", " shellac", " silk", " silver", " slate",
    " snuff", " soap", " soda", " spinach", " sponges", " squash", " starch", " steel", " straw",
    " string", " suede", " sugar", " sulphur", " syrup", " tallow", " tar", " tarragon", " tea",
    " teak", " thread", " thyme", " timber", " tin", " tobacco", " toffee", " tomatoes", " topaz",
    " treacle", " trout", " truffles", " turf", " turmeric", " turnips", " turquoise", " tweed",
    " twine", " vanilla", " varnish", " velvet", " venison", " vinegar", " walnuts", " wax",
    " wheat", " whisky", " willow", " wine", " wire", " wool", " yarn", " yeast", " zinc",
};

/* Everything before the name; the name and what it leads to follow. */
static const char *const gifts[] = {"The clerk gave",    "The guild owed", "We sent",
                                    "The captain lent",  "Somebody promised", "The baker sold",
                                    "The widow left",    "An uncle bought",   "The crew brought",
                                    "The bank offered"};
static const char *const calls[] = {"The sailors call", "Old friends call", "The neighbours call",
                                    "In town they call", "At home they call"};
static const char *const meals[] = {"The cook served", "The host poured", "An aunt packed"};
static const char *const ordinals[] = {" first", " second", " third"};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum {
    FRAMES = COUNT(frame_words),
    ADJECTIVES = COUNT(adjectives),
    NOUNS = COUNT(nouns),
    VERBS = COUNT(verbs),
    PREPOSITIONS = COUNT(prepositions),
    NAMES = COUNT(names),
    GOODS = COUNT(goods),
};

/* The classes in the order in which their words are numbered. */
static const struct word_class {
    const char *const *words;
    size_t count;
} classes[] = {{frame_words, FRAMES}, {adjectives, ADJECTIVES}, {nouns, NOUNS}, {verbs, VERBS},
               {prepositions, PREPOSITIONS}, {names, NAMES}, {goods, GOODS}};

enum {
    FIRST_ADJECTIVE = FRAMES,
    FIRST_NOUN = FIRST_ADJECTIVE + ADJECTIVES,
    FIRST_VERB = FIRST_NOUN + NOUNS,
    FIRST_PREPOSITION = FIRST_VERB + VERBS,
    FIRST_NAME = FIRST_PREPOSITION + PREPOSITIONS,
    FIRST_GOOD = FIRST_NAME + NAMES,
    VOCAB = FIRST_GOOD + GOODS,
};

enum {
    TURN_WORDS = 32, /* the longest question with its answer */
    UNIT_NAMES = 4,
    UNIT_VALUES = 3,
    PROSE_WORDS = 9,
};

enum unit_kind { UNIT_FACT, UNIT_CHAIN, UNIT_MEAL };

/* One thing that can be asked. A chain has up to four names and one value. */
struct unit {
    enum unit_kind kind;
    size_t name_count;
    uint16_t names[UNIT_NAMES], values[UNIT_VALUES];
};

struct line {
    uint16_t words[TURN_WORDS];
    size_t count;
};

/* A record being drawn. */
struct draft {
    struct rng rng;
    const struct recall_spec *spec;
    size_t room; /* words still free */
    size_t turn_room; /* words kept for questions with their answers */
    uint16_t names[NAMES]; /* shuffled; taken from the front */
    size_t names_taken;
    struct unit units[NAMES];
    size_t unit_count, asked;
    struct line *lines; /* (line_capacity) */
    size_t line_count, line_capacity;
};

static const char *const task_names[RECALL_TASKS] = {"needle", "keyvalue", "chain", "multivalue",
                                                     "mixed"};

size_t recall_vocab_size(void)
{
    return VOCAB;
}

const char *recall_vocab_text(size_t word)
{
    for (size_t c = 0; c < COUNT(classes); c++) {
        if (word < classes[c].count)
            return classes[c].words[word];
        word -= classes[c].count;
    }
    return NULL;
}

const char *recall_task_name(enum recall_task task)
{
    return task < RECALL_TASKS ? task_names[task] : NULL;
}

bool recall_task_parse(const char *name, size_t length, enum recall_task *task)
{
    for (size_t t = 0; t < RECALL_TASKS; t++) {
        if (strlen(task_names[t]) == length && memcmp(task_names[t], name, length) == 0) {
            *task = (enum recall_task)t;
            return true;
        }
    }
    return false;
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Bytes of the pre-token that `text` begins with: [space] letters, or marks with their newline. */
static size_t word_bytes(const char *text)
{
    size_t n = *text == ' ';
    bool letters = is_letter(text[n]);
    while (text[n] != '\0' && text[n] != ' ' && is_letter(text[n]) == letters)
        n++;
    return n;
}

static uint16_t frame_number(const char *text, size_t bytes)
{
    for (uint16_t w = 0; w < FRAMES; w++) {
        if (strncmp(frame_words[w], text, bytes) == 0 && frame_words[w][bytes] == '\0')
            return w;
    }
    assert(!"a template uses a word that frame_words lacks");
    return 0;
}

static void line_word(struct line *line, uint16_t word)
{
    assert(line->count < TURN_WORDS);
    line->words[line->count++] = word;
}

/* Appends the words of a template. */
static void line_text(struct line *line, const char *text)
{
    while (*text != '\0') {
        size_t bytes = word_bytes(text);
        line_word(line, frame_number(text, bytes));
        text += bytes;
    }
}

static void shuffle(struct rng *rng, uint16_t *items, size_t count)
{
    for (size_t i = count; i > 1; i--) {
        size_t j = rng_below(rng, (uint32_t)i);
        uint16_t swap = items[i - 1];
        items[i - 1] = items[j];
        items[j] = swap;
    }
}

/* ---- units ---- */

static enum unit_kind unit_kind_draw(struct draft *d)
{
    switch (d->spec->task) {
    case RECALL_CHAIN:
        return UNIT_CHAIN;
    case RECALL_MULTIVALUE:
        return UNIT_MEAL;
    case RECALL_MIXED:
        return (enum unit_kind)rng_below(&d->rng, 3);
    default:
        return UNIT_FACT;
    }
}

/* Chains are measured at three lines (x = y, y = z, z = value); training sees two to four. */
static size_t unit_names_draw(struct draft *d, enum unit_kind kind)
{
    if (kind != UNIT_CHAIN)
        return 1;
    return d->spec->side == RECALL_EVAL ? 3 : 2 + rng_below(&d->rng, UNIT_NAMES - 1);
}

/* Three different values: steps below a third of the pool cannot come round to the first. */
static void unit_values_draw(struct draft *d, struct unit *unit)
{
    uint32_t value = rng_below(&d->rng, GOODS);
    for (size_t i = 0; i < UNIT_VALUES; i++) {
        unit->values[i] = (uint16_t)(FIRST_GOOD + value);
        value = (value + 1 + rng_below(&d->rng, GOODS / UNIT_VALUES - 1)) % GOODS;
    }
}

static void unit_draw(struct draft *d, struct unit *unit)
{
    unit->kind = unit_kind_draw(d);
    unit->name_count = unit_names_draw(d, unit->kind);
    if (unit->name_count > NAMES - d->names_taken)
        unit->name_count = NAMES - d->names_taken;
    for (size_t i = 0; i < unit->name_count; i++)
        unit->names[i] = (uint16_t)(FIRST_NAME + d->names[d->names_taken + i]);
    unit_values_draw(d, unit);
}

static size_t unit_line_count(const struct unit *unit)
{
    return unit->kind == UNIT_MEAL ? UNIT_VALUES : unit->name_count;
}

/* The i-th line of a unit. */
static void unit_line(struct draft *d, const struct unit *unit, size_t i, struct line *line)
{
    line->count = 0;
    if (unit->kind == UNIT_MEAL) {
        line_text(line, meals[rng_below(&d->rng, COUNT(meals))]);
        line_word(line, unit->names[0]);
        line_text(line, ordinals[i]);
        line_word(line, unit->values[i]);
    } else if (i + 1 < unit->name_count) {
        line_text(line, calls[rng_below(&d->rng, COUNT(calls))]);
        line_word(line, unit->names[i]);
        line_word(line, unit->names[i + 1]);
    } else {
        line_text(line, gifts[rng_below(&d->rng, COUNT(gifts))]);
        line_word(line, unit->names[i]);
        line_word(line, unit->values[0]);
    }
    line_text(line, ".\n");
}

static void fact_turn(const struct unit *unit, struct line *turn, size_t *answer_start)
{
    line_text(turn, "Question: what did they give");
    line_word(turn, unit->names[0]);
    line_text(turn, "?\n");
    *answer_start = turn->count;
    line_text(turn, "Answer: They gave");
    line_word(turn, unit->names[0]);
    line_word(turn, unit->values[0]);
}

static void chain_turn(const struct unit *unit, struct line *turn, size_t *answer_start)
{
    line_text(turn, "Question: where does the trail of");
    line_word(turn, unit->names[0]);
    line_text(turn, " lead?\n");
    *answer_start = turn->count;
    line_text(turn, "Answer: The trail runs");
    for (size_t i = 0; i < unit->name_count; i++)
        line_word(turn, unit->names[i]);
    line_word(turn, unit->values[0]);
}

static void meal_turn(const struct unit *unit, struct line *turn, size_t *answer_start)
{
    line_text(turn, "Question: what did they serve");
    line_word(turn, unit->names[0]);
    line_text(turn, "?\n");
    *answer_start = turn->count;
    line_text(turn, "Answer: They served");
    for (size_t i = 0; i < UNIT_VALUES; i++) {
        if (i > 0)
            line_text(turn, ",");
        line_word(turn, unit->names[0]);
        line_text(turn, ordinals[i]);
        line_word(turn, unit->values[i]);
    }
}

/* A question about the unit with its answer; *answer_start counts from the turn's first word. */
static void unit_turn(const struct unit *unit, struct line *turn, size_t *answer_start)
{
    turn->count = 0;
    if (unit->kind == UNIT_FACT)
        fact_turn(unit, turn, answer_start);
    else if (unit->kind == UNIT_CHAIN)
        chain_turn(unit, turn, answer_start);
    else
        meal_turn(unit, turn, answer_start);
    line_text(turn, ".\n");
}

/* The words to keep, besides those kept already, for a question about the unit. */
static size_t turn_cost(const struct draft *d, const struct unit *unit)
{
    struct line turn;
    size_t answer_start;
    unit_turn(unit, &turn, &answer_start);
    if (!d->spec->apart)
        return turn.count;
    return turn.count > d->turn_room ? turn.count - d->turn_room : 0;
}

/* Adds a unit and, where `ask`, keeps room for its question. False: it does not fit. */
static bool draft_unit(struct draft *d, bool ask)
{
    struct unit *unit = &d->units[d->unit_count];
    if (d->names_taken == NAMES || d->unit_count == NAMES)
        return false;
    unit_draw(d, unit);
    size_t lines = unit_line_count(unit), first = d->line_count, cost = 0;
    size_t turn = ask ? turn_cost(d, unit) : 0;
    if (first + lines > d->line_capacity)
        return false;
    for (size_t i = 0; i < lines; i++) {
        unit_line(d, unit, i, &d->lines[first + i]);
        cost += d->lines[first + i].count;
    }
    if (cost + turn > d->room)
        return false;
    d->room -= cost + turn;
    d->turn_room += turn;
    d->line_count += lines;
    d->names_taken += unit->name_count;
    d->unit_count++;
    return true;
}

/* How many words the units not asked may take: all when measured, any share in training. */
static size_t draft_share(struct draft *d)
{
    if (d->spec->task == RECALL_NEEDLE)
        return 0;
    if (d->spec->task == RECALL_MIXED && d->spec->side == RECALL_EVAL)
        return d->room / 2;
    if (d->spec->side == RECALL_EVAL)
        return d->room;
    return (size_t)(rng_float(&d->rng) * 1.25F * (float)d->room);
}

static void draft_units(struct draft *d)
{
    size_t asked = d->spec->questions;
    if (d->spec->task == RECALL_NEEDLE && d->spec->side == RECALL_EVAL)
        asked = 1; /* a single needle */
    while (d->asked < asked && draft_unit(d, true))
        d->asked++;
    size_t share = draft_share(d);
    size_t keep = share < d->room ? d->room - share : 0;
    while (d->room > keep && draft_unit(d, false))
        continue;
}

/* ---- prose ---- */

static void noun_phrase(struct draft *d, struct line *line, bool adjective)
{
    if (adjective)
        line_word(line, (uint16_t)(FIRST_ADJECTIVE + rng_below(&d->rng, ADJECTIVES)));
    line_word(line, (uint16_t)(FIRST_NOUN + rng_below(&d->rng, NOUNS)));
}

static void verb_phrase(struct draft *d, struct line *line)
{
    line_word(line, (uint16_t)(FIRST_VERB + rng_below(&d->rng, VERBS)));
    line_word(line, (uint16_t)(FIRST_PREPOSITION + rng_below(&d->rng, PREPOSITIONS)));
    line_text(line, " the");
}

/* A line of prose of at most PROSE_WORDS words. */
static void prose_line(struct draft *d, struct line *line)
{
    line->count = 0;
    switch (rng_below(&d->rng, 4)) {
    case 0:
        line_text(line, "By morning the");
        noun_phrase(d, line, false);
        verb_phrase(d, line);
        noun_phrase(d, line, false);
        break;
    case 1:
        line_text(line, "Nobody saw the");
        noun_phrase(d, line, true);
        line_word(line, (uint16_t)(FIRST_PREPOSITION + rng_below(&d->rng, PREPOSITIONS)));
        line_text(line, " the");
        noun_phrase(d, line, false);
        break;
    case 2:
        line_text(line, "Then one");
        noun_phrase(d, line, true);
        verb_phrase(d, line);
        noun_phrase(d, line, false);
        break;
    default:
        line_text(line, "The");
        noun_phrase(d, line, true);
        verb_phrase(d, line);
        noun_phrase(d, line, true);
    }
    line_text(line, ".\n");
    assert(line->count <= PROSE_WORDS);
}

static void draft_prose(struct draft *d)
{
    while (d->room >= PROSE_WORDS && d->line_count < d->line_capacity) {
        struct line *line = &d->lines[d->line_count++];
        prose_line(d, line);
        d->room -= line->count;
    }
}

/* ---- the record ---- */

static void draft_shuffle_lines(struct draft *d)
{
    for (size_t i = d->line_count; i > 1; i--) {
        size_t j = rng_below(&d->rng, (uint32_t)i);
        struct line swap = d->lines[i - 1];
        d->lines[i - 1] = d->lines[j];
        d->lines[j] = swap;
    }
}

static void record_append(struct recall_record *record, const struct line *line)
{
    memcpy(record->words + record->word_count, line->words, line->count * sizeof *line->words);
    record->word_count += line->count;
}

/* Asks about the first units drawn; their lines lie anywhere. */
static void record_ask(struct recall_record *record, struct draft *d)
{
    for (size_t q = 0; q < d->asked; q++) {
        struct recall_question *question = &record->questions[q];
        struct line turn;
        size_t answer_start = 0;
        unit_turn(&d->units[q], &turn, &answer_start);
        question->start = record->word_count;
        question->answer_start = record->word_count + answer_start;
        record_append(record, &turn);
        question->end = record->word_count;
    }
    record->question_count = d->asked;
}

static void draft_fill(struct draft *d)
{
    for (uint16_t i = 0; i < NAMES; i++)
        d->names[i] = i;
    shuffle(&d->rng, d->names, NAMES);
    draft_units(d);
    draft_prose(d);
    draft_shuffle_lines(d);
}

static void record_write(struct recall_record *record, struct draft *d)
{
    for (size_t i = 0; i < d->line_count; i++)
        record_append(record, &d->lines[i]);
    record->body_count = record->word_count;
    record_ask(record, d);
}

/* The top bit of the seed is the side: no training record can be drawn again for measuring. */
static uint64_t spec_seed(const struct recall_spec *spec)
{
    uint64_t mixed = spec->seed * 0x9E3779B97F4A7C15ULL + spec->index * 0xD1B54A32D192ED03ULL +
                     (uint64_t)spec->task * 0x8CB92BA72F3D8DD7ULL;
    uint64_t side = spec->side == RECALL_EVAL ? 1ULL << 63 : 0;
    return (mixed & ~(1ULL << 63)) | side;
}

bool recall_record_init(struct recall_record *record, const struct recall_spec *spec)
{
    memset(record, 0, sizeof *record);
    if (spec->tokens < RECALL_TOKENS_MIN || spec->tokens > RECALL_TOKENS_MAX ||
        spec->questions == 0)
        return false;
    struct draft *d = calloc(1, sizeof *d);
    /* The shortest line has five words. */
    size_t capacity = spec->tokens / 5 + 1;
    size_t questions = spec->questions < NAMES ? spec->questions : NAMES;
    struct line *lines = calloc(capacity, sizeof *lines);
    record->words = calloc(spec->tokens + questions * TURN_WORDS, sizeof *record->words);
    record->questions = calloc(questions, sizeof *record->questions);
    bool ok = d != NULL && lines != NULL && record->words != NULL && record->questions != NULL;
    if (ok) {
        struct recall_spec bounded = *spec;
        bounded.questions = questions;
        d->spec = &bounded;
        d->lines = lines;
        d->line_capacity = capacity;
        d->room = spec->tokens;
        rng_seed(&d->rng, spec_seed(spec));
        draft_fill(d);
        record_write(record, d);
    } else {
        recall_record_fini(record);
    }
    free(lines);
    free(d);
    return ok;
}

void recall_record_fini(struct recall_record *record)
{
    free(record->words);
    free(record->questions);
    memset(record, 0, sizeof *record);
}

size_t recall_words_text(const uint16_t *words, size_t count, char *text, size_t capacity)
{
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        for (const char *c = recall_vocab_text(words[i]); *c != '\0'; c++, used++) {
            if (used + 1 < capacity)
                text[used] = *c;
        }
    }
    if (capacity > 0)
        text[used < capacity ? used : capacity - 1] = '\0';
    return used;
}
