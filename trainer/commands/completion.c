/* duet completion: a script for the shell, made of the tables of commands, options and settings,
 * so that it knows what this program knows. It asks the program only for the names of a recipe's
 * phases. */
#include <stdio.h>
#include <string.h>
#include "trainer/commands/completion.h"
#include "trainer/commands/commands.h"
#include "trainer/config/options.h"
#include "trainer/config/table.h"

/* "train sample eval": what comes behind duet. */
static void print_commands(const struct command *table)
{
    printf("_duet_commands='");
    for (const struct command *c = table; c->name; c++) printf("%s ", c->name);
    puts("'");
}

/* Each command prints its own options, which only it has a table of (options_parse). */
static bool print_options(const struct command *table)
{
    char list[] = OPTIONS_LIST;
    printf("_duet_options() {\n    case $1 in\n");
    for (const struct command *c = table; c->name; c++) {
        char name[32];
        snprintf(name, sizeof name, "%s", c->name);
        char *argv[] = {name, list, NULL};
        printf("    %s) echo '", name);
        if (c->run(2, argv) != EXIT_DONE) return false;
        puts("' ;;");
    }
    puts("    esac\n}");
    return true;
}

/* "seed= model.layers= ...": what --set takes of what is no phase's. */
static void print_settings(void)
{
    printf("_duet_settings='");
    for (int id = 0; id < SECTION_PHASE; id++)
        for (int i = 0; i < sections[id].n_settings; i++)
            printf("%s%s%s ", sections[id].name, *sections[id].name ? "." : "",
                   sections[id].settings[i].name);
    printf("'\n");
}

/* Settings of each kind of phase. */
static void print_phase_settings(void)
{
    const struct section *s = &sections[SECTION_PHASE];
    const struct choice *kinds = setting_find(s, "kind")->choices;
    printf("_duet_kinds='");
    for (const struct choice *c = kinds; c->name; c++) printf("%s ", c->name);
    printf("'\n_duet_phase_settings() {\n    case $1 in\n");
    for (const struct choice *c = kinds; c->name; c++) {
        printf("    %s) echo '", c->name);
        for (int i = 0; i < s->n_settings; i++)
            if (s->settings[i].kinds >> c->value & 1u) printf("%s ", s->settings[i].name);
        printf("' ;;\n");
    }
    printf("    esac\n}\n");
}

/* The words that a setting may be; of numbers and texts there are none. */
static void print_values(void)
{
    printf("_duet_values() {\n    case $1 in\n");
    for (int id = 0; id < SECTIONS; id++)
        for (int i = 0; i < sections[id].n_settings; i++) {
            const struct setting *k = &sections[id].settings[i];
            if (k->type != SETTING_ENUM && k->type != SETTING_BOOL) continue;
            printf("    %s%s%s) echo '", sections[id].name,
                   id == SECTION_PHASE  ? ".*."
                   : *sections[id].name ? "."
                                        : "",
                   k->name);
            for (const struct choice *c = k->choices; c && c->name; c++) printf("%s ", c->name);
            printf("%s' ;;\n", k->type == SETTING_BOOL ? "true false" : "");
        }
    printf("    esac\n}\n");
}

/* The current word is taken from the line itself, since bash cuts COMP_WORDS at `=`. A word that
 * is whole brings its blank along (-o nospace): names of settings end in `=`. Where nothing
 * fits, files are offered (-o default). Only what zsh's bashcompinit understands, too. */
