/* Tables of settings (X-macros as in settings_table.h) as rows of arrays: for a file that defines a book of them. A section called `model` has
 * its values in struct model_settings and where they came from in struct model_lines. */
#ifndef DUET_TRAINER_CONFIG_ROWS_H
#define DUET_TRAINER_CONFIG_ROWS_H

#include <stddef.h>
#include "trainer/config/table.h"

#define WHERE(section, name)                             \
    .offset = offsetof(struct section##_settings, name), \
    .line_offset = offsetof(struct section##_lines, name)
/* The help, and behind it what a change of the setting means (table.h), which a row may leave out. */
#define SETTING_HELP(help, ...)           help
#define SETTING_CHANGE(help, change, ...) change
#define TAIL(...)                         \
    .help = SETTING_HELP(__VA_ARGS__, 0), \
    .change = SETTING_CHANGE(__VA_ARGS__, CHANGE_BY_SECTION, 0)

#define ROW_INT(section, setting, def, lo, hi, ...) \
    {.name = #setting,                              \
     .type = SETTING_INT,                           \
     WHERE(section, setting),                       \
     .initial = def,                                \
     .low = lo,                                     \
     .high = hi,                                    \
     TAIL(__VA_ARGS__)},
#define ROW_REAL(section, setting, def, lo, hi, ...) \
    {.name = #setting,                               \
     .type = SETTING_REAL,                           \
     WHERE(section, setting),                        \
     .initial = def,                                 \
     .low = lo,                                      \
     .high = hi,                                     \
     TAIL(__VA_ARGS__)},
#define ROW_BOOL(section, setting, def, lo, hi, ...) \
    {.name = #setting,                               \
     .type = SETTING_BOOL,                           \
     WHERE(section, setting),                        \
     .initial = def,                                 \
     TAIL(__VA_ARGS__)},
#define ROW_STR(section, setting, def, lo, hi, ...) \
    {.name = #setting,                              \
     .type = SETTING_STR,                           \
     WHERE(section, setting),                       \
     .text = def,                                   \
     TAIL(__VA_ARGS__)},
#define ROW_ENUM(section, setting, def, lo, hi, ...) \
    {.name = #setting,                               \
     .type = SETTING_ENUM,                           \
     WHERE(section, setting),                        \
     .initial = def,                                 \
     .text = lo,                                     \
     TAIL(__VA_ARGS__)},

/* A section whose values are member `member` of struct root, and their lines lines.member. */
#define SECTION_ROW(root, key, called, about, rows, member)                                       \
    {                                                                                             \
        .name = key, .noun = called, .help = about, .settings = rows,                             \
        .n_settings = (int)(sizeof rows / sizeof *rows), .offset = offsetof(struct root, member), \
        .line_offset = offsetof(struct root, lines.member)                                        \
    }

#endif
