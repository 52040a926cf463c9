"""What Hugging Face's `tokenizers` (0.23) takes characters for (needed: pip install tokenizers).

Writes tests/golden/unicode.txt: a line a set, with the ranges of code points in it:
    L M N P S ...  general categories of its regular expressions (Oniguruma)
    space          what \\s matches there
    mark           characters that its NFC moves behind a mark of the next lower class, U+0345 (class 240)
With --rows prints the rows of model/tokenizer/pattern_unicode.c and of nfc.c: what PCRE2 and utf8proc take for
something else (libpcre2-8.so.0, libutf8proc.so.2).
"""
import ctypes
import sys
from pathlib import Path

from tokenizers import Regex, normalizers, pre_tokenizers

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
CATEGORIES = "Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp".split()
POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
ALL = "".join(map(chr, POINTS))


def matched(regex):
    """Code points that a regular expression of one character matches."""
    found, last = set(), 0
    for _, (start, stop) in pre_tokenizers.Split(Regex(f"(?:{regex})+"), "removed").pre_tokenize_str(ALL):
        found.update(POINTS[last:start])
        last = stop
    return found | set(POINTS[last:])


def marks():
    nfd = normalizers.NFD()
    whole = [c for c in POINTS if nfd.normalize_str(chr(c)) == chr(c)]
    return {c for c in whole if nfd.normalize_str("a\u0345" + chr(c)) != "a\u0345" + chr(c)}


def ranges(points):
    rows = []
    for c in sorted(points):
        if rows and rows[-1][1] == c - 1:
            rows[-1][1] = c
        else:
            rows.append([c, c])
    return rows


def pcre2_matched(regex):
    lib = ctypes.CDLL("libpcre2-8.so.0")
    for name in ("compile", "match_data_create", "get_ovector_pointer"):
        getattr(lib, f"pcre2_{name}_8").restype = ctypes.c_void_p
    text, error, at = ALL.encode(), ctypes.c_int(), ctypes.c_size_t()
    size = ctypes.c_size_t
    code = ctypes.c_void_p(lib.pcre2_compile_8(f"(?:{regex})+".encode(), size(2**64 - 1), 0x00080000 | 0x00020000,
                                               ctypes.byref(error), ctypes.byref(at), None))
    data = ctypes.c_void_p(lib.pcre2_match_data_create_8(1, None))
    vector = ctypes.cast(ctypes.c_void_p(lib.pcre2_get_ovector_pointer_8(data)), ctypes.POINTER(size))
    found, start = set(), 0
    while lib.pcre2_match_8(code, text, size(len(text)), size(start), 0x40000000, data, None) > 0:
        found.update(map(ord, text[vector[0]:vector[1]].decode()))
        start = vector[1]
    return found


def rows():
    theirs = {k: pcre2_matched(rf"\p{{{k}}}") for k in CATEGORIES + ["Cc", "Cf", "Co"]}
    known = set().union(*theirs.values())
    new = sorted((first, last, k) for k in CATEGORIES for first, last in ranges(matched(rf"\p{{{k}}}") - known))
    print("".join(f'{{0x{a:x}, 0x{b:x}, "{k}"}}, ' for a, b, k in new))
    lib = ctypes.CDLL("libutf8proc.so.2")
    lib.utf8proc_get_property.restype = ctypes.POINTER(ctypes.c_uint16)
    nfd, theirs = normalizers.NFD(), marks()
    new = [c for c in POINTS if 0 < lib.utf8proc_get_property(c)[1] < 240 and c not in theirs
           and nfd.normalize_str(chr(c)) == chr(c)]
    print("".join(f"{{0x{a:x}, 0x{b:x}}}, " for a, b in ranges(new)))


def main():
    if "--rows" in sys.argv:
        return rows()
    sets = {k: matched(rf"\p{{{k}}}") for k in ["L", "M", "N", "P", "S", "Lu", "Ll", "Lo", "Mn", "Nd", "So"]}
    sets |= {"space": matched(r"\s"), "mark": marks()}
    with open(GOLDEN / "unicode.txt", "w", encoding="ascii") as out:
        for name, points in sets.items():
            out.write(f"{name} " + " ".join(f"{a:x}-{b:x}" if a < b else f"{a:x}" for a, b in ranges(points)) + "\n")


main()
