/* The words of a text, by the script that they are written in. All functions are local, allocate
 * nothing and read any bytes; what is no UTF-8 is no word. */
#ifndef DUET_TRAINER_REWARD_WORDS_H
#define DUET_TRAINER_REWARD_WORDS_H

#include "trainer/data/completion.h"

enum script {
    SCRIPT_NUMBER, /* digits */
    SCRIPT_BASIC,  /* Latin letters of ASCII only */
    SCRIPT_LATIN,  /* with others among them */
    SCRIPT_GREEK,
    SCRIPT_CYRILLIC,
    SCRIPT_HEBREW,
    SCRIPT_ARABIC,
    SCRIPT_DEVANAGARI,
    SCRIPT_THAI,
    SCRIPT_HANGUL,
    SCRIPT_KANA,
    SCRIPT_HAN,
    SCRIPT_OTHER
};

struct word {
    struct span text;
    int letters;
    enum script script;
};

/* Takes the next word off rest; false: there is none. A word is a run of letters of one script (an
 * apostrophe between two of them belongs to it), or of digits; where writing has no blanks (Han,
 * kana, Thai), one letter. */
bool word_next(struct span *rest, struct word *out);

/* What is left of a text, and which of the signs that open something are known not to end in it:
 * begin with {text, 0}. */
struct prose {
    struct span rest;
    unsigned open;
};
/* Takes the next run of prose off p; false: there is none. What is left out: code (between ``` and
 * ```, between ` and ` of a line), formulas (between $$ and $$, \[ and \], \( and \), between $ and
 * $ of a line where no blank follows the first or stands before the last), commands of TeX. */
bool prose_next(struct prose *p, struct span *out);

#endif
