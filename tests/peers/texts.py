"""Texts that tokenizers find hard: endless, from a seed."""
import random
import unicodedata

SPACES = [chr(c) for c in [9, 10, 11, 12, 13, 32, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F,
                           0x3000]]
ODD = ["\u180e", "\u200b", "\u200c", "\u200d", "\ufeff", "\u017f", "\u212a", "\u0130", "\u0131", "\ufb06", "\u1e9e", "\u0345"]
ENDINGS = ["s", "t", "re", "ve", "m", "ll", "d", "\u017f", "x", "l"]
EMOJI = ["\U0001F600", "\U0001F468\u200d\U0001F469\u200d\U0001F467", "\U0001F1E9\U0001F1EA", "\u2764\ufe0f", "\U0001F44D\U0001F3FD"]
WORDS = ("the of and Duet training reward Größe naïve Straße ÉCOLE Привет мир Ελληνικά שלום مرحبا नमस्ते ไทย 한국어 日本語 中文 "
         "ひらがな カタカナ x2 foo_bar HTTPServer don't I'LL we've").split()
PUNCTUATION = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~«»“”‘’—…、。・€£§°¶×÷≤∑"
CODE = ["if (x == 0) {\n    return -1;\n}", "\t\tfor i in range(10):\n", "<div class=\"a\">", "a->b[i++] += c;", "\\boxed{\\frac{1}{2}}"]


def assigned(*categories):
    return [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000 and unicodedata.category(chr(c)) in categories]


class Texts:
    def __init__(self, seed, special):
        self.random = r = random.Random(seed)
        digits, marks = assigned("Nd", "No", "Nl"), assigned("Mn", "Mc", "Me")
        letters = assigned("Lu", "Ll", "Lt", "Lm", "Lo")
        some = lambda pool, most: "".join(r.choices(pool, k=r.randint(1, most)))
        anything = lambda: self.any_character()
        decomposed = lambda: unicodedata.normalize("NFD", some(letters, 3)) + some(marks, 3)
        makers = [
            (6, lambda: r.choice(WORDS)), (3, lambda: " " + r.choice(WORDS)),
            (3, lambda: "".join(anything() for _ in range(r.randint(1, 6)))),
            (2, lambda: some(digits, 10)), (3, lambda: some("0123456789", 10)),
            (2, lambda: some(SPACES, 6)), (3, lambda: " " * r.randint(1, 12)),
            (2, lambda: some(["\r\n", "\n", "\r", " ", "\t"], 8)),
            (1, lambda: some([chr(c) for c in [*range(32), 127, *range(128, 160)]], 4)),
            (2, lambda: "'" + r.choice(ENDINGS)), (1, lambda: "'" + r.choice(ENDINGS).upper()),
            (2, lambda: some(PUNCTUATION, 6)), (1, lambda: r.choice(CODE)), (1, lambda: r.choice(EMOJI)),
            (1, lambda: r.choice(ODD)), (2, lambda: some(letters, 5)), (2, lambda: some(letters, 2) + some(marks, 5)),
            (2, decomposed), (1, lambda: r.choice("aA- \n!é語") * r.randint(1, 60)),
        ]
        makers += [(1, lambda: "".join(r.choices("etaoinshrdlu", k=r.randint(30, 200)))),
                   (1, lambda: "".join(r.choices(WORDS, k=r.randint(5, 20))))]
        if special:
            makers += [(2, lambda: r.choice(special)), (1, lambda: self.cut(r.choice(special)))]
        self.pool = [make() for weight, make in makers for _ in range(1500 * weight)]

    def any_character(self):
        """Of all planes, those with more characters not more often."""
        r = self.random
        low, high = r.choice([(0, 0x80), (0x80, 0x800), (0x800, 0x10000), (0x10000, 0x20000), (0x20000, 0x40000), (0x40000, 0x110000)])
        c = r.randrange(low, high)
        return chr(c) if not 0xD800 <= c < 0xE000 else " "

    def cut(self, text):
        a, b = sorted(self.random.randrange(len(text) + 1) for _ in range(2))
        return text[a:b]

    def batch(self, n):
        r, pool = self.random, self.pool
        return ["".join(r.choices(pool, k=r.randrange(9))) for _ in range(n)]

