"""Pairs of an expected answer and an answer, by chance: what test_math_verify.py compares. Each says of what family it is."""
import random
from fractions import Fraction

UNITS = ["cm", "m", "kg", "hours", "dollars"]


class Pairs:
    def __init__(self, seed):
        self.r = random.Random(seed)

    def number(self):
        return self.r.choice([self.r.randint(-30, 30), self.r.randint(-999, 9999), self.r.randint(2, 9)])

    def some(self):
        return self.r.randint(2, 12)

    def fraction(self):
        return Fraction(self.number(), self.r.randint(2, 40))

    def latex(self, f):
        f = Fraction(f)
        sign = "-" if f < 0 else ""
        return str(f.numerator) if f.denominator == 1 else f"{sign}\\frac{{{abs(f.numerator)}}}{{{f.denominator}}}"

    def integers(self):
        n, r = self.number(), self.r
        forms = [f"{n}", f"{n:,}", f"{n}.0", f"${n}$", f"{n}.", f"\\text{{{n}}}", f"x = {n}", f"{n + 1}", f"{-n}", f"{n}0", f"{n}, {n}"]
        return f"{n}", r.choice(forms)

    def fractions(self):
        f, k = self.fraction(), self.some()
        a, b = f.numerator, f.denominator
        forms = [f"{a}/{b}", f"\\dfrac{{{a}}}{{{b}}}", f"\\frac{{{a * k}}}{{{b * k}}}", f"\\frac{{{a}}}{{{b + 1}}}", f"{float(f):.8f}",
                 f"{float(f):.2f}", f"\\frac{{{b}}}{{{a or 1}}}", f"{a}", f"-\\frac{{{a}}}{{{b}}}", f"{float(f)}"]
        return self.latex(f), self.r.choice(forms)

    def percents(self):
        p = self.r.choice([5, 12.5, 20, 28, 75, 150])
        forms = [f"{p}\\%", f"{p}%", f"{p / 100}", f"{p}", f"{self.latex(Fraction(p) / 100)}", f"{p + 1}\\%", f"{p} percent"]
        return f"{p}\\%", self.r.choice(forms)

    def units(self):
        n, u, v = self.number(), self.r.choice(UNITS), self.r.choice(UNITS)
        return f"{n} \\text{{ {u}}}", self.r.choice([f"{n}", f"{n} {u}", f"{n} \\text{{ {u}}}", f"{n + 1} \\text{{ {u}}}", f"{n} \\text{{ {v}}}"])

    def lists(self):
        items = [self.latex(self.r.choice([self.number(), self.fraction()])) for _ in range(self.r.randint(2, 4))]
        shuffled = items[:]
        self.r.shuffle(shuffled)
        inside, other = ", ".join(items), ", ".join(shuffled)
        shapes = ["\\{%s\\}", "(%s)", "%s"]
        gold = self.r.choice(shapes) % inside
        answer = self.r.choice(shapes) % self.r.choice([inside, other, inside + ", 77", ", ".join(items[1:])])
        return gold, answer

    def intervals(self):
        a, b = sorted(self.r.sample(range(-20, 20), 2))
        left, right = self.r.choice("(["), self.r.choice(")]")
        gold = f"{left}{a}, {b}{right}"
        low, high = ("\\le" if left == "[" else "<"), ("\\le" if right == "]" else "<")
        forms = [gold, f"{self.r.choice('([')}{a},{b}{self.r.choice(')]')}", f"{left}{a},{b + 1}{right}", f"{a} {low} x {high} {b}",
                 f"x \\in {gold}"]
        return self.r.choice([gold, f"{a} {low} x {high} {b}"]), self.r.choice(forms)

    def unions(self):
        a, b = sorted(self.r.sample(range(-20, 20), 2))
        gold = f"(-\\infty, {a}) \\cup ({b}, \\infty)"
        return gold, self.r.choice([f"({b},\\infty)\\cup(-\\infty,{a})", f"(-\\infty,{a}]\\cup({b},\\infty)", f"(-\\infty,{b})", gold])

    def surds(self):
        a, k, s = self.number(), self.some(), self.r.choice([2, 3, 5, 7])
        forms = [f"\\sqrt{{{k * k * s}}}", f"{k}\\sqrt{s}", f"{k} \\cdot {s}^{{1/2}}", f"{k + 1}\\sqrt{{{s}}}", f"\\frac{{{k * s}}}{{\\sqrt{{{s}}}}}",
                 f"{k}\\sqrt[3]{{{s}}}", f"{k * s ** 0.5:.8f}", f"-{k}\\sqrt{{{s}}}", f"{a}+{k}\\sqrt{{{s}}}"]
        return f"{k}\\sqrt{{{s}}}", self.r.choice(forms)

    def constants(self):
        k = self.some()
        gold, others = self.r.choice([
            (f"{k}\\pi", [f"\\pi \\cdot {k}", f"{k}\\pi^2", f"{k}", f"\\frac{{{2 * k}\\pi}}{{2}}", f"{k + 1}\\pi"]),
            (f"\\log_2 {2 ** k}", [f"{k}", f"{k + 1}", f"\\log_2({2 ** k})"]),
            (f"e^{{{k}}}", [f"e^{k}", f"e^{{{k + 1}}}", f"{k}e", f"\\frac{{e^{{{k + 1}}}}}{{e}}"]),
            ("\\frac{\\sqrt{3}}{2}", ["\\sin\\frac{\\pi}{3}", "\\cos\\frac{\\pi}{6}", "\\frac{3}{2\\sqrt{3}}", "\\sin\\frac{\\pi}{6}"]),
            (f"\\ln {k}", [f"\\frac{{\\ln {k * k}}}{{2}}", f"\\ln {k + 1}", f"-\\ln\\frac{{1}}{{{k}}}"]),
            (f"{k}!", [f"{k + 1}!", f"\\frac{{{k + 1}!}}{{{k + 1}}}"])])
        return gold, self.r.choice(others)

    def polynomials(self):
        a, b = self.r.randint(-9, 9), self.r.randint(-9, 9)
        c, d = a + b, a * b
        gold = f"x^2{c:+d}x{d:+d}"
        forms = [f"(x{a:+d})(x{b:+d})", f"{d}{c:+d}x+x^2", f"x^2{c:+d}x{d + 1:+d}", f"(x{a + 1:+d})(x{b:+d})", f"x(x{c:+d}){d:+d}", f"x^2{c:+d}x"]
        return gold, self.r.choice(forms)

    def equations(self):
        a, b, c, k = self.some(), self.some(), self.number(), self.some()
        forms = [f"{a * k}x+{b * k}y={c * k}", f"{a}x+{b}y={c}", f"y=\\frac{{{c}-{a}x}}{{{b}}}", f"{a}x-{b}y={c}", f"{a}x+{b}y={c + 1}", f"{c}"]
        return f"{a}x+{b}y={c}", self.r.choice(forms)

    def assignments(self):
        n = self.number()
        return self.r.choice([(f"x={n}", f"{n}"), (f"{n}", f"x={n}"), (f"x={n}", f"y={n}"), (f"x={n}", f"x={n + 1}"), (f"{n}", f"x={n + 1}")])

    def matrices(self):
        cells = [str(self.number()) for _ in range(4)]
        other = cells[:]
        if self.r.random() < 0.5:
            other[self.r.randrange(4)] = "77"
        kind = self.r.choice(["pmatrix", "bmatrix"])
        rows = "{} & {} \\\\ {} & {}"
        return (f"\\begin{{pmatrix}} {rows.format(*cells)} \\end{{pmatrix}}", f"\\begin{{{kind}}} {rows.format(*other)} \\end{{{kind}}}")

    def texts(self):
        words = ["odd", "even", "Monday", "no solution", "C", "B", "Yes", "True"]
        gold = self.r.choice(words)
        other = self.r.choice([gold, gold, self.r.choice(words)])
        return f"\\text{{{gold}}}", self.r.choice(["\\text{%s}", "%s", "\\textbf{%s}", "(%s)"]) % other

    def make(self, n):
        families = [self.integers, self.fractions, self.percents, self.units, self.lists, self.intervals, self.unions, self.surds, self.constants,
                    self.polynomials, self.equations, self.assignments, self.matrices, self.texts]
        return [(families[i % len(families)].__name__, *families[i % len(families)]()) for i in range(n)]
