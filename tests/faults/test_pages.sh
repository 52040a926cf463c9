#!/bin/bash
# test_pages.sh DUET: what the pages refer to exists: files in `backticks`, tests by their short
# names (unit/comm/test_rng), links. And they are readable: no paragraph over 90 words, no line of
# prose over 100 columns; tables, code and headings are excluded. Sources and pages keep to plain
# technical English: words that were replaced once do not come back, no comment opens with "Of" or
# is over 100 columns wide.
. "${BASH_SOURCE%/*}/common.sh"
cd "$root" || exit 1
mapfile -t pages < <(git ls-files '*.md' 2>/dev/null || find . -name '*.md' -not -path './build/*' -printf '%P\n')

# files PAGE: the words in backticks that look like files of ours, {h,c} spelt out
files() {
    grep -oE '`[^` ]+`' "$1" | tr -d '`' | sed 's/[:,].*[a-z_]$//' |
        grep -E '^(comm|model|pipeline|trainer|tests|launch|docs|hostfiles|unit|mpi|property|faults|hosts|slurm|fuzz)/[A-Za-z0-9_./{},-]+$' |
        grep -vE '[A-Z]{3}|pipeline/[a-z_]*_fraction' | sort -u
}
exists() { # NAME: a file, a folder, or a test without its ending; or all that braces stand for
    local name
    for name in $(eval "echo $1"); do
        compgen -G "$name" >/dev/null || compgen -G "tests/$name*" >/dev/null || compgen -G "$name.[ch]" >/dev/null || { echo "there is no $name"; return 1; }
    done
}
cat >"$dir/prose.py" <<'PY'
# prose.py PAGE...: paragraphs above 90 words, lines of prose above 100 columns that can be broken
import re, sys
WORDS, COLUMNS = 90, 100
ITEM = re.compile(r"\s*([-*]|\d+\.)\s+")
seen = bad = 0

def complain(page, number, what):
    global bad
    bad += 1
    print(f"{page}:{number}: {what}")

def paragraph(page, first, lines):
    global seen
    if not lines: return
    seen += 1
    words = len(" ".join(lines).split())
    if words > WORDS: complain(page, first, f"a paragraph of {words} words; split it below {WORDS}")

def line_of(page, number, line):
    text = re.sub(r"`[^`]*`|\[[^]]*\]\([^)]*\)", "x", ITEM.sub("", line).strip())
    if len(line) > COLUMNS and " " in text: complain(page, number, f"a line of {len(line)} columns; break it at {COLUMNS}")

for page in sys.argv[1:]:
    fenced, first, lines = False, 0, []
    for number, line in enumerate(open(page, encoding="utf-8").read().split("\n") + [""], 1):
        fence = line.lstrip().startswith("```")
        code = fenced or fence or line.startswith(("|", "#", "<")) or line.startswith("    ") and not lines
        fenced ^= fence
        if code or not line.strip() or ITEM.match(line):
            paragraph(page, first, lines)
            lines = []
        if code or not line.strip(): continue
        first = first if lines else number
        lines.append(ITEM.sub("", line) if not lines else line)
        line_of(page, number, line)
if seen < 200: complain("prose.py", 0, f"only {seen} paragraphs seen")
sys.exit(bad > 0)
PY
check "paragraphs and lines of prose" python3 "$dir/prose.py" "${pages[@]}"

cat >"$dir/words.py" <<'PY'
# words.py FILE...: words that have a better one, in comments, messages and pages, also across lines
import re, sys
GAP = r"[\s*#/]+"
INSTEAD = [
    (r"\bforet(?:ell|old)", "predict"),
    (GAP.join([r"\bso", r"many\b"]), "the number by its name"),
    (GAP.join([r"\bwho(?:ever)?", "calls", r"it\b"]), "the caller"),
    (GAP.join([r"\btak(?:en?|es|ing)", "up", r"again\b"]), "resume"),
    (GAP.join([r"\brises?", r"again\b"]), "requeue"),
    (r"\bknobs?\b", "settings"),
    (r"/\*\s+Of\b|^[ \t]*#[ \t]+Of\b", "another opening of the comment"),
]
COLUMNS = 100
PROSE = re.compile(r"\s*# (?!shellcheck )\S")  # a table or a command line is further in
seen = bad = 0
for file in sys.argv[1:]:
    text = open(file, encoding="utf-8", errors="replace").read()
    seen += 1
    for pattern, better in INSTEAD:
        for found in re.finditer(pattern, text, re.M):
            bad += 1
            print(f"{file}:{text.count(chr(10), 0, found.start()) + 1}: \"{found.group().strip()}\": write {better}")
    for number, line in enumerate(text.split("\n"), 1):
        if len(line) > COLUMNS and PROSE.match(line):
            bad += 1
            print(f"{file}:{number}: a comment of {len(line)} columns; break it at {COLUMNS}")
if seen < 900: bad += print(f"words.py: only {seen} files seen") is None
sys.exit(bad > 0)
PY
# Not: the old names that the changelog lists, and data.
mapfile -t texts < <({ git ls-files 2>/dev/null || find . -type f -not -path './build/*' -printf '%P\n'; } |
    grep -E '(\.(c|h|sh|py|md|yaml)|sbatch|Makefile)$' | grep -vE '^(CHANGELOG.md|tests/(golden|fuzz/corpus)/)')
check "words that have a better one" python3 "$dir/words.py" "${texts[@]}"

seen=0
for page in "${pages[@]}"; do
    for name in $(files "$page"); do
        seen=$((seen + 1))
        check "$page names $name" exists "$name"
    done
    for link in $(grep -oE '\]\([^)#: ]+\)' "$page" | sed 's/](\(.*\))/\1/'); do
        seen=$((seen + 1))
        check "$page links to $link" test -e "$(dirname "$page")/$link"
    done
done
check "files and links were found" test $seen -gt 200
finish
