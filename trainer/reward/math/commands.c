#include "trainer/reward/math/commands.h"
#include "trainer/reward/math/lex.h"

#define TOKEN(name, kind, id)         \
    {                                 \
        name, COMMAND_TOKEN, kind, id \
    }
static const struct command commands[] = {
    {"text", COMMAND_TEXT, 0, 0},
    {"mathrm", COMMAND_TEXT, 0, 0},
    {"textrm", COMMAND_TEXT, 0, 0},
    {"textbf", COMMAND_TEXT, 0, 0},
    {"textit", COMMAND_TEXT, 0, 0},
    {"textnormal", COMMAND_TEXT, 0, 0},
    {"textsf", COMMAND_TEXT, 0, 0},
    {"texttt", COMMAND_TEXT, 0, 0},
    {"mbox", COMMAND_TEXT, 0, 0},
    {"operatorname", COMMAND_TEXT, 0, 0},
    {"mathbf", COMMAND_FONT, 0, 0},
    {"mathit", COMMAND_FONT, 0, 0},
    {"mathsf", COMMAND_FONT, 0, 0},
    {"mathcal", COMMAND_FONT, 0, 0},
    {"mathbb", COMMAND_FONT, 0, 0},
    {"boldsymbol", COMMAND_FONT, 0, 0},
    {"bm", COMMAND_FONT, 0, 0},
    {"emph", COMMAND_TEXT, 0, 0},
    {"displaystyle", COMMAND_SPACE, 0, 0},
    {"textstyle", COMMAND_SPACE, 0, 0},
    {"limits", COMMAND_SPACE, 0, 0},
    {"quad", COMMAND_SPACE, 0, 0},
    {"qquad", COMMAND_SPACE, 0, 0},
    {"left", COMMAND_SIZE, 0, 0},
    {"right", COMMAND_SIZE, 0, 0},
    {"big", COMMAND_SIZE, 0, 0},
    {"Big", COMMAND_SIZE, 0, 0},
    {"bigg", COMMAND_SIZE, 0, 0},
    {"Bigg", COMMAND_SIZE, 0, 0},
    {"bigl", COMMAND_SIZE, 0, 0},
    {"bigr", COMMAND_SIZE, 0, 0},
    {"Bigl", COMMAND_SIZE, 0, 0},
    {"Bigr", COMMAND_SIZE, 0, 0},
    {"biggl", COMMAND_SIZE, 0, 0},
    {"biggr", COMMAND_SIZE, 0, 0},
    {"Biggl", COMMAND_SIZE, 0, 0},
    {"Biggr", COMMAND_SIZE, 0, 0},
    {"begin", COMMAND_BEGIN, 0, 0},
    {"end", COMMAND_END, 0, 0},
    TOKEN("frac", TOKEN_FRACTION, 0),
    TOKEN("dfrac", TOKEN_FRACTION, 0),
    TOKEN("tfrac", TOKEN_FRACTION, 0),
    TOKEN("cfrac", TOKEN_FRACTION, 0),
    TOKEN("sqrt", TOKEN_ROOT, 0),
    TOKEN("binom", TOKEN_BINOMIAL, 0),
    TOKEN("dbinom", TOKEN_BINOMIAL, 0),
    TOKEN("tbinom", TOKEN_BINOMIAL, 0),
    TOKEN("boxed", TOKEN_GROUP, 0),
    TOKEN("fbox", TOKEN_GROUP, 0),
    TOKEN("vec", TOKEN_GROUP, 0),
    TOKEN("hat", TOKEN_GROUP, 0),
    TOKEN("bar", TOKEN_OVERLINE, 0),
    TOKEN("overline", TOKEN_OVERLINE, 0),
    TOKEN("cdot", '*', 0),
    TOKEN("times", '*', 0),
    TOKEN("ast", '*', 0),
    TOKEN("div", '/', 0),
    TOKEN("slash", '/', 0),
    TOKEN("pi", TOKEN_CONSTANT, CONSTANT_PI),
    TOKEN("infty", TOKEN_CONSTANT, CONSTANT_INFINITY),
    TOKEN("infinity", TOKEN_CONSTANT, CONSTANT_INFINITY),
    TOKEN("emptyset", TOKEN_CONSTANT, CONSTANT_EMPTY),
    TOKEN("varnothing", TOKEN_CONSTANT, CONSTANT_EMPTY),
    TOKEN("R", TOKEN_CONSTANT, CONSTANT_REALS),
    TOKEN("pm", TOKEN_EITHER, 1),
    TOKEN("mp", TOKEN_EITHER, -1),
    TOKEN("cup", TOKEN_UNION, 0),
    TOKEN("cap", TOKEN_CUT, 0),
    TOKEN("setminus", TOKEN_WITHOUT, 0),
    TOKEN("backslash", TOKEN_WITHOUT, 0),
    TOKEN("mid", TOKEN_SUCH_THAT, 0),
    TOKEN("vert", '|', 0),
    TOKEN("degree", TOKEN_DEGREE, 0),
    TOKEN("degrees", TOKEN_DEGREE, 0),
    TOKEN("prime", '\'', 0),
    TOKEN("colon", ':', 0),
    TOKEN("lbrace", TOKEN_OPEN, '{'),
    TOKEN("rbrace", TOKEN_CLOSE, '{'),
    TOKEN("lbrack", '[', 0),
    TOKEN("rbrack", ']', 0),
    TOKEN("langle", TOKEN_OPEN, '<'),
    TOKEN("rangle", TOKEN_CLOSE, '<'),
    TOKEN("lfloor", TOKEN_OPEN, 'f'),
    TOKEN("rfloor", TOKEN_CLOSE, 'f'),
    TOKEN("lceil", TOKEN_OPEN, 'c'),
    TOKEN("rceil", TOKEN_CLOSE, 'c'),
    TOKEN("lvert", TOKEN_OPEN, '|'),
    TOKEN("rvert", TOKEN_CLOSE, '|'),
    TOKEN("lt", TOKEN_RELATION, RELATION_LESS),
    TOKEN("gt", TOKEN_RELATION, RELATION_MORE),
    TOKEN("le", TOKEN_RELATION, RELATION_AT_MOST),
    TOKEN("leq", TOKEN_RELATION, RELATION_AT_MOST),
    TOKEN("leqslant", TOKEN_RELATION, RELATION_AT_MOST),
    TOKEN("ge", TOKEN_RELATION, RELATION_AT_LEAST),
    TOKEN("geq", TOKEN_RELATION, RELATION_AT_LEAST),
    TOKEN("geqslant", TOKEN_RELATION, RELATION_AT_LEAST),
    TOKEN("ne", TOKEN_RELATION, RELATION_OTHER),
    TOKEN("neq", TOKEN_RELATION, RELATION_OTHER),
    TOKEN("in", TOKEN_RELATION, RELATION_IN),
    TOKEN("approx", TOKEN_RELATION, RELATION_ABOUT),
    TOKEN("simeq", TOKEN_RELATION, RELATION_ABOUT),
    TOKEN("lor", TOKEN_SEPARATOR, '|'),
    TOKEN("vee", TOKEN_SEPARATOR, '|'),
    TOKEN("land", TOKEN_SEPARATOR, '&'),
    TOKEN("wedge", TOKEN_SEPARATOR, '&'),
};
static const struct command words[] = {
    TOKEN("pi", TOKEN_CONSTANT, CONSTANT_PI),
    TOKEN("inf", TOKEN_CONSTANT, CONSTANT_INFINITY),
    TOKEN("infty", TOKEN_CONSTANT, CONSTANT_INFINITY),
    TOKEN("infinity", TOKEN_CONSTANT, CONSTANT_INFINITY),
    TOKEN("sqrt", TOKEN_ROOT, 0),
    TOKEN("and", TOKEN_SEPARATOR, '&'),
    TOKEN("or", TOKEN_SEPARATOR, '|'),
    TOKEN("percent", TOKEN_PERCENT, 0),
    TOKEN("percentage", TOKEN_PERCENT, 0),
    TOKEN("pct", TOKEN_PERCENT, 0),
    TOKEN("degree", TOKEN_DEGREE, 0),
    TOKEN("degrees", TOKEN_DEGREE, 0),
};

static const struct command *find(const struct command *table, size_t n, struct span name)
{
    for (size_t i = 0; i < n; i++)
        if (span_is(name, table[i].name)) return &table[i];
    return NULL;
}

const struct command *math_command(struct span name)
{
    return find(commands, sizeof commands / sizeof *commands, name);
}

const struct command *math_word(struct span name)
{
    return find(words, sizeof words / sizeof *words, name);
}

bool math_greek(struct span name)
{
    static const char *const letters[] = {
        "alpha",   "beta",  "gamma",  "delta", "epsilon", "varepsilon", "zeta",   "eta",   "theta",
        "iota",    "kappa", "lambda", "mu",    "nu",      "xi",         "rho",    "sigma", "tau",
        "upsilon", "phi",   "varphi", "chi",   "psi",     "omega",      "Gamma",  "Delta", "Theta",
        "Lambda",  "Sigma", "Phi",    "Psi",   "Omega",   "ell",        "omicron"};
    for (size_t i = 0; i < sizeof letters / sizeof *letters; i++)
        if (span_is(name, letters[i])) return true;
    return false;
}
