/* Tables of settings (X-macros as in knobs.h) as rows of arrays: for a file that defines a book of them. A section called `model` has
 * its values in struct model_knobs and where they came from in struct model_lines. */
#ifndef DUET_TRAINER_CONFIG_ROWS_H
#define DUET_TRAINER_CONFIG_ROWS_H

#include <stddef.h>
#include "trainer/config/table.h"

#define WHERE(section, name)                          \
    .offset = offsetof(struct section##_knobs, name), \
    .line_offset = offsetof(struct section##_lines, name)
/* The help, and behind it what a change of the setting means (table.h), which a row may leave out. */
#define KNOB_HELP(help, ...)           help
#define KNOB_CHANGE(help, change, ...) change
#define TAIL(...) \
    .help = KNOB_HELP(__VA_ARGS__, 0), .change = KNOB_CHANGE(__VA_ARGS__, CHANGE_BY_SECTION, 0)

#define ROW_INT(section, knob, def, lo, hi, ...) \
    {.name = #knob,                              \
     .type = KNOB_INT,                           \
     WHERE(section, knob),                       \
     .initial = def,                             \
     .low = lo,                                  \
     .high = hi,                                 \
     TAIL(__VA_ARGS__)},
#define ROW_REAL(section, knob, def, lo, hi, ...) \
    {.name = #knob,                               \
     .type = KNOB_REAL,                           \
     WHERE(section, knob),                        \
     .initial = def,                              \
     .low = lo,                                   \
     .high = hi,                                  \
     TAIL(__VA_ARGS__)},
#define ROW_BOOL(section, knob, def, lo, hi, ...) \
    {.name = #knob, .type = KNOB_BOOL, WHERE(section, knob), .initial = def, TAIL(__VA_ARGS__)},
#define ROW_STR(section, knob, def, lo, hi, ...) \
    {.name = #knob, .type = KNOB_STR, WHERE(section, knob), .text = def, TAIL(__VA_ARGS__)},
#define ROW_ENUM(section, knob, def, lo, hi, ...) \
    {.name = #knob,                               \
     .type = KNOB_ENUM,                           \
     WHERE(section, knob),                        \
     .initial = def,                              \
     .text = lo,                                  \
     TAIL(__VA_ARGS__)},

/* A section whose values are member `member` of struct root, and their lines lines.member. */
#define SECTION_ROW(root, key, called, about, rows, member)                                    \
    {                                                                                          \
        .name = key, .noun = called, .help = about, .knobs = rows,                             \
        .n_knobs = (int)(sizeof rows / sizeof *rows), .offset = offsetof(struct root, member), \
        .line_offset = offsetof(struct root, lines.member)                                     \
    }

#endif