static const char functions[] =
    "# \"name kind\" of each phase of the recipe on the line; without one every kind by its own "
    "name.\n"
    "_duet_phases() { # program word...\n"
    "    local program=$1 word\n"
    "    shift\n"
    "    for word in \"$@\"; do\n"
    "        case $word in\n"
    "        *.yaml | *.yml) \"$program\" settings \"$word\" --get phases 2>/dev/null && return "
    ";;\n"
    "        esac\n"
    "    done\n"
    "    for word in $_duet_kinds; do echo \"$word $word\"; done\n"
    "}\n"
    "_duet_names() { # end program word...: every setting, and behind it `end`\n"
    "    local end=$1 name kind list\n"
    "    shift\n"
    "    printf \"%s$end\\n\" $_duet_settings\n"
    "    _duet_phases \"$@\" | while read -r name kind; do\n"
    "        list=$(_duet_phase_settings \"$kind\")\n"
    "        [ -z \"$list\" ] || printf \"phases.$name.%s$end\\n\" $list\n"
    "    done\n"
    "}\n"
    "_duet() {\n"
    "    local line=${COMP_LINE:0:$COMP_POINT} raw cur prev program command before head= list= "
    "word "
    "IFS=$' \\t\\n'\n"
    "    program=${line%%[[:space:]]*} raw=${line##*[[:space:]]}\n"
    "    before=${line%\"$raw\"}\n"
    "    before=${before%\"${before##*[![:space:]]}\"}\n"
    "    command=${before#\"$program\"} prev=${before##*[[:space:]]} cur=$raw\n"
    "    command=${command#\"${command%%[![:space:]]*}\"}\n"
    "    command=${command%%[[:space:]]*}\n"
    "    case $program in '~/'*) program=$HOME/${program#??} ;; esac\n"
    "    case $cur in --set=* | --get=*) prev=${cur%%=*} cur=${cur#*=} head=$prev= ;; esac\n"
    "    case $command,$prev in\n"
    "    ,*) list=$(printf '%s \\n' $_duet_commands help --help --version) ;;\n"
    "    help,help) list=$(printf '%s \\n' $_duet_commands tasks environment) ;;\n"
    "    completion,completion) list=$(printf '%s \\n' bash zsh) ;;\n"
    "    *,--get) list=$(printf '%s \\n' phases; _duet_names ' ' \"$program\" "
    "\"${COMP_WORDS[@]}\") ;;\n"
    "    *,--set)\n"
    "        case $cur in\n"
    "        *=*) list=$(for word in $(_duet_values \"${cur%%=*}\"); do echo \"${cur%%=*}=$word "
    "\"; done) ;;\n"
    "        *) list=$(_duet_names = \"$program\" \"${COMP_WORDS[@]}\") ;;\n"
    "        esac ;;\n"
    "    *) case $cur in -*) list=$(printf '%s \\n' $(_duet_options \"$command\") --help) ;; esac "
    ";;\n"
    "    esac\n"
    "    # bash cuts words at `=` and replaces what is behind the last one only.\n"
    "    before=\n"
    "    case ${COMP_WORDBREAKS-},$raw in *=*,*=*) before=${raw%=*}= ;; esac\n"
    "    COMPREPLY=() IFS=$'\\n'\n"
    "    for word in $list; do\n"
    "        case $word in \"$cur\"*) word=$head$word COMPREPLY+=(\"${word#\"$before\"}\") ;; "
    "esac\n"
    "    done\n"
    "}\n"
    "complete -o default -o nospace -F _duet duet\n";

/* The whole script depends on tables only: completing a word starts the program for phases alone.
 * */
int completion_run(const struct command *table, int argc, char **argv)
{
    const char *shell = "";
    struct options o = {
        .command = "completion",
        .summary =
            "Prints a script that teaches the shell to complete commands, options, settings and "
            "their values:\n    source <(duet completion bash)     # in ~/.bashrc\n    source "
            "<(duet completion zsh)      # in ~/.zshrc, after compinit\nIt belongs to this version "
            "of the program; phases are those of the recipe on the command line.",
        .usage = "bash|zsh",
        .args = &shell,
        .min_args = 1,
        .max_args = 1};
    int code = options_parse(&o, argc, argv);
    if (code >= 0) return code;
    const bool zsh = strcmp(shell, "zsh") == 0;
    if (!zsh && strcmp(shell, "bash") != 0) {
        fprintf(stderr, "completion: \"%.60s\" is neither bash nor zsh\n", shell);
        return EXIT_USER;
    }
    printf("# %s completion for duet %s: source <(duet completion %s)\n", shell, DUET_VERSION,
           shell);
    if (zsh) puts("autoload -Uz bashcompinit && bashcompinit");
    print_commands(table);
    print_settings();
    if (!print_options(table)) return EXIT_BUG;
    print_phase_settings();
    print_values();
    fputs(functions, stdout);
    return EXIT_DONE;
}
